//! `cargo vmm replay`: a recorded run again, on the host and without QEMU.
//!
//! The policy and the handlers are compiled for the host, as they are now, and fed with what the
//! journal has. The program that does so is the crate `replay`.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::build;
use crate::failure::{Doing, Failure, Result, Status};
use crate::policy;
use crate::run::journal;
use crate::run::options::config_file;
use crate::workspace::Workspace;

/// Replays a recorded run on the host: the same answers to every exit, or the first difference
///
/// A record is what `run-qemu --record FILE` has written. The policy and the handlers are as they
/// are now: whoever changes one sees where that changes the run.
///
/// Ends with 0 when all is the same, 1 at a difference, 2 when the file is none or the policy is
/// wrong, 3 when the policy or a handler does not compile.
#[derive(Args, Clone, Debug)]
pub struct Replay {
    /// The record
    file: PathBuf,

    /// The policy [default: that of the run]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &Replay) -> Result<Status> {
    let recorded = journal::run_of(&command.file)?;
    let config = config_file(
        workspace,
        Some(command.config.as_deref().unwrap_or(&recorded.config)),
    )?;
    policy::load(workspace, &config)?;
    let program = build::replayer(workspace, &config)?;
    let ended = Command::new(&program)
        .arg(&command.file)
        .status()
        .doing(|| format!("start {}", program.display()))?;
    match ended.code() {
        Some(0) => Ok(Status::Good),
        Some(1) => Ok(Status::GuestFailed),
        Some(2) => Ok(Status::BadInput),
        _ => Err(Failure::host(format!("the replay ended with {ended}"))),
    }
}
