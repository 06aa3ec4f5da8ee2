//! Traces: every exit of a run, or the last ones of a VM that ended, one by one.
//!
//! `run-qemu --trace FILE` writes one, `cargo vmm trace FILE` reads it. The file is what the VMM
//! said on COM2, a JSON object a line, of the kinds `hello` and `trace`, and before them a line
//! with the actions of the policy.

mod csv;
mod perfetto;
mod protobuf;
mod text;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::{Failure, Result, Status};
use crate::progress::{produce, say};
use crate::run::trace::{self as file, Exit, Trace};
use text::Filter;

/// Prints, filters and sums up a trace, or writes it in another format
///
/// A trace is what `run-qemu --trace FILE` has written, or the last exits of a VM whose policy
/// says `trace = N`.
#[derive(Args, Clone, Debug)]
pub struct ShowTrace {
    /// The trace
    file: PathBuf,

    #[command(flatten)]
    filter: Filter,

    /// Show counts and times by exit, and not each exit
    #[arg(long)]
    sum: bool,

    /// Write it to FILE in Perfetto's format, for ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    perfetto: Option<PathBuf>,

    /// Write it to FILE as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// Runs the command.
pub fn run(command: &ShowTrace) -> Result<Status> {
    let mut trace = file::read(&command.file)?;
    for vm in &command.filter.vms {
        if !trace.vms.iter().any(|known| known.name == *vm) {
            let names: Vec<_> = trace.vms.iter().map(|vm| vm.name.as_str()).collect();
            return Err(Failure::bad_input(format!(
                "--vm: there is no VM `{vm}` in the trace; there is {}",
                names.join(", ")
            )));
        }
    }
    command.filter.apply(&mut trace);
    if let Some(file) = &command.perfetto {
        save(file, &perfetto::encode(&trace))?;
    }
    if let Some(file) = &command.csv {
        save(file, csv::encode(&trace).as_bytes())?;
    }
    if command.sum {
        produce(&text::sums(&trace));
    } else if command.perfetto.is_none() && command.csv.is_none() {
        produce(&text::lines(&trace));
    }
    Ok(Status::Good)
}

fn save(file: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(file, bytes)
        .map_err(|error| Failure::bad_input(format!("cannot write {}: {error}", file.display())))?;
    say(&format!(
        "{} KiB in {}",
        bytes.len().div_ceil(1024),
        file.display()
    ));
    Ok(())
}
