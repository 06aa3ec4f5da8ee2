//! `cargo vmm check`: what is wrong with policies.

use std::path::PathBuf;

use clap::Args;
use vmm_config::Report;

use super::{errors, file, read, show};
use crate::failure::{Doing, Result, Status};
use crate::progress::{produce, tell};
use crate::workspace::Workspace;

/// Checks policies without building anything. Ends with 2 if one of them is refused
#[derive(Args, Debug)]
pub struct Check {
    /// The policies [default: the workspace's vm.toml]
    files: Vec<PathBuf>,

    /// Print the findings as JSON: a list with an object for each file
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &Check) -> Result<Status> {
    let usual = [file(workspace, None)];
    let files = match &command.files[..] {
        [] => &usual[..],
        files => files,
    };
    let reports: Vec<Report> = files
        .iter()
        .map(|file| read(workspace, file).map_or_else(|report| report, |good| good.warnings))
        .collect();
    if command.json {
        let json = serde_json::to_string_pretty(&reports).doing(|| "write JSON".to_string())?;
        produce(&format!("{json}\n"));
    } else {
        for report in &reports {
            show(report);
            tell(&format!("{}: {}\n", report.source.name, verdict(report)));
        }
    }
    Ok(if reports.iter().any(Report::has_errors) {
        Status::BadInput
    } else {
        Status::Good
    })
}

fn verdict(report: &Report) -> String {
    let errors = errors(report);
    let warnings = report.findings.len() - errors;
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    match (errors, warnings) {
        (0, 0) => "good".to_owned(),
        (0, _) => format!("good, with {}", counted(warnings, "warning")),
        (_, 0) => counted(errors, "error"),
        _ => format!(
            "{}, {}",
            counted(errors, "error"),
            counted(warnings, "warning")
        ),
    }
}
