//! `cargo vmm compare`: the same guest under several policies, side by side.
//!
//! Each policy is booted once with instructions counted, so that every number but the time is
//! the same in every run, and as often as asked for with real time.

mod page;
mod sides;
mod table;

use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;
use serde::Serialize;

use super::measure::{self, Boot, Run};
use crate::failure::{Failure, Result, Status};
use crate::policy;
use crate::progress::{produce, say};
use crate::run::options::existing;
use crate::run::policy::Policy;
use crate::run::report::Report;
use crate::run::text::unescape;
use crate::setup::{self, Need};
use crate::{build, workspace::Workspace};
pub use sides::{Sides, VmSides};

/// Boots the same guest under each policy and shows side by side what differs
///
/// What differs in the policies, exits by name, instructions and host time to the same marker,
/// and what each difference costs. Instructions are counted (`--icount`), so that they are the
/// same in every run.
#[derive(Args, Clone, Debug)]
pub struct Compare {
    /// The policies, a letter each; the others are compared with the first
    #[arg(required = true, num_args = 2..=26, value_name = "POLICY")]
    policies: Vec<PathBuf>,

    /// Boot FILE, a Multiboot kernel, in the first VM of each
    #[arg(long, value_name = "FILE")]
    guest: Option<PathBuf>,

    /// The marker: end each run when a guest's serial output contains TEXT [default: when all VMs
    /// have ended]
    #[arg(long, value_name = "TEXT", value_parser = unescape, allow_hyphen_values = true)]
    until: Option<String>,

    /// Count by port, MSR, CPUID leaf and call as well, which makes each exit costlier than it is
    #[arg(long)]
    details: bool,

    /// Boot each so often with real time as well, for the host time
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: u32,

    /// Give up on a run after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,

    /// Write everything to FILE, in JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Write a page with plots to FILE, in HTML
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// One policy and its runs.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// The file, as the person named it.
    pub policy: String,
    /// In what it differs from the first, a line each.
    pub differences: Vec<String>,
    /// The counted run.
    pub counted: Report,
    /// Seconds of each run in real time, of the whole command.
    pub seconds: Vec<f64>,
}

impl Side {
    /// The middle of the times, if there are any.
    pub fn median(&self) -> Option<f64> {
        let mut seconds = self.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        let upper = seconds.get(seconds.len() / 2)?;
        let lower = seconds.get((seconds.len() - 1) / 2)?;
        Some(f64::midpoint(*lower, *upper))
    }
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &Compare) -> Result<Status> {
    let guest = command
        .guest
        .as_deref()
        .map(|file| existing("--guest", file))
        .transpose()?;
    let first = policy::load(workspace, &command.policies[0])?;
    let mut differences = Vec::new();
    for file in &command.policies {
        let other = policy::load(workspace, file)?;
        let text = policy::diff::policies(&first, &other);
        differences.push(text.lines().map(str::to_owned).collect());
    }
    prepare(workspace, &command.policies)?;
    let boots: Vec<_> = command
        .policies
        .iter()
        .map(|config| Boot {
            config: config.clone(),
            guest: guest.clone(),
            until: command.until.clone(),
            timeout: command.timeout,
            icount: true,
            counters: if command.details { "details" } else { "totals" },
        })
        .collect();
    say(&format!(
        "counting instructions under {} policies",
        boots.len()
    ));
    let counted = at_once(&boots)?;
    let seconds = timed(&boots, command.runs)?;
    let sides: Vec<_> = command
        .policies
        .iter()
        .zip(differences)
        .zip(counted.into_iter().zip(seconds))
        .map(|((file, differences), (counted, seconds))| Side {
            policy: file.display().to_string(),
            differences,
            counted: counted.report,
            seconds,
        })
        .collect();
    conclude(command, &sides)
}

fn conclude(command: &Compare, sides: &[Side]) -> Result<Status> {
    let compared = Sides::new(sides);
    produce(&table::text(sides, &compared));
    if let Some(file) = &command.report {
        let value = serde_json::json!({ "policies": sides, "vms": compared.vms });
        write(file, &format!("{value:#}\n"))?;
    }
    if let Some(file) = &command.html {
        write(file, &page::page(sides, &compared))?;
        say(&format!("the page is in {}", file.display()));
    }
    Ok(Status::Good)
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text)
        .map_err(|error| Failure::bad_input(format!("cannot write {}: {error}", file.display())))
}

/// Builds every VMM, so that no run waits for a compiler.
fn prepare(workspace: &Workspace, files: &[PathBuf]) -> Result<()> {
    setup::ensure(workspace, &[Need::LibrarySources, Need::Emulator])?;
    for file in files {
        let config = existing("POLICY", file)?;
        let policy = Policy::load(workspace, &config)?;
        build::vmm(workspace, &config, &policy.linked_images())?;
    }
    Ok(())
}

/// Counted runs do not disturb each other, however busy the host is: as many as it has cores.
fn at_once(boots: &[Boot]) -> Result<Vec<Run>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut runs = Vec::new();
    for some in boots.chunks(cores) {
        let done: Vec<Result<Run>> = thread::scope(|scope| {
            let threads: Vec<_> = some
                .iter()
                .map(|boot| scope.spawn(|| measure::boot(boot)))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(Failure::host("a boot's thread broke")))
                })
                .collect()
        });
        for run in done {
            runs.push(run?);
        }
    }
    Ok(runs)
}

/// Seconds of each run of each boot. The policies take turns, so that a busy moment of the host
/// meets all alike.
fn timed(boots: &[Boot], runs: u32) -> Result<Vec<Vec<f64>>> {
    let mut seconds = vec![Vec::new(); boots.len()];
    for round in 0..runs {
        say(&format!("measuring time, {} of {runs}", round + 1));
        for (boot, seconds) in boots.iter().zip(&mut seconds) {
            let boot = Boot {
                icount: false,
                counters: "totals",
                ..boot.clone()
            };
            seconds.push(measure::boot(&boot)?.took.as_secs_f64());
        }
    }
    Ok(seconds)
}
