//! `cargo bench-exits`: what each gate costs, measured here and now.
//!
//! Boots of one policy under nested and under shadow paging, one with every gate up, and one of the
//! bare machine. Under `-icount shift=0,sleep=off` the time-stamp counter counts
//! instructions, to the instruction the same in every run; without it, it counts time, of which
//! only the ratio to the bare VMRUN loop of the same run means anything. Each boot is `run-qemu` or
//! `run-guest` as a person would call it.

mod figures;
mod kept;
pub mod linux;
mod several;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;

use crate::failure::{Doing, Failure, Result, Status};
use crate::progress::{produce, say};
use crate::table::{self, grouped};
use figures::{Figures, Row, Run, Runs};
use several::Several;

const POLICY: &str = include_str!("bench.toml");
/// The policy with the most rules that there is.
const EVERYTHING: &str = include_str!("../../../policies/count-everything.toml");

/// Measures what each exit costs: instructions for a round trip, and time as a ratio to a bare
/// VMRUN loop in the same run
#[derive(Args, Clone, Debug)]
pub struct BenchExits {
    /// Write the figures to FILE, in JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Measure only what several VMs cost each other
    #[arg(long, conflicts_with = "report")]
    several: bool,
}

/// Runs the command. A figure beyond its limit is a failed test.
pub fn run(command: &BenchExits) -> Result<Status> {
    let folder = tempfile::tempdir().doing(|| "make a temporary folder".to_string())?;
    let policy = folder.path().join("bench.toml");
    write(&policy, POLICY)?;

    say("counting instructions");
    let counted = boot(&policy, folder.path(), &["--icount"])?;
    say("measuring time");
    let timed = boot(&policy, folder.path(), &[])?;
    let several = || {
        say("sharing the processor among VMs");
        several::measure(folder.path(), &counted, &timed)
    };
    if command.several {
        let several = several()?;
        produce(&several.text());
        return Ok(verdict(&several));
    }
    say("counting instructions with every gate up");
    let crowded = folder.path().join("everything.toml");
    write(&crowded, &EVERYTHING.replace("\"exercise\"", "\"bench\""))?;
    let crowded = boot(&crowded, folder.path(), &["--icount"])?;
    say("the same under shadow paging");
    let shadow = folder.path().join("shadow.toml");
    write(&shadow, &format!("{POLICY}npt        = false\n"))?;
    let shadowed = boot(&shadow, folder.path(), &["--icount"])?;
    let shadowed_timed = boot(&shadow, folder.path(), &[])?;
    say("measuring time on the bare machine");
    let bare = Run {
        output: tool(folder.path(), "run-guest", &["--cmdline", "bench"])?,
        report: serde_json::Value::Null,
    };
    let figures = Figures::new(&Runs {
        counted: &counted,
        timed: &timed,
        crowded: &crowded,
        shadowed: &shadowed,
        shadowed_timed: &shadowed_timed,
        bare: &bare,
    })?;

    say("counting instructions with nothing kept on exits, and with more and more");
    let kept = kept::measure(folder.path(), true)?;
    say("the same under shadow paging");
    let kept_in_shadow = kept::measure(folder.path(), false)?;
    let several = several()?;

    say("editing vm.toml and booting");
    // A comment nobody wrote before, so that nothing of it can be built already.
    write(&policy, &format!("{POLICY}# {:?}\n", Instant::now()))?;
    let saved = Instant::now();
    let until_the_first_line = ["--until", "bench| "];
    vmm(&policy, folder.path(), &until_the_first_line)?;
    let first_line = saved.elapsed().as_secs_f64();
    let unchanged = Instant::now();
    vmm(&policy, folder.path(), &until_the_first_line)?;
    let boot = unchanged.elapsed().as_secs_f64();

    produce(&format!(
        "{}{}\n{}\n\nUnder shadow paging:\n\n{}\n\nInstructions of the round trip, by what is kept: see \
         docs/performance.md.\n",
        shown(&figures, first_line, boot),
        several.text(),
        kept::shown(&kept),
        kept::shown(&kept_in_shadow)
    ));
    if let Some(path) = &command.report {
        let text = serde_json::json!({
            "figures": figures, "kept": kept, "kept_under_shadow_paging": kept_in_shadow,
            "several": several,
            "first_line_seconds": first_line, "boot_seconds": boot
        });
        write(path, &format!("{text:#}\n"))?;
    }
    Ok(verdict(&several))
}

/// Tells of each figure beyond its limit.
fn verdict(several: &Several) -> Status {
    let beyond = several.beyond();
    beyond.iter().for_each(|figure| say(figure));
    if beyond.is_empty() {
        Status::Good
    } else {
        Status::GuestFailed
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).doing(|| format!("write {}", path.display()))
}

/// The tables for a person.
fn shown(figures: &Figures, first_line: f64, boot: f64) -> String {
    let or_nothing = |figure: Option<String>| figure.unwrap_or_default();
    let rows = figures.rows.iter().map(|row: &Row| {
        [
            row.name.clone(),
            row.instructions.to_string(),
            row.crowded.to_string(),
            row.shadowed.to_string(),
            format!("{:.2}", row.ratio),
            format!("{:.2}", row.shadow_ratio),
            or_nothing(row.kvm.map(|kvm| kvm.to_string())),
        ]
    });
    let round_trips = table::numbers(
        [
            "Round trip",
            "instructions",
            "every gate up",
            "shadow paging",
            "time / floor",
            "the same, shadow",
            "KVM, instructions",
        ],
        rows,
    );
    format!(
        "{round_trips}\n\n\
         Instructions of the whole round trip, counters on, the guest's loop of two included; the\n\
         floor is a bare VMRUN loop with VMMCALL as guest. Every gate up: the same under\n\
         policies/count-everything.toml, which intercepts all that QEMU can. KVM: Linux 6.1 on QEMU 7.2's emulated\n\
         EPYC, which has no nRIP, so that KVM decodes instructions in software there; its page fault and\n\
         CR3 are with npt=0.\n\n\
         Paging under nested paging: {} exits. Computing, in time of the bare machine's: {:.2} under nested\n\
         paging, {:.2} under shadow paging.\n\
         The VMM's own memory: {} KiB. From vm.toml saved to the guest's first line: {first_line:.1} s,\n\
         of which {boot:.1} s are the boot, as without a change.\n",
        grouped(figures.paging_exits),
        figures.computing[0],
        figures.computing[1],
        grouped(figures.vmm_bytes / 1024),
    )
}

/// One boot with the bare loop before it: standard output, and the report.
fn boot(policy: &Path, folder: &Path, options: &[&str]) -> Result<figures::Run> {
    let words = [options, &["--", "-append", "tollgate floor switches"]].concat();
    reported(policy, folder, &words)
}

/// One boot: standard output, and the report.
fn reported(policy: &Path, folder: &Path, options: &[&str]) -> Result<figures::Run> {
    let report = folder.join("report.json");
    let words = [&["--report", report.to_str().unwrap_or_default()], options].concat();
    let output = vmm(policy, folder, &words)?;
    let report = read_report(&report)?;
    Ok(figures::Run { output, report })
}

fn read_report(file: &Path) -> Result<serde_json::Value> {
    let report = std::fs::read(file).doing(|| "read the report of the run".to_string())?;
    serde_json::from_slice(&report)
        .map_err(|error| Failure::host(format!("the report of the run makes no sense: {error}")))
}

/// The VMM under a policy; its standard output.
fn vmm(policy: &Path, folder: &Path, options: &[&str]) -> Result<String> {
    let policy = policy.to_str().unwrap_or_default();
    let words = [&["--config", policy], options].concat();
    tool(folder, "run-qemu", &words)
}

/// A command of this very program; its standard output.
fn tool(folder: &Path, command: &str, words: &[&str]) -> Result<String> {
    let program = std::env::current_exe().doing(|| "find this program".to_string())?;
    let finished = Command::new(program)
        .arg(command)
        .args(words)
        .current_dir(folder)
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::inherit())
        .output()
        .doing(|| format!("start {command}"))?;
    if !finished.status.success() {
        return Err(Failure::host(format!(
            "the benchmark's boot ended with {}:\n{}",
            finished.status,
            String::from_utf8_lossy(&finished.stdout)
        )));
    }
    Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
}
