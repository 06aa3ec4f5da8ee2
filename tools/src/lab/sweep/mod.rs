//! `cargo vmm sweep`: one guest under every combination of changes to a policy.

mod database;
mod files;
mod plan;
mod plot;

use std::collections::{BTreeSet, VecDeque};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::measure::{self, Boot};
use crate::build;
use crate::failure::{Doing, Failure, Result, Status};
use crate::progress::{produce, say};
use crate::run::report::Report;
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use database::Database;
use plan::{Plan, Point};

/// Boots a guest under every combination of changes to a policy
///
/// The plan names a policy, intercepts to count or to pass, and keys with the values that they take. Each
/// combination is booted once, with instructions counted, on as many cores as there are, and put
/// into one SQLite file. A sweep that was interrupted goes on where it was. docs/sweep.md tells how to
/// spread one over machines.
#[derive(Args, Clone, Debug)]
pub struct Sweep {
    /// The plan
    plan: PathBuf,

    /// Run only every Nth point, beginning with the Kth (from 1), into a file of its own
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,

    /// Run nothing, but take in the points of these files; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    merge: Vec<PathBuf>,

    /// The database [default: what the plan says, else sweep.db]
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Boots at the same time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Run the points that failed once more
    #[arg(long)]
    retry: bool,

    /// Write a page with plots to FILE, in HTML
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// A part of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    part: usize,
    /// Of how many.
    parts: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Shard, String> {
        let shard = || {
            let (part, parts) = text.split_once('/')?;
            let (part, parts) = (part.parse().ok()?, parts.parse().ok()?);
            (1..=parts).contains(&part).then_some(Shard { part, parts })
        };
        shard().ok_or_else(|| "write K/N, with K from 1 to N".into())
    }
}

impl Shard {
    fn has(self, point: &Point) -> bool {
        point.number % self.parts == self.part - 1
    }
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &Sweep) -> Result<Status> {
    let plan = Plan::read(&command.plan)?;
    let points = plan.points(&build::sources(workspace)?)?;
    let keys: BTreeSet<_> = points.iter().map(|point| point.key.clone()).collect();
    let points: Vec<_> = points
        .into_iter()
        .filter(|point| command.shard.is_none_or(|shard| shard.has(point)))
        .collect();
    let file = output(command, &plan);
    let mut database = Database::open(&file)?;
    if command.merge.is_empty() {
        if command.retry {
            let failures = database.forget_failures()?;
            say(&format!("{failures} points failed and are run once more"));
        }
        setup::ensure(workspace, &[Need::LibrarySources, Need::Emulator])?;
        let jobs = command.jobs.map_or_else(
            || thread::available_parallelism().map_or(1, usize::from),
            usize::from,
        );
        fill(&points, &mut database, jobs, &|point| boot(&plan, point))?;
    } else {
        for shard in &command.merge {
            let new = database.merge(shard)?;
            say(&format!("{new} points from {}", shard.display()));
        }
    }
    let (rows, others): (Vec<_>, Vec<_>) = database
        .rows()?
        .into_iter()
        .partition(|row| keys.contains(&row.key));
    if !others.is_empty() {
        say(&format!(
            "{} points of another plan, or of the VMM as it was, stay in the file",
            others.len()
        ));
    }
    produce(&plot::table(&rows));
    if let Some(page) = &command.plot {
        std::fs::write(page, plot::page(&rows)).map_err(|error| {
            Failure::bad_input(format!("--plot: cannot write {}: {error}", page.display()))
        })?;
    }
    say(&format!("{} points in {}", rows.len(), file.display()));
    let failed = rows.iter().filter(|row| row.error.is_some()).count();
    if failed > 0 {
        say(&format!("{failed} of them failed; --retry runs them again"));
        return Ok(Status::GuestFailed);
    }
    Ok(Status::Good)
}

/// The database's file; that of a shard has the shard in its name.
fn output(command: &Sweep, plan: &Plan) -> PathBuf {
    let whole = command.output.as_ref().unwrap_or(&plan.database);
    match command.shard {
        Some(Shard { part, parts }) if command.output.is_none() => {
            let stem = whole.file_stem().unwrap_or_default().to_string_lossy();
            whole.with_file_name(format!("{stem}.{part}-of-{parts}.db"))
        }
        _ => whole.clone(),
    }
}

/// Boots one point.
fn boot(plan: &Plan, point: &Point) -> Result<Report> {
    let folder = tempfile::tempdir().doing(|| "make a temporary folder".to_string())?;
    // The names, which the VMM knows, are the same wherever the point is run.
    let config = folder.path().join("point.toml");
    std::fs::write(&config, plan.bootable(point, folder.path())?)
        .doing(|| "write a policy".to_string())?;
    let guest = point.guest.as_deref().map(|guest| {
        let link = folder.path().join("guest");
        let made = symlink(guest, &link);
        made.doing(|| format!("make a link to {}", guest.display()))?;
        Ok(link)
    });
    let run = measure::boot(&Boot {
        config,
        guest: guest.transpose()?,
        until: plan.until.clone(),
        timeout: plan.timeout,
        icount: true,
        counters: "totals",
    });
    let hide = |mut failure: Failure| {
        for place in [folder.path(), plan.policy_folder()] {
            let place = place.display().to_string();
            failure.message = failure.message.replace(&place, ".");
        }
        failure
    };
    run.map(|run| run.report).map_err(hide)
}

/// Runs the points that the database does not have, some at a time, and puts each in as soon as
/// it is done.
fn fill(
    points: &[Point],
    database: &mut Database,
    jobs: usize,
    boot: &(dyn Fn(&Point) -> Result<Report> + Sync),
) -> Result<()> {
    let done = database.done()?;
    let missing: VecDeque<&Point> = points
        .iter()
        .filter(|point| !done.contains(&point.key))
        .collect();
    let bar = progress(points.len(), points.len() - missing.len());
    let queue = Mutex::new(missing);
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, queue) = (sender.clone(), &queue);
            scope.spawn(move || {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(point) = next else { break };
                    let result = boot(point);
                    if is_interrupted(&result) || sender.send((point, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let stop = || queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for (point, result) in results {
            database.put(point, &result).inspect_err(|_| stop())?;
            bar.inc(1);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// A run that a person ended says nothing about its point.
fn is_interrupted(result: &Result<Report>) -> bool {
    matches!(result, Err(failure) if matches!(failure.status, Status::Signalled(_)))
}

fn progress(all: usize, done: usize) -> ProgressBar {
    let bar = ProgressBar::new(all as u64).with_position(done as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {pos} of {len} points, {elapsed}, {eta} to go")
    {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PLAN: &str = "intercepts = [\"rdtsc\", \"pause\", \"wbinvd\"]\n";

    /// A sweep that dies after any number of points goes on where it was.
    #[test]
    fn a_sweep_that_dies_anywhere_loses_nothing_and_runs_nothing_twice() {
        let points = plan::tests::points(PLAN);
        for survived in 0..=points.len() {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("sweep.db");
            let runs = AtomicUsize::new(0);
            let run = |_: &Point| {
                runs.fetch_add(1, Ordering::Relaxed);
                Ok(Report::default())
            };
            {
                // The file of a process that was killed: only what was put in is there.
                let mut database = Database::open(&file).expect("a database");
                fill(&points[..survived], &mut database, 2, &run).expect("points");
            }
            let mut database = Database::open(&file).expect("a database");
            fill(&points, &mut database, 2, &run).expect("points");
            assert_eq!(database.rows().expect("rows").len(), points.len());
            assert_eq!(
                runs.load(Ordering::Relaxed),
                points.len(),
                "after {survived}"
            );
        }
    }

    #[test]
    fn a_run_that_a_person_ended_is_no_result() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = Database::open(&folder.path().join("a.db")).expect("a database");
        let interrupted = |_: &Point| {
            Err(Failure {
                status: Status::INTERRUPTED,
                message: String::new(),
            })
        };
        fill(&plan::tests::points(PLAN), &mut database, 2, &interrupted).expect("nothing");
        assert!(database.done().expect("keys").is_empty());
    }

    #[test]
    fn shards_have_each_point_once() {
        let points = plan::tests::points(PLAN);
        for parts in 1..=10 {
            for point in &points {
                let has = |part| Shard { part, parts }.has(point);
                assert_eq!((1..=parts).filter(|part| has(*part)).count(), 1);
            }
        }
        for wrong in ["0/4", "5/4", "1", "1/0", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
