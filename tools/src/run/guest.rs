//! `cargo run-guest`: the guest kernel on the bare machine, without the VMM.

use std::path::PathBuf;

use clap::Args;

use super::options::{Options, existing};
use super::outcome::Verdict;
use super::qemu::{Firmware, Launch, Medium};
use crate::build;
use crate::failure::{Result, Status};
use crate::progress::say;
use crate::workspace::Workspace;

/// The memory of the bare machine: what vm.toml gives the guest in the VM.
const MEMORY_MIB: u64 = 64;

/// Boots the guest kernel on a bare machine, without the VMM.
///
/// Ends with 0 when the kernel powers off, and with 1 when it resets the machine.
#[derive(Args, Clone, Debug)]
pub struct RunGuest {
    /// Another Multiboot kernel than the workspace's own
    #[arg(long, value_name = "FILE")]
    guest: Option<PathBuf>,

    /// The kernel's command line
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    cmdline: Option<String>,

    #[command(flatten)]
    options: Options,
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &RunGuest) -> Result<Status> {
    let options = &command.options;
    let given = command
        .guest
        .as_deref()
        .map(|file| existing("--guest", file))
        .transpose()?;
    options.set_up(workspace)?;
    let program = options.emulator()?;
    let kernel = given.map_or_else(|| build::guest(workspace), Ok)?;
    let launch = Launch {
        program,
        cpu: "max",
        memory_mib: MEMORY_MIB,
        shared: None,
        medium: Medium::Kernel {
            file: kernel,
            cmdline: command.cmdline.clone(),
            modules: Vec::new(),
        },
        firmware: Firmware::Bios,
        display: options.display,
        icount: options.icount,
        debug_exit: false,
        extra: options.extra.clone(),
    };
    say(&options.announcement("the guest kernel on a bare machine"));
    let (ending, _) = super::boot(|| launch.start(), options.plan(false))?;
    let verdict = Verdict::on_bare_machine(&ending, options.until());
    super::explain(&verdict);
    Ok(verdict.status)
}
