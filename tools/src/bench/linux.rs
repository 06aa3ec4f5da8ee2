//! `cargo vmm bench-linux`: what a Linux nobody here wrote stops for on its way to a prompt, and
//! how much longer that way takes than on the bare machine.
//!
//! Exits are counted under `-icount`, where two runs are alike. Without the paravirtual clock Linux
//! measures its TSC by polling the interval timer, some thousands of times, and most where an exit is
//! short: that is counted as well, and what remains with the TSC hidden from it.
//!
//! Times are of whole runs, from the command to the prompt, the least of a few in turn; only their
//! ratio means anything. The bare machine's CPU is the one that the VM's model shows, since a
//! kernel tests and uses all that it finds. Beside the time that passed stands the processor's,
//! which a busy host does not stretch.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::Value;
use vmm_config::words::Debian;

use super::{read_report, tool, vmm, write};
use crate::debian;
use crate::failure::{Doing, Failure, Result, Status};
use crate::progress::{produce, say};
use crate::table::{self, grouped};
use crate::workspace::Workspace;

const POLICY: &str = include_str!("../../../policies/linux.toml");
/// What its counts go by.
const STRICT_NAME: &str = "strict";
const STRICT: &str = include_str!("../../../policies/strict.toml");
/// The initial file system's shell is ready.
const PROMPT: &str = "linux# ";
/// Each way is timed so often.
const ROUNDS: usize = 3;
/// QEMU's CPU without any feature, and what the model `minimal` shows of `max`.
const BARE_CPU: &str = "base,vendor=Tollgate CPU,level=1,xlevel=0x80000008,family=6,model=6";
const BARE_FEATURES: &str = "fpu de pse tsc msr pae cx8 sep pge cmov clflush mmx fxsr sse sse2 pni \
    ssse3 cx16 sse4.1 sse4.2 popcnt syscall nx fxsr-opt pdpe1gb rdtscp lm lahf-lm abm sse4a \
    3dnowprefetch";

/// At most so many exits under the first policy.
const MOST_EXITS: u64 = 6_000;
/// The ways to the prompt that are timed; how many times as long as on the bare machine one may take.
const WAYS: [(&str, Option<f64>); 3] = [
    ("bare machine", None),
    ("nested paging", Some(1.25)),
    ("shadow paging", Some(5.0)),
];

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
    /// What the strict policy intercepts and the first does not, and what never came.
    never: Vec<String>,
    /// For each of [`WAYS`].
    times: [Time; WAYS.len()],
}

/// The least of what some runs took, in seconds.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct Time {
    passed: f64,
    /// The processor's, of all that was started.
    processor: f64,
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
        ("linux.toml", POLICY),
        ("no pvclock", &polling),
        ("TSC hidden", &polling.replace("initrd ", hidden)),
        (
            "shadow paging",
            &POLICY.replace("initrd ", "npt = false\ninitrd "),
        ),
        (STRICT_NAME, &strict_policy()?),
    ] {
        say(&format!("counting the exits to the prompt: {name}"));
        let policy = place("counted", policy)?;
        exits.push((name, counted(&policy, folder.path())?));
    }

    say("measuring the time to the prompt");
    let mut times = [Time::MAX; WAYS.len()];
    for _ in 0..ROUNDS {
        let ways: [&dyn Fn() -> Result<()>; WAYS.len()] = [
            &|| bare(workspace, folder.path()),
            &|| vmm(&nested, folder.path(), &["--until", PROMPT]).map(drop),
            &|| vmm(&shadow, folder.path(), &["--until", PROMPT]).map(drop),
        ];
        for (least, way) in times.iter_mut().zip(ways) {
            least.lower(timed(way)?);
        }
    }
    let never = never(&exits)?;
    let figures = Figures {
        exits,
        never,
        times,
    };
    produce(&shown(&figures));
    if let Some(path) = &command.report {
        let text = serde_json::to_string_pretty(&figures).doing(|| "write figures".to_string())?;
        write(path, &text)?;
    }
    Ok(Status::Good)
}

impl Time {
    const MAX: Time = Time {
        passed: f64::INFINITY,
        processor: f64::INFINITY,
    };

    fn lower(&mut self, other: Time) {
        self.passed = self.passed.min(other.passed);
        self.processor = self.processor.min(other.processor);
    }
}

/// What it takes to do something by programs that are started for it.
fn timed(run: &dyn Fn() -> Result<()>) -> Result<Time> {
    let (started, before) = (Instant::now(), processor_time()?);
    run()?;
    Ok(Time {
        passed: started.elapsed().as_secs_f64(),
        processor: (processor_time()? - before).as_secs_f64(),
    })
}

/// The processor time of the programs that were started and have ended.
fn processor_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_err(std::io::Error::from)
        .doing(|| "ask for processor time".to_string())?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(microseconds.unsigned_abs()))
}

/// The exits that the VM of a policy stops for, by name.
fn gates(text: &str) -> Result<Vec<&'static str>> {
    let source = vmm_config::Source::new("linux.toml", text);
    let policy = vmm_config::policy(source, &vmm_config::Handlers::Unknown, None)
        .map_err(|report| Failure::host(report.to_string()))?;
    let vms = policy.vms.first();
    let gates = vms.into_iter().flat_map(|vm| &vm.gates);
    Ok(gates.map(|gate| gate.exit.name).collect())
}

/// What the strict policy intercepts and the first does not, and what is not among the exits.
fn never(exits: &[(&str, Vec<Exit>)]) -> Result<Vec<String>> {
    let usual = gates(POLICY)?;
    let strict = exits.iter().find(|(name, _)| *name == STRICT_NAME);
    let came =
        |gate: &str| strict.is_some_and(|(_, exits)| exits.iter().any(|exit| exit.name == gate));
    let gates = gates(&strict_policy()?)?.into_iter();
    Ok(gates
        .filter(|gate| !usual.contains(gate) && !came(gate))
        .map(str::to_owned)
        .collect())
}

/// The policy of Linux, with the intercepts of the strict one.
fn strict_policy() -> Result<String> {
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
    let features = BARE_FEATURES.split_whitespace();
    let cpu: String = features.map(|feature| format!(",{feature}=on")).collect();
    let cpu = format!("{BARE_CPU}{cpu}");
    let qemu = ["--", "-m", "128M", "-initrd", initrd, "-cpu", &cpu];
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
    let sum: u64 = usual.iter().map(|exit| exit.count).sum();
    text.push_str(&format!(
        "Counted with `-icount`; what has a + does not stop the guest under the first policy, which\n\
         is asked for at most {} exits: {} seen. Under the strict policy these never came, and cost\n\
         nothing: {}.\n\n",
        grouped(MOST_EXITS),
        grouped(sum),
        figures.never.join(", "),
    ));
    let [bare, ..] = figures.times;
    let rows = WAYS.iter().zip(&figures.times).map(|((way, most), time)| {
        [
            (*way).to_owned(),
            format!("{:.2} s", time.passed),
            format!("{:.2}", time.passed / bare.passed),
            format!("{:.2} s", time.processor),
            format!("{:.2}", time.processor / bare.processor),
            most.map_or_else(String::new, |most| format!("at most {most:.2}")),
        ]
    });
    let headings = [
        "to the prompt",
        "time",
        "of bare",
        "processor time",
        "of bare",
        "asked",
    ];
    text.push_str(&format!(
        "{}\n\nThe bare machine's BIOS and the VMM's boot are in it.\n",
        table::numbers(headings, rows)
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
    fn what_is_seen_stands_beside_what_is_asked() {
        let exit = |name: &str, count| Exit {
            name: name.to_owned(),
            count,
            instructions: 0,
        };
        let time = |passed| Time {
            passed,
            processor: passed * 2.0,
        };
        let exits = vec![
            ("linux.toml", vec![exit("ioio", 3000), exit("cpuid", 500)]),
            (STRICT_NAME, vec![exit("ioio", 3000), exit("wbinvd", 1)]),
        ];
        let never = never(&exits).expect("intercepts");
        assert!(never.iter().any(|gate| gate == "rdpmc"), "{never:?}");
        assert!(!never.iter().any(|gate| gate == "wbinvd" || gate == "cpuid"));
        let text = shown(&Figures {
            exits,
            never,
            times: [time(2.0), time(2.2), time(8.0)],
        });
        assert!(text.contains("at most 6,000 exits: 3,500 seen"), "{text}");
        assert!(
            text.contains("+ wbinvd") && !text.contains("+ ioio"),
            "{text}"
        );
        let row = |way: &str| {
            let line = text.lines().find(|line| line.trim_start().starts_with(way));
            line.map(|line| line.split_whitespace().skip(2).collect::<Vec<_>>())
        };
        let nested = "2.20 s 1.10 4.40 s 1.10 at most 1.25";
        assert_eq!(
            row("nested paging"),
            Some(nested.split(' ').collect()),
            "{text}"
        );
        let shadow = "8.00 s 4.00 16.00 s 4.00 at most 5.00";
        assert_eq!(
            row("shadow paging"),
            Some(shadow.split(' ').collect()),
            "{text}"
        );
    }

    #[test]
    fn the_strict_policy_of_linux_is_a_good_one() {
        let text = strict_policy().expect("a policy");
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
