//! Facts about this machine: who is at it and which programs it has.

use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::plan::{Rustup, User};

/// The program that runs the virtual PC.
pub const EMULATOR: &str = "qemu-system-x86_64";

/// The other one.
pub const BOCHS: &str = "bochs";
/// Its BIOS.
pub const BOCHS_BIOS: &str = "/usr/share/bochs/BIOS-bochs-latest";
/// The BIOS of its graphics card.
pub const BOCHS_VGA_BIOS: &str = "/usr/share/bochs/VGABIOS-lgpl-latest";
/// The browser that tests pages.
pub const BROWSER: &str = "chromium";
/// The debugger.
pub const DEBUGGER: &str = "gdb";
/// UEFI for QEMU.
pub const UEFI_FIRMWARE: &str = "/usr/share/ovmf/OVMF.fd";
/// Where GRUB keeps its platforms.
pub const GRUB_FOLDER: &str = "/usr/lib/grub";
/// One file of each platform of GRUB's that is used.
pub const GRUB_PARTS: [&str; 2] = [
    "/usr/lib/grub/i386-pc/cdboot.img",
    "/usr/lib/grub/x86_64-efi/moddep.lst",
];
/// The program that links GRUB.
pub const GRUB_LINKER: &str = "grub-mkimage";
/// The programs that make a disc image.
pub const IMAGE_TOOLS: [&str; 5] = [GRUB_LINKER, "xorriso", "mformat", "mmd", "mcopy"];

/// What the plan depends on.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Who runs the tool, and whether that person can be asked.
    pub user: User,
    /// `apt-get` is there.
    pub apt: bool,
    /// `sudo` is there.
    pub sudo: bool,
    /// Whether rustup may bring the library sources.
    pub rustup: Rustup,
}

impl Machine {
    /// Looks at the machine.
    pub fn look() -> Machine {
        let on_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Machine {
            user: if nix::unistd::geteuid().is_root() {
                User::Root
            } else if on_terminal {
                User::OnTerminal
            } else {
                User::Unattended
            },
            apt: program("apt-get").is_some(),
            sudo: program("sudo").is_some(),
            rustup: if program("rustup").is_some() {
                Rustup::Untried
            } else {
                Rustup::Absent
            },
        }
    }
}

/// Where the shell would find this program.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| {
            file.metadata()
                .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        })
}

/// Whether the shell would find all of these.
pub fn are_programs(names: &[&str]) -> bool {
    names.iter().all(|name| program(name).is_some())
}

/// Whether all of these files are there.
pub fn are_there(files: &[&str]) -> bool {
    files.iter().all(|file| Path::new(file).is_file())
}

/// Whether Python can make an environment of its own, with its installer of packages.
pub fn python_makes_environments() -> bool {
    Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether the emulator on the PATH was built with, and has the module of,
/// this display.
pub fn emulator_has_display(name: &str) -> bool {
    let Some(emulator) = program(EMULATOR) else {
        return false;
    };
    Command::new(emulator)
        .args(["-display", "help"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|help| {
            String::from_utf8_lossy(&help.stdout)
                .lines()
                .any(|line| line.trim() == name)
        })
}
