//! `cargo vmm expand`: a policy with everything resolved, or the Rust that it becomes.

use std::path::PathBuf;

use clap::Args;
use vmm_config::expand::Expanded;

use super::{file, load};
use crate::failure::{Result, Status};
use crate::progress::produce;
use crate::workspace::Workspace;

/// Prints a policy with sets and defaults resolved, each line with where it comes from
#[derive(Args, Debug)]
pub struct Expand {
    /// The policy [default: the workspace's vm.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print the Rust code that is generated from it instead
    #[arg(long)]
    rust: bool,
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &Expand) -> Result<Status> {
    let policy = load(workspace, &file(workspace, command.config.as_deref()))?;
    produce(&if command.rust {
        vmm_config_emit::text(&policy)
    } else {
        Expanded(&policy).to_string()
    });
    Ok(Status::Good)
}
