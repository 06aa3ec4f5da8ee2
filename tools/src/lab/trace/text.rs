//! A trace for a person at a terminal: filtered, line by line or summed up.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::Args;

use super::{Exit, Trace};
use crate::table::{grouped, numbers};

/// Which exits are of interest.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Only this VM's; may be repeated
    #[arg(long = "vm", value_name = "NAME")]
    pub vms: Vec<String>,

    /// Only exits whose name is or begins with NAME (`cpuid`, `exception`); may be repeated
    #[arg(long = "exit", value_name = "NAME")]
    exits: Vec<String>,

    /// Only those that took at least so many TSC ticks
    #[arg(long, value_name = "TICKS", default_value_t = 0)]
    slower: u64,

    /// Only the last so many of each VM, after the other filters
    #[arg(long, value_name = "N")]
    last: Option<usize>,
}

impl Filter {
    /// Leaves in the trace what is of interest.
    pub fn apply(&self, trace: &mut Trace) {
        if !self.vms.is_empty() {
            trace.vms.retain(|vm| self.vms.contains(&vm.name));
        }
        for vm in &mut trace.vms {
            vm.exits.retain(|exit| self.takes(exit));
            if let Some(last) = self.last {
                let before = vm.exits.len().saturating_sub(last);
                vm.exits.drain(..before);
            }
        }
    }

    fn takes(&self, exit: &Exit) -> bool {
        let is_named = |name: &String| {
            exit.name
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        exit.cycles >= self.slower && (self.exits.is_empty() || self.exits.iter().any(is_named))
    }
}

/// Each exit on a line.
pub fn lines(trace: &Trace) -> String {
    let mut text = String::new();
    for vm in &trace.vms {
        let _ = writeln!(text, "VM {}", vm.name);
        if vm.lost > 0 {
            let _ = writeln!(text, "  ({} exits were not kept)", grouped(vm.lost));
        }
        let _ = writeln!(
            text,
            "  {:>8} {:>16} {:>7}  {:<16} {:<16} {:>10}  info and registers",
            "number", "TSC", "ticks", "exit", "action", "RIP"
        );
        for exit in &vm.exits {
            let mut more = format!("{:#x} {:#x}", exit.info1, exit.info2);
            if matches!(exit.name.as_str(), "cpuid" | "msr" | "vmmcall") {
                let _ = write!(more, ", rax {:#x} rcx {:#x}", exit.rax, exit.rcx);
            }
            if exit.event >> 31 & 1 != 0 {
                let _ = write!(more, ", gives {}", event(exit.event));
            }
            let _ = writeln!(
                text,
                "  {:>8} {:>16} {:>7}  {:<16} {:<16} {:>10}  {more}",
                exit.number,
                exit.time,
                exit.cycles,
                exit.name,
                exit.action,
                format!("{:#x}", exit.rip)
            );
        }
    }
    text
}

/// An injected event in words.
fn event(event: u64) -> String {
    let vector = event & 0xff;
    match event >> 8 & 7 {
        3 => match intercepts::VECTORS.get(vector as usize) {
            Some((_, mnemonic)) => (*mnemonic).to_owned(),
            None => format!("exception {vector}"),
        },
        4 => format!("INT {vector:#x}"),
        2 => "NMI".to_owned(),
        _ => format!("interrupt {vector:#x}"),
    }
}

/// Counts and times by exit.
pub fn sums(trace: &Trace) -> String {
    let mut text = String::new();
    for vm in &trace.vms {
        let mut by_name: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for exit in &vm.exits {
            by_name.entry(&exit.name).or_default().push(exit.cycles);
        }
        let mut rows: Vec<_> = by_name.into_iter().collect();
        rows.sort_by_key(|(_, cycles)| std::cmp::Reverse(cycles.iter().sum::<u64>()));
        let rows = rows.into_iter().map(|(name, mut cycles)| {
            cycles.sort_unstable();
            let sum: u64 = cycles.iter().sum();
            let count = cycles.len() as u64;
            let at = |place: usize| grouped(cycles.get(place).copied().unwrap_or(0));
            [
                name.to_owned(),
                grouped(count),
                grouped(sum),
                at(0),
                at(cycles.len() / 2),
                at(cycles.len() * 99 / 100),
                at(cycles.len().saturating_sub(1)),
            ]
        });
        let heading = format!("VM {}", vm.name);
        let headings = [
            heading.as_str(),
            "exits",
            "ticks",
            "least",
            "middle",
            "99 %",
            "most",
        ];
        let _ = writeln!(text, "{}", numbers(headings, rows));
        if vm.lost > 0 {
            let _ = writeln!(text, "({} exits were not kept)", grouped(vm.lost));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::trace::tests::trace;

    #[test]
    fn a_filter_takes_names_families_and_the_last() {
        let filtered = |filter: Filter| -> Vec<u64> {
            let mut trace = trace();
            filter.apply(&mut trace);
            let exits = trace.vms.iter().flat_map(|vm| &vm.exits);
            exits.map(|exit| exit.number).collect()
        };
        let by_name = |name: &str| Filter {
            exits: vec![name.into()],
            ..Filter::default()
        };
        assert_eq!(filtered(by_name("(vmm)")), [4]);
        assert!(filtered(by_name("ms")).is_empty());
        assert_eq!(filtered(by_name("msr")), [5]);
        let slow = Filter {
            slower: 90,
            ..Filter::default()
        };
        assert_eq!(filtered(slow), [4, 5]);
        let last = Filter {
            last: Some(1),
            ..Filter::default()
        };
        assert_eq!(filtered(last), [5]);
    }

    #[test]
    fn lines_say_what_was_given_and_what_was_lost() {
        let text = lines(&trace());
        assert!(text.contains("(3 exits were not kept)"), "{text}");
        assert!(text.contains("gives interrupt 0x30"), "{text}");
        assert!(text.contains("rcx 0xc0000080"), "{text}");
    }

    #[test]
    fn sums_show_each_exits_count_and_ticks() {
        let text = sums(&trace());
        let line = text
            .lines()
            .find(|line| line.contains("msr"))
            .expect("a line");
        assert!(line.contains(" 90"), "{text}");
    }
}
