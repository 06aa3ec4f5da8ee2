//! `cargo vmm test`: the workspace's tests, and with `--all` those that take long as well.

use std::process::Command;

use clap::Args;

use crate::failure::{Doing, Result, Status};
use crate::workspace::Workspace;

/// Runs the tests, as cargo test does, and with --all those that take long as well.
#[derive(Args, Clone, Debug)]
pub struct Test {
    /// The long ones too
    #[arg(long)]
    all: bool,
}

/// The VMM as a replay links it, with its journal. Its features are not those of the VMM that
/// boots, so `cargo test` leaves it out.
const REPLAY: [&str; 5] = ["test", "--package", "replay", "--package", "vmm-core"];
/// The boots that `cargo test` leaves out.
const LONG: [&str; 6] = ["test", "--test", "boots", "--", "--ignored", "slow::"];

/// Runs the command.
pub fn run(workspace: &Workspace, command: &Test) -> Result<Status> {
    let short: &[&str] = &["test"];
    let others: &[&[&str]] = if command.all { &[&REPLAY, &LONG] } else { &[] };
    for arguments in [short].iter().chain(others) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let tested = Command::new(cargo)
            .args(*arguments)
            .current_dir(workspace.root())
            .status()
            .doing(|| "start cargo".to_string())?;
        if !tested.success() {
            // cargo has told which test failed, or what does not compile.
            return Ok(Status::GuestFailed);
        }
    }
    Ok(Status::Good)
}
