//! What several VMs cost each other: shares, late ticks, keys that wait, a change of vCPU, and an
//! exit beside seven that sleep.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::figures::Run;
use super::{POLICY, reported, write};
use crate::failure::{Failure, Result};

const SHARING: &str = include_str!("several.toml");
/// The VMs of `several.toml` that are always busy, and their weights.
const BUSY: [(&str, f64); 4] = [("one", 1.0), ("two", 2.0), ("three", 3.0), ("four", 4.0)];
/// Their timers' rate, and the quantum, both in seconds.
const TICK: f64 = 0.01;
const QUANTUM: f64 = 0.01;
/// What share, ticks and growth may be at most, and the instructions of a change of vCPU. A key's
/// wait has no limit here: the host's clock presses the keys, and on a slow host more of them in a
/// second of the guests than a VM's share allows.
const SHARE: f64 = 0.02;
const TICKS: f64 = 0.01;
const SWITCH: u64 = 500;
const GROWTH: f64 = 0.02;

/// The figures. Those that are a part of something are 0 at best.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Several {
    /// How far the VM that is furthest from it is from its share of the CPU.
    pub share: f64,
    /// How far the ticks that a busy guest counted are from the time that passed, at worst.
    pub ticks: f64,
    /// The longest that a key waited for its VM to have a turn, in quanta.
    pub key_wait: f64,
    /// Instructions of a change of vCPU, the decision for it included, among eight VMs.
    pub switch: u64,
    /// Instructions of the whole way from the end of one VM's turn to the beginning of another's.
    pub way: u64,
    /// Time that it takes to save the FPU's registers and to load them, in bare VMRUN loops.
    pub fpu: f64,
    /// How much the exit grew that grew most from one VM to so many: two, four, eight.
    pub growth: Vec<(usize, f64)>,
    /// Each exit among one VM, and among as many.
    pub exits: Vec<Among>,
}

/// An exit's round trip, by how many VMs there are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Among {
    /// The instruction, in the guest's words.
    pub name: String,
    /// How many VMs, and instructions a round then.
    pub instructions: Vec<(usize, f64)>,
}

impl Several {
    /// From runs of `several.toml` until the first and until the last VM has ended, counted runs
    /// of the loops by themselves and beside other VMs, each with how many there are then, and
    /// one of them that takes the time.
    ///
    /// # Errors
    /// A run lacks a figure.
    fn new(
        [busy, ended]: [&Run; 2],
        alone: &Run,
        among: &[(usize, Run)],
        timed: &Run,
    ) -> Result<Several> {
        let report = &busy.report;
        let rate = report["tsc_hz"].as_f64().ok_or_else(|| missing("rate"))?;
        let wait = BUSY
            .iter()
            .map(|(name, _)| name)
            .chain([&"person"])
            .filter_map(|name| vm(report, name)["slowest_input_cycles"].as_f64())
            .fold(0.0, f64::max);
        let exits = exits(alone, among);
        let growth = |vms: usize| {
            let growths = exits.iter().filter_map(|exit| {
                let (_, ticks) = exit.instructions.iter().find(|(among, _)| *among == vms)?;
                Some(ticks / exit.instructions.first()?.1 - 1.0)
            });
            growths.fold(0.0, f64::max)
        };
        let growth = among.iter().map(|(vms, _)| (*vms, growth(*vms))).collect();
        let (_, among_most) = among.last().ok_or_else(|| missing("other VM"))?;
        Ok(Several {
            share: share(report).ok_or_else(|| missing("share of the CPU"))?,
            ticks: late(&ended.output, rate).ok_or_else(|| missing("count of ticks"))?,
            key_wait: wait / rate / QUANTUM,
            switch: a_round(&among_most.report["switches"], "ticks")? as u64,
            way: a_round(&among_most.report["switches"], "way_ticks")? as u64,
            fpu: a_round(&timed.report["switches"], "fpu_ticks")?
                / a_round(&timed.report["floor"], "ticks")?,
            growth,
            exits,
        })
    }

    /// Each figure that is beyond its limit, in words.
    pub fn beyond(&self) -> Vec<String> {
        let growth = self.growth.iter().map(|(_, growth)| *growth);
        let figures = [
            ("furthest VM from its share", self.share, SHARE),
            ("furthest ticks from the time", self.ticks, TICKS),
            (
                "instructions of a change of vCPU",
                self.switch as f64,
                SWITCH as f64,
            ),
            ("growth of an exit", growth.fold(0.0, f64::max), GROWTH),
        ];
        let beyond = figures.iter().filter(|(_, is, most)| is > most);
        let words = beyond.map(|(what, is, most)| format!("{what}: {is} is more than {most}"));
        words.collect()
    }

    /// For a person.
    pub fn text(&self) -> String {
        let growth = self.growth.iter();
        let growth: Vec<_> = growth
            .map(|(vms, growth)| format!("{:.1} % among {vms}", 100.0 * growth))
            .collect();
        format!(
            "Four busy VMs of weights 1 to 4: each within {:.1} % of its share; ten seconds of timer ticks\n\
             within {:.2} %; a key waits {:.2} of a quantum at most. A change of vCPU and the decision for\n\
             it, among eight VMs: {} instructions, of {} from one VM's turn to the other's; the FPU's part\n\
             takes {:.2} of a bare loop's time. What an exit grows by at most: {} VMs.\n",
            100.0 * self.share,
            100.0 * self.ticks,
            self.key_wait,
            self.switch,
            self.way,
            self.fpu,
            growth.join(", "),
        )
    }
}

/// Every loop that exits, by itself and beside other VMs.
fn exits(alone: &Run, among: &[(usize, Run)]) -> Vec<Among> {
    let row = |(name, ticks): (&str, f64)| {
        let others = among.iter().filter_map(|(vms, run)| {
            let (_, ticks) = run.rounds().find(|(other, _)| *other == name)?;
            Some((*vms, ticks))
        });
        Among {
            name: name.to_owned(),
            instructions: [(1, ticks)].into_iter().chain(others).collect(),
        }
    };
    alone.rounds().filter(is_exit).map(row).collect()
}

/// Whether a round of this took an exit. One that takes none is so short that a timer's interrupt
/// meanwhile would seem to be its growth.
fn is_exit((_, ticks): &(&str, f64)) -> bool {
    const SHORTEST_ROUND_TRIP: f64 = 75.0;
    *ticks >= SHORTEST_ROUND_TRIP
}

fn missing(what: &str) -> Failure {
    Failure::host(format!("a run with several VMs has no {what}"))
}

/// A figure of a part of the report that counts rounds, for each of them.
fn a_round(part: &Value, figure: &str) -> Result<f64> {
    let (ticks, rounds) = (part[figure].as_f64(), part["rounds"].as_f64());
    let each = ticks.zip(rounds).map(|(ticks, rounds)| ticks / rounds);
    each.filter(|each| each.is_finite())
        .ok_or_else(|| missing(figure))
}

fn vm<'r>(report: &'r Value, name: &str) -> &'r Value {
    let vms = report["vms"].as_array();
    vms.and_then(|vms| vms.iter().find(|vm| vm["name"] == name))
        .unwrap_or(&Value::Null)
}

/// The largest deviation from a share.
fn share(report: &Value) -> Option<f64> {
    let had = |name| {
        let vm = vm(report, name);
        Some(vm["guest_cycles"].as_f64()? + vm["vmm_cycles"].as_f64()?)
    };
    let had: Option<Vec<f64>> = BUSY.iter().map(|(name, _)| had(name)).collect();
    let had = had?;
    let (all, weights) = (
        had.iter().sum::<f64>(),
        BUSY.iter().map(|(_, weight)| weight),
    );
    let sum: f64 = weights.clone().sum();
    let deviations = had
        .iter()
        .zip(weights)
        .map(|(had, weight)| (had / all * sum / weight - 1.0).abs());
    (all > 0.0).then(|| deviations.fold(0.0, f64::max))
}

/// How far the ticks of the busy guest that is furthest from it are from its time, by the guests'
/// lines `~ busy: N ticks, N cycles`. All of them have to have one.
fn late(output: &str, rate: f64) -> Option<f64> {
    let lates = output.lines().filter_map(|line| {
        let (ticks, cycles) = line.split_once("~ busy: ")?.1.split_once(" ticks, ")?;
        let ticks: f64 = ticks.parse().ok()?;
        let cycles: f64 = cycles.trim_end().strip_suffix(" cycles")?.parse().ok()?;
        (cycles > 0.0).then(|| (ticks * TICK / (cycles / rate) - 1.0).abs())
    });
    let lates: Vec<_> = lates.collect();
    (lates.len() == BUSY.len()).then(|| lates.into_iter().fold(0.0, f64::max))
}

/// Boots what it takes; `alone` and `timed`: the loops as they are without other VMs.
pub fn measure(folder: &Path, alone: &Run, timed: &Run) -> Result<Several> {
    const NUMBERS: [usize; 3] = [2, 4, 8];
    let policy = folder.join("several.toml");
    write(&policy, SHARING)?;
    // Ten seconds are ten thousand million instructions, unless one takes longer.
    let emulator = ["--", "-icount", "shift=6,sleep=off"];
    let typed = typed();
    let typed = typed.iter().map(String::as_str);
    let steering: Vec<_> = ["--until", " cycles"].into_iter().chain(typed).collect();
    let busy = reported(&policy, folder, &[&steering[..], &emulator].concat())?;
    let all_end = BUSY.map(|_| ["--expect", "| ~ busy: "]).concat();
    let person_ends = ["--type", "\x1d5poweroff\n"];
    let ended = [&all_end[..], &person_ends, &emulator].concat();
    let ended = reported(&policy, folder, &ended)?;

    let other = |index| {
        format!(
            "[[vm]]\nname = \"other{index}\"\ncmdline = \"hz=19\"\nmemory = \"16 MiB\"\n\
             intercepts = \"base\"\n"
        )
    };
    let options = ["--icount", "--until", "bench: power-off"];
    let options = [&options[..], &["--", "-append", "tollgate switches"]].concat();
    let mut among = Vec::new();
    for vms in NUMBERS {
        let others: String = (1..vms).map(other).collect();
        write(&policy, &format!("{POLICY}\n{others}"))?;
        among.push((vms, reported(&policy, folder, &options)?));
    }
    Several::new([&busy, &ended], alone, &among, timed)
}

/// What a person types: again and again to each VM that is busy, and to the one that is not.
fn typed() -> Vec<String> {
    const ROUNDS: usize = 5;
    let to_busy = BUSY.iter().enumerate().flat_map(|(index, (name, _))| {
        let (choice, chosen) = (
            format!("\x1d{}", index + 1),
            format!("{name} has the keyboard"),
        );
        ["--type", &choice, "--expect", &chosen, "--keys", "b"].map(String::from)
    });
    let to_person = ["--type", "\x1d5\n", "--expect", "tollgate> "].map(String::from);
    let round: Vec<_> = to_busy.chain(to_person).collect();
    let begin = ["--expect", "tollgate> "].map(String::from);
    let rounds = (0..ROUNDS).flat_map(|_| round.clone());
    begin.into_iter().chain(rounds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_ticks_keys_and_costs_are_read_from_the_runs() {
        let vm = |name: &str, guest: u64, wait: u64| {
            json!({ "name": name, "guest_cycles": guest, "vmm_cycles": 0,
                    "slowest_input_cycles": wait })
        };
        let ended = |four: &str| {
            let others = "~ busy: 1000 ticks, 10000 cycles\n".repeat(3);
            Run {
                output: format!("{others}four| ~ busy: {four}\r\n"),
                report: Value::Null,
            }
        };
        let late = ended("1000 ticks, 10100 cycles");
        let busy = Run {
            output: String::new(),
            report: json!({ "tsc_hz": 1000, "vms": [vm("one", 101, 0), vm("two", 199, 0),
                vm("three", 300, 0), vm("four", 400, 0), vm("person", 5, 5)] }),
        };
        let loops = |ticks: u64| Run {
            output: format!("bench| ~ bench: CPUID: 10 rounds, {ticks} ticks\n"),
            report: json!({
                "switches": { "rounds": 10, "ticks": 4000, "way_ticks": 7000, "fpu_ticks": 20 },
                "floor": { "rounds": 5, "ticks": 100 },
            }),
        };
        let timed = loops(1);
        let figures = Several::new([&busy, &late], &loops(1000), &[(8, loops(1010))], &timed)
            .expect("figures");
        assert!((figures.share - 0.01).abs() < 1e-9, "{figures:?}");
        assert!((figures.ticks - (1.0 - 10.0 / 10.1)).abs() < 1e-9);
        assert!((figures.key_wait - 0.5).abs() < 1e-9);
        assert_eq!((figures.switch, figures.way), (400, 700));
        assert!((figures.fpu - 0.1).abs() < 1e-9);
        let [(8, growth)] = figures.growth[..] else {
            panic!("{figures:?}")
        };
        assert!((growth - 0.01).abs() < 1e-9);
        let [exit] = &figures.exits[..] else {
            panic!("{figures:?}")
        };
        assert_eq!(exit.instructions, [(1, 100.0), (8, 101.0)]);
        assert!(Several::new([&loops(1), &late], &busy, &[(8, busy.clone())], &timed).is_err());
        let three = Run {
            output: late.output.replacen('~', "", 1),
            ..late
        };
        let among = [(8, loops(1010))];
        assert!(Several::new([&busy, &three], &loops(1000), &among, &timed).is_err());
    }

    #[test]
    fn a_figure_beyond_its_limit_is_told() {
        let good = Several {
            share: 0.02,
            ticks: 0.01,
            key_wait: 1.0,
            switch: 500,
            way: 10_000,
            fpu: 10.0,
            growth: vec![(2, 0.0), (8, 0.02)],
            exits: Vec::new(),
        };
        assert!(good.beyond().is_empty());
        let bad = Several {
            share: 0.021,
            ticks: 0.011,
            switch: 501,
            growth: vec![(2, 0.021), (8, 0.0)],
            ..good
        };
        assert_eq!(bad.beyond().len(), 4, "{:?}", bad.beyond());
    }
}
