//! Carries out a step of the set-up plan.

use std::io::{self, BufRead};
use std::process::Command;

use super::plan::{self, Privilege};
use crate::failure::{Doing, Failure, Result};
use crate::progress::{run_shown, say, tell};

/// Asks rustup for the library sources. Its refusal is no failure: it may
/// have no network, or serve no such component; Debian is asked next.
pub fn add_rust_source() -> Result<()> {
    let rustup = run_shown(
        "getting the sources of Rust's core library from rustup (component rust-src)",
        Command::new("rustup").args(["component", "add", "rust-src"]),
    )?;
    if !rustup.status.success() {
        let reason = rustup
            .output
            .lines()
            .find(|line| line.starts_with("error"))
            .unwrap_or_default();
        say(&format!(
            "rustup could not bring them ({})",
            reason.trim_start_matches("error: ")
        ));
    }
    Ok(())
}

/// Installs Debian packages.
pub fn packages(packages: &[&str], privilege: Privilege) -> Result<()> {
    let typed = match privilege {
        Privilege::Root => plan::apt_command(packages),
        Privilege::SudoQuietly | Privilege::AskThenSudo => {
            format!("sudo {}", plan::apt_command(packages))
        }
    };
    say("some programs are missing that build or boot Tollgate");
    for package in packages {
        say(&format!("  {package}: {}", purpose(package)));
    }
    if privilege == Privilege::AskThenSudo {
        ask(&typed)?;
    }
    // Old or empty lists are the usual reason why an installation fails, so
    // they are renewed first; if that fails, they may be good enough.
    let lists = run_shown(
        "reading the package lists",
        &mut apt_get(privilege, &["update"]),
    )?;
    if !lists.status.success() {
        say("apt-get update failed; going on with the package lists that are here");
    }
    let what = format!("installing {}", packages.join(", "));
    let mut install = apt_get(privilege, &["install", "--yes", "--no-install-recommends"]);
    install
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(packages);
    let installed = run_shown(&what, &mut install)?;
    if installed.status.success() {
        return Ok(());
    }
    Err(Failure::unavailable(format!(
        "apt-get could not install {}:\n{}\nWhen the cause is mended, run the command again, or type:\n  {typed}",
        packages.join(", "),
        indented(&installed.output),
    )))
}

fn apt_get(privilege: Privilege, arguments: &[&str]) -> Command {
    let mut command = match privilege {
        Privilege::Root => Command::new("env"),
        // A person was asked for the password just before, see `ask`.
        Privilege::SudoQuietly | Privilege::AskThenSudo => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "env"]);
            sudo
        }
    };
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
        .args(arguments);
    command
}

/// Asks whether to install, and has sudo ask for the password if it must.
fn ask(typed: &str) -> Result<()> {
    tell(&format!("tollgate: run `{typed}` now? [Y/n] "));
    let mut answer = String::new();
    let read = io::stdin()
        .lock()
        .read_line(&mut answer)
        .doing(|| "read your answer".to_string())?;
    let agreed = read > 0 && matches!(answer.trim(), "" | "y" | "Y" | "yes" | "Yes");
    let refused = || {
        Failure::unavailable(format!(
            "nothing was installed; to do it yourself, type:\n  {typed}"
        ))
    };
    if !agreed {
        return Err(refused());
    }
    let sudo = Command::new("sudo")
        .arg("-v")
        .status()
        .doing(|| "start sudo".to_string())?;
    if sudo.success() {
        Ok(())
    } else {
        Err(refused())
    }
}

fn purpose(package: &str) -> &'static str {
    match package {
        "qemu-system-x86" => "the PC that Tollgate boots on",
        "qemu-system-gui" => "QEMU's windows",
        "rustc-web" => "a compiler whose library sources Debian has",
        "rust-web-src" => "these sources, to build Rust's core library for bare metal",
        "ovmf" => "UEFI for that PC",
        "bochs" => "another PC that Tollgate boots on",
        "bochsbios" | "vgabios" => "the BIOS of that other PC",
        "grub-common" => "the boot loader",
        "grub-pc-bin" => "its part for BIOS",
        "grub-efi-amd64-bin" => "its part for UEFI",
        "xorriso" => "makes a disc image",
        "nodejs" => "runs an editor's language server in the tests",
        "npm" => "brings that language server",
        "python3-venv" => "where Perfetto's own package reads traces in the tests",
        "mtools" => "makes the partition in it that UEFI starts from",
        _ => "needed",
    }
}

/// The last lines of an output, set apart from the text around it.
fn indented(output: &str) -> String {
    const SHOWN: usize = 15;
    let lines: Vec<_> = output.lines().collect();
    let last = lines.len().saturating_sub(SHOWN);
    lines[last..]
        .iter()
        .map(|line| format!("  | {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
