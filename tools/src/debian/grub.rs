//! GRUB as a payload of coreboot: its shell on the serial line.

use std::path::Path;
use std::process::Command;

use super::unavailable;
use crate::failure::{Doing, Result};

/// What GRUB does first. It has no disk to read more from.
const CONFIGURATION: &str = "serial --unit=0 --speed=115200\n\
                             terminal_input serial\n\
                             terminal_output serial\n";
const MODULES: [&str; 10] = [
    "cat", "cpuid", "date", "echo", "halt", "ls", "lsmmap", "minicmd", "normal", "reboot",
];
const TERMINALS: [&str; 4] = ["serial", "terminal", "test", "sleep"];

/// Links GRUB out of the parts in an unpacked package.
pub fn make(package: &Path) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().doing(|| "make a temporary folder".to_string())?;
    let (config, output) = (folder.path().join("grub.cfg"), folder.path().join("grub"));
    std::fs::write(&config, CONFIGURATION).doing(|| format!("write {}", config.display()))?;
    let linked = Command::new("grub-mkimage")
        .args(["--format", "i386-coreboot", "--prefix", "/boot/grub"])
        .arg("--directory")
        .arg(package.join("usr/lib/grub/i386-coreboot"))
        .arg("--config")
        .arg(&config)
        .arg("--output")
        .arg(&output)
        .args(MODULES)
        .args(TERMINALS)
        .output()
        .doing(|| "start grub-mkimage".to_string())?;
    if !linked.status.success() {
        return Err(unavailable(&format!(
            "grub-mkimage could not link GRUB: {}",
            String::from_utf8_lossy(&linked.stderr).trim()
        )));
    }
    std::fs::read(&output).doing(|| format!("read {}", output.display()))
}
