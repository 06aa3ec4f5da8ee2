//! From two runs to figures.

use serde::Serialize;
use serde_json::Value;

use crate::failure::{Failure, Result};

/// KVM's instructions for the same round trips, mitigations on: Linux 6.1 on QEMU 7.2 TCG,
/// `-cpu EPYC,+svm,+npt`, with its PIC and PIT in the kernel.
const KVM: [(&str, u64); 5] = [
    ("CPUID", 3056),
    ("IN from the PIC", 1680),
    ("OUT to the PIC", 2475),
    ("RDMSR of EFER", 3128),
    ("OUT to the PIT", 1747),
];

/// What a boot left behind.
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
    /// Time a round, over the time of a round of the bare loop.
    pub ratio: f64,
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
}

impl Figures {
    /// Puts a counted run, a timed one, and a counted one with every gate up side by side.
    ///
    /// # Errors
    /// A run lacks a figure.
    pub fn new(counted: &Run, timed: &Run, crowded: &Run) -> Result<Figures> {
        let floor = timed.floor()?;
        let row = |name: &str, instructions: f64, crowded: f64, ticks: f64| Row {
            name: name.to_string(),
            instructions: instructions.round() as u64,
            crowded: crowded.round() as u64,
            ratio: ticks / floor,
            kvm: KVM
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, kvm)| *kvm),
        };
        let bare = (counted.floor()?, crowded.floor()?);
        let mut rows = vec![row("the floor: VMRUN, VMMCALL", bare.0, bare.1, floor)];
        for (name, instructions) in counted.rounds() {
            rows.push(row(
                name,
                instructions,
                crowded.round(name)?,
                timed.round(name)?,
            ));
        }
        if rows.len() == 1 {
            return Err(Failure::host("the guest printed no figures"));
        }
        Ok(Figures {
            rows,
            vmm_bytes: counted.report["vmm_bytes"].as_u64().unwrap_or(0),
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

    /// Each figure that the guest printed: its name, ticks a round. A line of it is
    /// `bench| ~ bench: NAME: N rounds, N ticks`.
    fn rounds(&self) -> impl Iterator<Item = (&str, f64)> {
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
            output: format!("[vmm] hello\nbench| ~ bench: CPUID: 10 rounds, {ticks} ticks\r\nend"),
            report: serde_json::json!({
                "vmm_bytes": 4096, "floor": { "rounds": 10, "ticks": floor }
            }),
        }
    }

    #[test]
    fn a_figure_is_ticks_a_round_and_its_ratio_that_of_the_timed_run() {
        let figures =
            Figures::new(&run(1001, 30), &run(550, 500), &run(1101, 30)).expect("figures");
        assert_eq!(figures.vmm_bytes, 4096);
        let [floor, cpuid] = &figures.rows[..] else {
            panic!("{figures:?}")
        };
        assert_eq!((floor.instructions, floor.ratio), (3, 1.0));
        assert_eq!((cpuid.instructions, cpuid.crowded), (100, 110));
        assert_eq!((cpuid.ratio, cpuid.kvm), (1.1, Some(3056)));
    }

    #[test]
    fn a_run_without_figures_is_an_error() {
        let silent = Run {
            output: String::new(),
            ..run(1, 1)
        };
        assert!(Figures::new(&silent, &silent, &silent).is_err());
        let no_floor = Run {
            report: Value::Null,
            ..run(1, 1)
        };
        assert!(Figures::new(&no_floor, &no_floor, &no_floor).is_err());
    }
}
