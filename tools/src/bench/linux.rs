//! `cargo vmm bench-linux`: what a Linux nobody here wrote stops for on its way to a prompt, and
//! how much longer that way takes than on the bare machine.
//!
//! Exits are counted under `-icount`, where two runs are alike. Without the paravirtual clock Linux
//! measures its TSC by polling the interval timer, some thousands of times, and most where an exit is
//! short: that is counted as well, and what remains with the TSC hidden from it. Times are of whole runs, from the
//! command to the prompt, the least of a few in turn; only their ratio means anything.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::Value;
use vmm_config::words::Debian;

use super::{read_report, tool, vmm, write};
use crate::debian;
use crate::failure::{Doing, Failure, Result, Status};
use crate::progress::{produce, say};
use crate::table::{self, grouped};
use crate::workspace::Workspace;

const POLICY: &str = include_str!("../../../policies/linux.toml");
const STRICT: &str = include_str!("../../../policies/strict.toml");
/// The initial file system's shell is ready.
const PROMPT: &str = "linux# ";
/// Each way is timed so often.
const ROUNDS: usize = 3;

/// Measures Debian's Linux on its way to a prompt: exits by name, instructions counted, and the
/// time against that on the bare machine
#[derive(Args, Clone, Debug)]
pub struct BenchLinux {
    /// Write the figures to FILE, in JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What was measured.
#[derive(serde::Serialize)]
struct Figures {
    /// By policy: its name, and its exits, the most frequent first. The first is what the others are
    /// held against.
    exits: Vec<(&'static str, Vec<Exit>)>,
    bare_seconds: f64,
    nested_seconds: f64,
    shadow_seconds: f64,
}

/// One kind of exit on the way to the prompt.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
struct Exit {
    name: String,
    count: u64,
    /// What the VMM executed for them.
    instructions: u64,
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &BenchLinux) -> Result<Status> {
    let folder = tempfile::tempdir().doing(|| "make a temporary folder".to_string())?;
    let place = |name: &str, text: &str| -> Result<PathBuf> {
        let file = folder.path().join(name).with_extension("toml");
        write(&file, text)?;
        Ok(file)
    };
    let nested = place("nested", POLICY)?;
    let shadow = place("shadow", &POLICY.replace("initrd ", "npt = false\ninitrd "))?;

    let mut exits = Vec::new();
    let polling = POLICY.replace(", \"pvclock\"", "");
    let hidden = "cpuid = { hide = [\"tsc\", \"rdtscp\"] }\ninitrd ";
    for (name, policy) in [
        ("minimal", POLICY),
        ("no pvclock", &polling),
        ("TSC hidden", &polling.replace("initrd ", hidden)),
        (
            "shadow paging",
            &POLICY.replace("initrd ", "npt = false\ninitrd "),
        ),
        ("strict", &strict()?),
    ] {
        say(&format!("counting the exits to the prompt: {name}"));
        let policy = place("counted", policy)?;
        exits.push((name, counted(&policy, folder.path())?));
    }

    say("measuring the time to the prompt");
    let mut times = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        let ways: [&dyn Fn() -> Result<()>; 3] = [
            &|| bare(workspace, folder.path()),
            &|| vmm(&nested, folder.path(), &["--until", PROMPT]).map(drop),
            &|| vmm(&shadow, folder.path(), &["--until", PROMPT]).map(drop),
        ];
        for (least, way) in times.iter_mut().zip(ways) {
            let started = Instant::now();
            way()?;
            *least = least.min(started.elapsed().as_secs_f64());
        }
    }
    let [bare_seconds, nested_seconds, shadow_seconds] = times;
    let figures = Figures {
        exits,
        bare_seconds,
        nested_seconds,
        shadow_seconds,
    };
    produce(&shown(&figures));
    if let Some(path) = &command.report {
        let text = serde_json::to_string_pretty(&figures).doing(|| "write figures".to_string())?;
        write(path, &text)?;
    }
    Ok(Status::Good)
}

/// The policy of Linux, with the intercepts of the strict one.
fn strict() -> Result<String> {
    let set = STRICT.split("[[vm]]").next().unwrap_or_default();
    let vm = POLICY.find("[[vm]]").map(|at| &POLICY[at..]);
    let vm = vm.ok_or_else(|| Failure::host("policies/linux.toml has no VM"))?;
    Ok(format!("{set}\n{}", vm.replace("\"base\"", "\"strict\"")))
}

/// The exits to the prompt, instructions counted.
fn counted(policy: &Path, folder: &Path) -> Result<Vec<Exit>> {
    let report = folder.join("report.json");
    let words = ["--report", report.to_str().unwrap_or_default()];
    let words = [&words[..], &["--icount", "--until", PROMPT]].concat();
    vmm(policy, folder, &words)?;
    by_name(&read_report(&report)?)
}

/// The exits of the first VM of a report, the most frequent first.
///
/// Under `-icount` a tick of the TSC is an instruction.
fn by_name(report: &Value) -> Result<Vec<Exit>> {
    let exits = report["vms"][0]["exits"].as_array();
    let exits = exits.ok_or_else(|| Failure::host("the report has no exits"))?;
    let mut exits: Vec<Exit> = exits
        .iter()
        .filter_map(|exit| {
            Some(Exit {
                name: exit["name"].as_str()?.to_owned(),
                count: exit["count"].as_u64()?,
                instructions: exit["cycles"].as_u64()?,
            })
        })
        .collect();
    exits.sort_by_key(|exit| std::cmp::Reverse(exit.count));
    Ok(exits)
}

/// The same kernel by QEMU's own loader, without the VMM.
fn bare(workspace: &Workspace, folder: &Path) -> Result<()> {
    let kernel = debian::fetch(workspace, Debian::LinuxCloudAmd64)?;
    let initrd = debian::fetch(workspace, Debian::BusyboxAmd64)?;
    let line = POLICY
        .lines()
        .find_map(|line| line.strip_prefix("cmdline    = \"")?.strip_suffix('"'))
        .ok_or_else(|| Failure::host("policies/linux.toml has no command line"))?;
    let [kernel, initrd] = [&kernel, &initrd].map(|file| file.to_str().unwrap_or_default());
    let words = ["--guest", kernel, "--cmdline", line, "--until", PROMPT];
    let qemu = ["--", "-m", "128M", "-initrd", initrd];
    tool(folder, "run-guest", &[&words[..], &qemu[..]].concat()).map(drop)
}

/// The tables for a person.
fn shown(figures: &Figures) -> String {
    let mut text = String::new();
    let usual = figures.exits.first().map_or(&[][..], |(_, exits)| exits);
    for (name, exits) in &figures.exits {
        let row = |name: &str, count, instructions| {
            [name.to_owned(), grouped(count), grouped(instructions)]
        };
        let sum = |of: fn(&Exit) -> u64| exits.iter().map(of).sum();
        let rows = exits
            .iter()
            .map(|exit| {
                let is_usual = usual.iter().any(|other| other.name == exit.name);
                let mark = if is_usual { "" } else { "+ " };
                let name = format!("{mark}{}", exit.name);
                row(&name, exit.count, exit.instructions)
            })
            .chain([row(
                "all exits",
                sum(|exit| exit.count),
                sum(|exit| exit.instructions),
            )]);
        let headings = [&format!("{name}: exit"), "count", "instructions of the VMM"];
        text.push_str(&format!("{}\n\n", table::numbers(headings, rows)));
    }
    let ratio = |seconds: f64| seconds / figures.bare_seconds;
    text.push_str(&format!(
        "Counted with `-icount`; what has a + does not stop the guest under the first policy.\n\n\
         To the prompt on the bare machine, its BIOS included: {:.2} s. Under nested paging {:.2} times as long, under\n\
         shadow paging {:.2} times.\n",
        figures.bare_seconds,
        ratio(figures.nested_seconds),
        ratio(figures.shadow_seconds),
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_listed_from_the_most_frequent_on() {
        let report = serde_json::json!({ "vms": [{ "exits": [
            { "name": "cpuid", "count": 3, "cycles": 7 },
            { "name": "ioio", "count": 5, "cycles": 9 },
        ] }] });
        let exits = by_name(&report).expect("exits");
        let exit = |name: &str, count, instructions| Exit {
            name: name.to_owned(),
            count,
            instructions,
        };
        assert_eq!(exits, [exit("ioio", 5, 9), exit("cpuid", 3, 7)]);
        assert!(by_name(&Value::Null).is_err());
    }

    #[test]
    fn the_strict_policy_of_linux_is_a_good_one() {
        let text = strict().expect("a policy");
        let source = vmm_config::Source::new("strict.toml", &text);
        let policy = vmm_config::policy(source, &vmm_config::Handlers::Unknown, None);
        let policy = policy.unwrap_or_else(|report| panic!("{report}"));
        assert!(
            policy.vms[0]
                .gates
                .iter()
                .any(|gate| gate.exit.name == "wbinvd")
        );
    }
}
