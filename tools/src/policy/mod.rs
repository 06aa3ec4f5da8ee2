//! `cargo vmm check`, `expand`, `diff` and `explain`: what a policy says, without building it.

pub mod check;
pub mod diff;
pub mod expand;
pub mod explain;
mod facts;

use std::path::{Path, PathBuf};

use vmm_config::{Lowered, Report, Severity};

use crate::failure::{Failure, Result};
use crate::progress::{has_colour, tell};
use crate::workspace::Workspace;

/// Reads and checks the policy in a file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(workspace: &Workspace, config: &Path) -> std::result::Result<Lowered, Report> {
    let handlers = workspace.root().join("boot/src/handlers.rs");
    vmm_config::load(config, Some(&handlers))
}

/// Reads and checks the policy in a file. Shows everything that is wrong with it, and what is
/// probably not meant.
pub fn load(workspace: &Workspace, config: &Path) -> Result<Lowered> {
    match read(workspace, config) {
        Ok(lowered) => {
            show(&lowered.warnings);
            Ok(lowered)
        }
        Err(report) => {
            show(&report);
            let message = match errors(&report) {
                1 => format!("{} has an error", config.display()),
                errors => format!("{} has {errors} errors", config.display()),
            };
            Err(Failure::bad_input(message))
        }
    }
}

/// Shows the pictures of a report.
fn show(report: &Report) {
    let colour = has_colour(&std::io::stderr());
    for picture in report.pictures(colour) {
        tell(&format!("{picture}\n\n"));
    }
}

/// How many of a report's findings are errors.
fn errors(report: &Report) -> usize {
    let is_error = |finding: &&vmm_config::Finding| finding.severity == Severity::Error;
    report.findings.iter().filter(is_error).count()
}

/// The policy that a command is about: the one that is named, else the workspace's own.
fn file(workspace: &Workspace, named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| workspace.root().join("vm.toml"), Path::to_path_buf)
}
