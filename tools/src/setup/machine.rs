//! Facts about this machine: who is at it and which programs it has.

use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::plan::{Rustup, User};

/// The program that runs the virtual PC.
pub const EMULATOR: &str = "qemu-system-x86_64";

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
