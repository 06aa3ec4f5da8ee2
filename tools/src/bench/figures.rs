//! From several runs to figures.

use serde::Serialize;
use serde_json::Value;

use crate::failure::{Failure, Result};

/// KVM's instructions for the same round trips, mitigations on: Linux 6.1 on QEMU 7.2 TCG,
/// `-cpu EPYC,+svm,+npt`, with its PIC and PIT in the kernel. A page fault and CR3: with `npt=0`.
const KVM: [(&str, u64); 11] = [
    ("CPUID", 3056),
    ("IN from the PIC", 1680),
    ("OUT to the PIC", 2475),
    ("OUT to the PIT", 1747),
    ("RDMSR of EFER", 3128),
    ("WRMSR of EFER", 3151),
    ("VMMCALL", 3315),
    ("CR0.WP off and on", 9598),
    ("a page fault, mended", 12546),
    ("CR3 and 16 pages", 3794),
    ("first touch of a page", 3718),
];
/// The exits that paging can cause.
const OF_PAGING: [&str; 4] = ["exception.pf", "cr3.write", "invlpg", "npf"];
/// What is also timed on the bare machine.
const COMPUTING: &str = "computing";

/// What a boot left behind.
#[derive(Clone)]
pub struct Run {
    /// Standard output: the guest's lines.
    pub output: String,
    /// The report.
    pub report: Value,
}

/// One instruction's round trip.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The instruction, in the guest's words.
    pub name: String,
    /// Instructions a round.
    pub instructions: u64,
    /// The same under the policy that intercepts everything.
    pub crowded: u64,
    /// The same under shadow paging.
    pub shadowed: u64,
    /// Time a round, over the time of a round of the bare loop.
    pub ratio: f64,
    /// The same under shadow paging, over its own run's bare loop.
    pub shadow_ratio: f64,
    /// KVM's instructions.
    pub kvm: Option<u64>,
}

/// All figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The round trips, the bare loop first.
    pub rows: Vec<Row>,
    /// The VMM's own memory.
    pub vmm_bytes: u64,
    /// Exits by paging in the whole counted run, under nested paging.
    pub paging_exits: u64,
    /// Time of computing, over its time on the bare machine: under nested and shadow paging.
    pub computing: [f64; 2],
}

/// What has been booted.
pub struct Runs<'a> {
    /// Counted.
    pub counted: &'a Run,
    /// Timed.
    pub timed: &'a Run,
    /// Counted, with every gate up.
    pub crowded: &'a Run,
    /// Counted, under shadow paging.
    pub shadowed: &'a Run,
    /// Timed, under shadow paging.
    pub shadowed_timed: &'a Run,
    /// Timed, on the bare machine, which makes no report.
    pub bare: &'a Run,
}

impl Figures {
    /// Puts the runs side by side.
    ///
    /// # Errors
    /// A run lacks a figure.
    pub fn new(runs: &Runs<'_>) -> Result<Figures> {
        let Runs { counted, timed, .. } = runs;
        let row = |name: &str, [instructions, crowded, shadowed]: [f64; 3], ratios: [f64; 2]| Row {
            name: name.to_string(),
            instructions: instructions.round() as u64,
            crowded: crowded.round() as u64,
            shadowed: shadowed.round() as u64,
            ratio: ratios[0],
            shadow_ratio: ratios[1],
            kvm: KVM
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, kvm)| *kvm),
        };
        let bare = [
            counted.floor()?,
            runs.crowded.floor()?,
            runs.shadowed.floor()?,
        ];
        let mut rows = vec![row("the floor: VMRUN, VMMCALL", bare, [1.0; 2])];
        for (name, instructions) in counted.rounds() {
            let others = [runs.crowded.round(name)?, runs.shadowed.round(name)?];
            let [crowded, shadowed] = others;
            let ratios = [timed.ratio(name)?, runs.shadowed_timed.ratio(name)?];
            rows.push(row(name, [instructions, crowded, shadowed], ratios));
        }
        if rows.len() == 1 {
            return Err(Failure::host("the guest printed no figures"));
        }
        let bare = runs.bare.round(COMPUTING)?;
        let computing = [
            timed.round(COMPUTING)? / bare,
            runs.shadowed_timed.round(COMPUTING)? / bare,
        ];
        Ok(Figures {
            rows,
            vmm_bytes: counted.report["vmm_bytes"].as_u64().unwrap_or(0),
            paging_exits: counted.exits(&OF_PAGING),
            computing,
        })
    }
}

impl Run {
    /// Ticks a round of the bare loop.
    fn floor(&self) -> Result<f64> {
        let floor = &self.report["floor"];
        match (floor["rounds"].as_u64(), floor["ticks"].as_u64()) {
            (Some(rounds), Some(ticks)) if rounds != 0 && ticks != 0 => {
                Ok(ticks as f64 / rounds as f64)
            }
            _ => Err(Failure::host("the VMM measured no floor")),
        }
    }

    /// Ticks a round of the loop called `name`.
    fn round(&self, name: &str) -> Result<f64> {
        let found = self.rounds().find(|(other, _)| *other == name);
        found
            .map(|(_, ticks)| ticks)
            .ok_or_else(|| Failure::host(format!("a run has no figure for {name}")))
    }

    /// A round of the loop called `name`, over one of the bare loop.
    fn ratio(&self, name: &str) -> Result<f64> {
        Ok(self.round(name)? / self.floor()?)
    }

    /// How often the VM took any of the exits with these names.
    fn exits(&self, names: &[&str]) -> u64 {
        let exits = self.report["vms"][0]["exits"].as_array();
        exits
            .into_iter()
            .flatten()
            .filter(|exit| names.iter().any(|name| exit["name"] == *name))
            .filter_map(|exit| exit["count"].as_u64())
            .sum()
    }

    /// Each figure that the guest printed: its name, ticks a round. A line of it is
    /// `~ bench: NAME: N rounds, N ticks`, with the VM's name before it.
    pub(super) fn rounds(&self) -> impl Iterator<Item = (&str, f64)> {
        self.output.lines().filter_map(|line| {
            let (_, figure) = line.split_once("~ bench: ")?;
            let (name, figure) = figure.split_once(": ")?;
            let (rounds, ticks) = figure.split_once(" rounds, ")?;
            let ticks: f64 = ticks.trim_end().strip_suffix(" ticks")?.parse().ok()?;
            Some((name, ticks / rounds.parse::<f64>().ok()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ticks: u64, floor: u64) -> Run {
        Run {
            output: format!(
                "[vmm] hello\nbench| ~ bench: CPUID: 10 rounds, {ticks} ticks\r\n\
                 bench| ~ bench: computing: 10 rounds, {ticks} ticks\nend"
            ),
            report: serde_json::json!({
                "vmm_bytes": 4096, "floor": { "rounds": 10, "ticks": floor },
                "vms": [{ "exits": [
                    { "name": "cpuid", "count": 10 }, { "name": "npf", "count": 2 },
                    { "name": "invlpg", "count": 3 },
                ] }],
            }),
        }
    }

    fn figures(counted: &Run, timed: &Run, crowded: &Run, shadowed: &Run) -> Result<Figures> {
        Figures::new(&Runs {
            counted,
            timed,
            crowded,
            shadowed,
            shadowed_timed: shadowed,
            bare: counted,
        })
    }

    #[test]
    fn a_figure_is_ticks_a_round_and_its_ratio_that_of_the_timed_run() {
        let figures = figures(
            &run(1001, 30),
            &run(550, 500),
            &run(1101, 30),
            &run(2002, 30),
        )
        .expect("figures");
        assert_eq!((figures.vmm_bytes, figures.paging_exits), (4096, 5));
        let [floor, cpuid, _] = &figures.rows[..] else {
            panic!("{figures:?}")
        };
        assert_eq!((floor.instructions, floor.ratio), (3, 1.0));
        assert_eq!(
            (cpuid.instructions, cpuid.crowded, cpuid.shadowed),
            (100, 110, 200)
        );
        assert_eq!((cpuid.ratio, cpuid.kvm), (1.1, Some(3056)));
        assert_eq!(figures.computing, [550.0 / 1001.0, 2.0]);
    }

    #[test]
    fn what_kvm_is_known_to_take_is_measured_too() {
        const GUEST: [&str; 3] = [
            include_str!("../../../guest/src/kernel/bench.rs"),
            include_str!("../../../guest/src/kernel/bench/gates.rs"),
            include_str!("../../../guest/src/kernel/bench/paging.rs"),
        ];
        for (name, _) in KVM {
            let literal = format!("\"{name}\"");
            assert!(GUEST.iter().any(|file| file.contains(&literal)), "{name}");
        }
    }

    #[test]
    fn a_run_without_figures_is_an_error() {
        let silent = Run {
            output: String::new(),
            ..run(1, 1)
        };
        assert!(figures(&silent, &silent, &silent, &silent).is_err());
        let no_floor = Run {
            report: Value::Null,
            ..run(1, 1)
        };
        assert!(figures(&no_floor, &no_floor, &no_floor, &no_floor).is_err());
    }
}
