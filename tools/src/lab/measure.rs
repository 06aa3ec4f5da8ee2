//! One boot of a policy, and what it came to.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::Deserialize;

use crate::failure::{Doing, Failure, Result, Status};
use crate::run::emulator::die_with_us;
use crate::run::report::Report;

/// What is booted, and up to where.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The policy.
    pub config: PathBuf,
    /// A kernel in the place of the first VM's.
    pub guest: Option<PathBuf>,
    /// Ends the run when the serial output contains it.
    pub until: Option<String>,
    /// Ends the run after so many seconds, as a failure.
    pub timeout: u32,
    /// Count instructions instead of time.
    pub icount: bool,
    /// What is kept on the exits.
    pub counters: &'static str,
}

/// What a boot came to.
#[derive(Clone, Debug)]
pub struct Run {
    /// The report.
    pub report: Report,
    /// Standard output: the serial line.
    pub output: String,
    /// How long the whole command took.
    pub took: Duration,
}

/// Boots once.
///
/// # Errors
/// The run did not end well, or never got to its marker; the message ends with its last words.
pub fn boot(boot: &Boot) -> Result<Run> {
    let folder = tempfile::tempdir().doing(|| "make a temporary folder".to_string())?;
    let file = folder.path().join("report.json");
    let program = std::env::current_exe().doing(|| "find this program".to_string())?;
    let mut command = Command::new(program);
    command
        .args(["run-qemu", "--timeout", &boot.timeout.to_string()])
        .args(["--counters", boot.counters])
        .arg("--config")
        .arg(&boot.config)
        .arg("--report")
        .arg(&file)
        .stdin(Stdio::null());
    if boot.icount {
        command.arg("--icount");
    }
    if let Some(guest) = &boot.guest {
        command.arg("--guest").arg(guest);
    }
    if let Some(until) = &boot.until {
        command.arg("--until").arg(escaped(until));
    }
    // It ends its emulator itself, and removes its files.
    die_with_us(&mut command, Signal::SIGTERM, Vec::new());
    let started = Instant::now();
    let finished = command.output().doing(|| "start run-qemu".to_string())?;
    let took = started.elapsed();
    if !finished.status.success() {
        return Err(failed(&boot.config, &finished));
    }
    Ok(Run {
        report: read(&file)?,
        output: String::from_utf8_lossy(&finished.stdout).into_owned(),
        took,
    })
}

fn read(file: &Path) -> Result<Report> {
    let text = std::fs::read(file).doing(|| "read the report of the run".to_string())?;
    let mut reader = serde_json::Deserializer::from_slice(&text);
    Report::deserialize(&mut reader)
        .map_err(|error| Failure::host(format!("the report of the run makes no sense: {error}")))
}

/// As the command line wants it: `--until` replaces escapes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
}

fn failed(config: &Path, finished: &std::process::Output) -> Failure {
    const LAST_WORDS: usize = 12;
    let said = [&finished.stdout, &finished.stderr].map(|said| String::from_utf8_lossy(said));
    let lines: Vec<_> = said.iter().flat_map(|said| said.lines()).collect();
    let last = lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n  ");
    let message = format!(
        "the boot of {} ended with {}:\n  {last}",
        config.display(),
        finished.status
    );
    let status = match finished.status.code() {
        Some(1) => Status::GuestFailed,
        Some(2) => Status::BadInput,
        Some(3) => Status::Unavailable,
        Some(5) => Status::UntilUnmatched,
        Some(124) => Status::TimedOut,
        Some(130) => Status::INTERRUPTED,
        _ => Status::HostFailed,
    };
    Failure { status, message }
}
