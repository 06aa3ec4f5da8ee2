//! The numbers of several runs, each thing's side by side.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Side;
use crate::run::report::Vm;

/// Everything that was measured, VM by VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sides {
    /// The VMs.
    pub vms: Vec<VmSides>,
    /// Instructions from the first VM's start to the end of the run.
    pub instructions: Vec<u64>,
}

/// One VM under each policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VmSides {
    /// Its name; under the first policy, if the policies name their only VM differently.
    pub name: String,
    /// Instructions that the guest executed itself.
    pub guest: Vec<u64>,
    /// Instructions that the VMM executed for it.
    pub vmm: Vec<u64>,
    /// Exits that happened under any policy, the largest difference first.
    pub exits: Vec<ExitSides>,
    /// What they were about, in the same order.
    pub details: Vec<ExitSides>,
}

/// One exit, or what exits were about, under each policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExitSides {
    /// Its name.
    pub name: String,
    /// How often.
    pub count: Vec<u64>,
    /// Instructions of the VMM.
    pub cycles: Vec<u64>,
}

impl ExitSides {
    /// Whether it is the same under every policy.
    pub fn is_alike(&self) -> bool {
        let alike = |numbers: &[u64]| numbers.windows(2).all(|two| two[0] == two[1]);
        alike(&self.count) && alike(&self.cycles)
    }

    /// The largest change of cost against the first policy.
    fn change(&self) -> u64 {
        let first = self.cycles.first().copied().unwrap_or(0);
        let changes = self.cycles.iter().map(|cycles| cycles.abs_diff(first));
        changes.max().unwrap_or(0)
    }
}

impl Sides {
    /// Puts the runs side by side.
    pub fn new(sides: &[Side]) -> Sides {
        let is_single = sides.iter().all(|side| side.counted.vms.len() == 1);
        let mut names: Vec<&str> = Vec::new();
        for vm in sides.iter().flat_map(|side| &side.counted.vms) {
            if !names.contains(&vm.name.as_str()) && (!is_single || names.is_empty()) {
                names.push(&vm.name);
            }
        }
        let vms = names.into_iter().map(|name| {
            let of_sides: Vec<Option<&Vm>> = sides
                .iter()
                .map(|side| {
                    let vms = &side.counted.vms;
                    vms.iter().find(|vm| is_single || vm.name == name)
                })
                .collect();
            VmSides::new(name, &of_sides)
        });
        Sides {
            vms: vms.collect(),
            instructions: sides
                .iter()
                .map(|side| side.counted.cycles.unwrap_or(0))
                .collect(),
        }
    }

    /// Whether nothing that was counted differs.
    pub fn are_alike(&self) -> bool {
        let alike = |numbers: &[u64]| numbers.windows(2).all(|two| two[0] == two[1]);
        alike(&self.instructions)
            && self.vms.iter().all(|vm| {
                alike(&vm.guest)
                    && alike(&vm.vmm)
                    && vm.exits.iter().all(ExitSides::is_alike)
                    && vm.details.iter().all(ExitSides::is_alike)
            })
    }
}

/// A name with its count and cycles.
type Row = (String, u64, u64);

impl VmSides {
    fn new(name: &str, sides: &[Option<&Vm>]) -> VmSides {
        let each = |number: fn(&Vm) -> u64| sides.iter().map(|vm| vm.map_or(0, number)).collect();
        let exits = |vm: &Vm| -> Vec<Row> {
            vm.exits
                .iter()
                .map(|exit| (exit.name.clone(), exit.count, exit.cycles))
                .collect()
        };
        let details = |vm: &Vm| -> Vec<Row> {
            vm.details
                .iter()
                .map(|detail| {
                    let name = format!("{} {:#x}", detail.subject, detail.number);
                    (name, detail.count, detail.cycles)
                })
                .collect()
        };
        VmSides {
            name: name.to_owned(),
            guest: each(|vm| vm.guest_cycles),
            vmm: each(|vm| vm.vmm_cycles),
            exits: beside(sides, exits),
            details: beside(sides, details),
        }
    }
}

/// Each name's numbers on every side, those that differ most first.
fn beside(sides: &[Option<&Vm>], rows: impl Fn(&Vm) -> Vec<Row>) -> Vec<ExitSides> {
    let rows: Vec<Vec<Row>> = sides
        .iter()
        .map(|vm| vm.map_or_else(Vec::new, &rows))
        .collect();
    let names: BTreeSet<&String> = rows.iter().flatten().map(|(name, ..)| name).collect();
    let of = |name: &String, number: fn(&Row) -> u64| -> Vec<u64> {
        rows.iter()
            .map(|rows| rows.iter().find(|row| row.0 == *name).map_or(0, number))
            .collect()
    };
    let mut sides: Vec<_> = names
        .into_iter()
        .map(|name| ExitSides {
            name: name.clone(),
            count: of(name, |row| row.1),
            cycles: of(name, |row| row.2),
        })
        .collect();
    sides.sort_by(|a, b| {
        let total = |side: &ExitSides| side.cycles.iter().sum::<u64>();
        (b.change(), total(b), &a.name).cmp(&(a.change(), total(a), &b.name))
    });
    sides
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::run::records::Exit;
    use crate::run::report::Report;

    /// A side whose only VM, `name`, had these exits.
    pub fn side(name: &str, exits: &[(&str, u64, u64)]) -> Side {
        let exits: Vec<_> = exits
            .iter()
            .map(|(name, count, cycles)| Exit {
                name: (*name).into(),
                count: *count,
                cycles: *cycles,
                ..Exit::default()
            })
            .collect();
        let vmm = exits.iter().map(|exit| exit.cycles).sum();
        Side {
            policy: format!("{name}.toml"),
            differences: Vec::new(),
            counted: Report {
                cycles: Some(1000 + vmm),
                vms: vec![Vm {
                    name: name.into(),
                    exits,
                    guest_cycles: 1000,
                    vmm_cycles: vmm,
                    ..Vm::default()
                }],
                ..Report::default()
            },
            seconds: vec![1.5, 0.5, 2.0],
        }
    }

    #[test]
    fn a_run_is_like_itself() {
        let one = side("a", &[("cpuid", 5, 300), ("hlt", 1, 80)]);
        assert!(Sides::new(&[one.clone(), one]).are_alike());
    }

    #[test]
    fn what_only_one_side_has_is_0_on_the_other_and_comes_first() {
        let one = side("a", &[("cpuid", 5, 300), ("hlt", 1, 80)]);
        let other = side("b", &[("cpuid", 5, 300), ("hlt", 1, 80), ("rdtsc", 9, 700)]);
        let sides = Sides::new(&[one, other]);
        assert!(!sides.are_alike());
        let [vm] = &sides.vms[..] else {
            panic!("{sides:#?}")
        };
        assert_eq!(vm.name, "a");
        let rdtsc = &vm.exits[0];
        assert_eq!(
            (rdtsc.name.as_str(), &rdtsc.count[..]),
            ("rdtsc", &[0, 9][..])
        );
        assert!(vm.exits[1..].iter().all(ExitSides::is_alike));
    }

    #[test]
    fn the_middle_of_the_times_is_shown() {
        assert_eq!(side("a", &[]).median(), Some(1.5));
    }
}
