//! The end of a run for people (a table) and for programs (`--report`).

use serde::{Deserialize, Serialize};

use super::outcome::{Ending, Verdict};
use super::records::{Detail, Exit, Record, Refusal, Switches};
use crate::table::{grouped, numbers};

/// What one VM did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Vm {
    /// Its name in vm.toml.
    pub name: String,
    /// How it ended; none if the run ended before it.
    pub end: Option<End>,
    /// Its exits; empty if the run ended before the VMM could tell.
    pub exits: Vec<Exit>,
    /// What they were about, where details are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
    /// Exits whose subject found no place among the details.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub other_details: u64,
    /// Exits that served the VMM alone, such as the #DB after a step.
    pub own_exits: u64,
    /// What it was refused in all of its lives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// Refusals of things beyond those that are told apart.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub other_refusals: u64,
    /// How often it was started.
    pub lives: u64,
    /// TSC ticks in the guest.
    pub guest_cycles: u64,
    /// TSC ticks in the VMM on its behalf.
    pub vmm_cycles: u64,
    /// TSC ticks from a key to its next turn, at most.
    pub slowest_input_cycles: u64,
}

/// How a VM ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct End {
    /// `power-off`, `halted`, `crashed`, `stopped` or `reset`.
    pub how: String,
    /// Whether that counts as a good end.
    pub good: bool,
    /// The cause, for a person.
    pub reason: String,
}

/// Something that was done again and again to learn what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Floor {
    /// How often it went round.
    pub rounds: u64,
    /// TSC ticks.
    pub ticks: u64,
}

/// What `--report` writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Report {
    /// The exit status of the command.
    pub status: u8,
    /// Why it is not 0.
    pub message: Option<String>,
    /// What ended the run.
    pub ended: Ending,
    /// TSC ticks a second; none if the VMM did not get so far.
    pub tsc_hz: Option<u64>,
    /// The VMM's own memory.
    pub vmm_bytes: Option<u64>,
    /// TSC ticks from the boot loader's hand-over to the VMM's end.
    pub ticks: Option<u64>,
    /// TSC ticks from when the first VM could run to the end of the run; none if the VMM was not
    /// asked to end.
    pub cycles: Option<u64>,
    /// Memory that was nobody's at the end; none if the VMM was not asked to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// What the bare VMRUN loop took, if the VMM was asked to run it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<Floor>,
    /// What changes of vCPU took, if the VMM was asked to make some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switches: Option<Switches>,
    /// The VMs, in the order of vm.toml.
    pub vms: Vec<Vm>,
}

impl Report {
    /// Puts a run together.
    pub fn new(ending: &Ending, verdict: &Verdict, records: &[Record]) -> Report {
        let mut report = Report {
            status: verdict.status.code(),
            message: verdict.message.clone(),
            ended: ending.clone(),
            tsc_hz: None,
            vmm_bytes: None,
            ticks: None,
            cycles: None,
            free_bytes: None,
            floor: None,
            switches: None,
            vms: Vec::new(),
        };
        for record in records {
            match record {
                Record::Hello {
                    vms,
                    tsc_hz,
                    vmm_bytes,
                    ..
                } => {
                    report.tsc_hz = Some(*tsc_hz);
                    report.vmm_bytes = Some(*vmm_bytes);
                    for name in vms {
                        report.vm(name);
                    }
                }
                Record::Floor { rounds, ticks } => {
                    report.floor = Some(Floor {
                        rounds: *rounds,
                        ticks: *ticks,
                    });
                }
                Record::Switches(switches) => report.switches = Some(*switches),
                Record::Exits {
                    vm,
                    exits,
                    details,
                    other_details,
                    own_exits,
                    lives,
                    guest_cycles,
                    vmm_cycles,
                    slowest_input_cycles,
                } => {
                    let vm = report.vm(vm);
                    vm.exits.clone_from(exits);
                    vm.details.clone_from(details);
                    vm.other_details = *other_details;
                    vm.own_exits = *own_exits;
                    vm.lives = *lives;
                    vm.guest_cycles = *guest_cycles;
                    vm.vmm_cycles = *vmm_cycles;
                    vm.slowest_input_cycles = *slowest_input_cycles;
                }
                Record::Refusals {
                    vm,
                    refusals,
                    others,
                } => {
                    let vm = report.vm(vm);
                    for refusal in refusals {
                        vm.refuse(refusal);
                    }
                    vm.other_refusals = vm.other_refusals.saturating_add(*others);
                }
                Record::Ended {
                    vm,
                    how,
                    good,
                    reason,
                } => {
                    report.vm(vm).end = Some(End {
                        how: how.clone(),
                        good: *good,
                        reason: reason.clone(),
                    });
                }
                Record::Done { ticks, .. } => report.ticks = *ticks,
                Record::Ran { cycles, free_bytes } => {
                    report.cycles = Some(*cycles);
                    report.free_bytes = Some(*free_bytes);
                }
                Record::Refused { .. } | Record::Panic { .. } | Record::Unknown => {}
            }
        }
        report
    }

    fn vm(&mut self, name: &str) -> &mut Vm {
        let place = self
            .vms
            .iter()
            .position(|vm| vm.name == name)
            .unwrap_or_else(|| {
                self.vms.push(Vm {
                    name: name.into(),
                    ..Vm::default()
                });
                self.vms.len() - 1
            });
        &mut self.vms[place]
    }

    /// For a person: a table for each VM.
    pub fn table(&self) -> String {
        self.vms
            .iter()
            .map(Vm::table)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Vm {
    /// Adds what it was refused in one of its lives.
    fn refuse(&mut self, refusal: &Refusal) {
        let known = self
            .refusals
            .iter_mut()
            .find(|known| known.what == refusal.what);
        match known {
            Some(known) => known.count = known.count.saturating_add(refusal.count),
            None => self.refusals.push(refusal.clone()),
        }
    }

    fn table(&self) -> String {
        let end = match &self.end {
            // `power-off (power off)` would say it twice.
            Some(End { how, reason, .. })
                if reason.is_empty() || reason.replace(' ', "-") == *how =>
            {
                how.clone()
            }
            Some(End { how, reason, .. }) => format!("{how} ({reason})"),
            None => "was still running".into(),
        };
        let heading = format!("\nVM {}: {end}\n", self.name);
        if self.exits.is_empty() {
            return heading;
        }
        let total = self.guest_cycles.saturating_add(self.vmm_cycles);
        let mut exits: Vec<_> = self.exits.iter().filter(|exit| exit.count > 0).collect();
        exits.sort_by(|a, b| b.cycles.cmp(&a.cycles).then_with(|| a.name.cmp(&b.name)));
        let count = exits
            .iter()
            .fold(0u64, |sum, exit| sum.saturating_add(exit.count));
        let rows = exits.iter().map(|exit| {
            [
                exit.name.clone(),
                grouped(exit.count),
                share(exit.cycles, total),
            ]
        });
        let sums = [
            [
                "all exits".into(),
                grouped(count),
                share(self.vmm_cycles, total),
            ],
            [
                "the guest itself".into(),
                String::new(),
                share(self.guest_cycles, total),
            ],
        ];
        let exits = numbers(["exit", "count", "share of time"], rows.chain(sums));
        format!("{heading}{exits}\n{}", self.refused())
    }

    /// What it was refused, the most frequent first; nothing if that is nothing.
    fn refused(&self) -> String {
        let mut refusals: Vec<_> = self.refusals.iter().collect();
        refusals.sort_by_key(|refusal| std::cmp::Reverse(refusal.count));
        let rows = refusals
            .into_iter()
            .map(|refusal| [refusal.what.clone(), grouped(refusal.count)]);
        let others = (self.other_refusals != 0)
            .then(|| ["other things".into(), grouped(self.other_refusals)]);
        let rows: Vec<_> = rows.chain(others).collect();
        match rows.is_empty() {
            true => String::new(),
            false => format!("\n{}\n", numbers(["refused", "count"], rows)),
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// `part` of `total` in percent, or a dash where nothing was measured.
fn share(part: u64, total: u64) -> String {
    if total == 0 {
        return "-".into();
    }
    // Both fit a float closely enough for one decimal.
    format!("{:.1} %", part as f64 * 100.0 / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Status;

    fn exit(name: &str, count: u64, cycles: u64) -> Exit {
        Exit {
            name: name.into(),
            code: 0,
            count,
            cycles,
            ..Exit::default()
        }
    }

    fn report(records: &[Record]) -> Report {
        Report::new(
            &Ending::Until,
            &Verdict {
                status: Status::Good,
                message: None,
            },
            records,
        )
    }

    #[test]
    fn every_vm_that_said_hello_is_in_the_report_in_that_order() {
        let report = report(&[
            Record::Hello {
                vms: vec!["b".into(), "a".into()],
                tsc_hz: 1,
                vmm_bytes: 2,
                ledger: 0,
            },
            Record::Ended {
                vm: "a".into(),
                how: "halted".into(),
                good: true,
                reason: String::new(),
            },
        ]);
        let names: Vec<_> = report
            .vms
            .iter()
            .map(|vm| (vm.name.as_str(), vm.end.is_some()))
            .collect();
        assert_eq!(names, [("b", false), ("a", true)]);
    }

    #[test]
    fn the_table_shows_the_costliest_exit_first_and_leaves_out_what_never_happened() {
        let exits = vec![
            exit("cpuid", 2, 10),
            exit("ioio", 1000, 40),
            exit("hlt", 0, 0),
        ];
        let table = report(&[Record::Exits {
            vm: "demo".into(),
            exits,
            details: Vec::new(),
            other_details: 0,
            own_exits: 0,
            lives: 1,
            guest_cycles: 50,
            vmm_cycles: 50,
            slowest_input_cycles: 0,
        }])
        .table();
        let place = |text: &str| {
            table
                .find(text)
                .unwrap_or_else(|| panic!("no {text} in {table}"))
        };
        assert!(
            place("ioio") < place("cpuid") && place("40.0 %") < place("10.0 %"),
            "{table}"
        );
        assert!(
            table.contains("1,000") && table.contains("1,002"),
            "{table}"
        );
        assert!(!table.contains("hlt"), "{table}");
    }

    #[test]
    fn what_was_refused_is_listed_over_all_lives_the_most_frequent_first() {
        let refused = |counts: [(&str, u64); 2], others| Record::Refusals {
            vm: "demo".into(),
            refusals: counts
                .map(|(what, count)| Refusal {
                    what: what.into(),
                    count,
                })
                .into(),
            others,
        };
        let report = report(&[
            refused([("IN from port 0x1", 2), ("RDMSR of 0x2", 2000)], 0),
            refused([("OUT to port 0x3", 4), ("IN from port 0x1", 3)], 7),
        ]);
        let table = report.vms[0].refused();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows,
            [
                &[][..],
                &["refused", "count"],
                &["RDMSR", "of", "0x2", "2,000"],
                &["IN", "from", "port", "0x1", "5"],
                &["OUT", "to", "port", "0x3", "4"],
                &["other", "things", "7"],
            ]
        );
        assert_eq!(Vm::default().refused(), "");
    }

    #[test]
    fn a_run_without_measured_time_has_no_share() {
        assert_eq!(share(5, 0), "-");
        assert_eq!(share(1, 3), "33.3 %");
    }
}
