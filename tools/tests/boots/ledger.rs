//! The counts are true: a guest that does a known number of each thing is counted exactly.

use std::collections::BTreeMap;

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, dx, eax, ecx, edi};
use serde_json::Value;

use crate::deeds;
use crate::harness::{Boot, Outcome, trials};
use crate::tiny_guest::tiny_guest;

trials![
    a_known_number_of_each_exit_is_counted_exactly_in_every_vm_over_every_restart,
    a_known_number_of_each_detail_is_counted_exactly_in_every_vm_over_every_restart,
    a_vm_that_is_stopped_and_started_at_the_console_is_counted_on,
    a_policy_without_counters_keeps_none_and_the_command_line_asks_for_more,
    a_histogram_holds_every_exit_between_the_shortest_and_the_longest,
];

/// What the guest does in each of its lives, times its VM's number.
const WORK: [(&str, u64); 7] = [
    ("cpuid 0x0", 100),
    ("cpuid 0x1", 50),
    ("rdmsr 0xc0000080", 30),
    ("wrmsr 0xc0000080", 7),
    ("in 0x21", 20),
    ("out 0x21", 10),
    ("vmmcall 0x1", 5),
];
const RDTSCS: u64 = 40;
const PMIO_RESET: u32 = 0x64;

/// `body`, `rounds` times.
fn repeat(
    assembler: &mut CodeAssembler,
    rounds: u64,
    body: impl Fn(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Result<(), IcedError> {
    let mut again = assembler.create_label();
    assembler.mov(edi, rounds as u32)?;
    assembler.set_label(&mut again)?;
    body(assembler)?;
    assembler.dec(edi)?;
    assembler.jnz(again)
}

/// The work, `times` over, and then `end`.
fn worker(times: u64, end: impl Fn(&mut CodeAssembler) -> Result<(), IcedError>) -> Vec<u8> {
    tiny_guest(|assembler| {
        for (what, count) in WORK {
            let (name, number) = what.split_once(' ').expect("a name and a number");
            let digits = number.trim_start_matches("0x");
            let number = u32::from_str_radix(digits, 16).expect("a number");
            repeat(assembler, count * times, |assembler| {
                assembler.mov(dx, number & 0xffff)?;
                assembler.mov(ecx, number)?;
                assembler.mov(eax, if name == "wrmsr" { 0 } else { number })?;
                match name {
                    "cpuid" => assembler.cpuid(),
                    "rdmsr" => assembler.rdmsr(),
                    "wrmsr" => {
                        assembler.xor(iced_x86::code_asm::edx, iced_x86::code_asm::edx)?;
                        assembler.wrmsr()
                    }
                    "in" => assembler.in_(al, dx),
                    "out" => assembler.out(dx, al),
                    _ => assembler.vmmcall(),
                }
            })?;
        }
        repeat(assembler, RDTSCS * times, |assembler| assembler.rdtsc())?;
        end(assembler)
    })
}

/// The keyboard controller's way to reset a PC.
fn reset(assembler: &mut CodeAssembler) -> Result<(), IcedError> {
    assembler.mov(dx, PMIO_RESET)?;
    assembler.mov(eax, 0xfe)?;
    assembler.out(dx, al)?;
    assembler.hlt()
}

/// VMs a, b … that do the work once, twice … in each life.
fn policy(vms: &str, rest: &str) -> String {
    let head = "[set.base]\ncpuid = \"emulate\"\nhlt = \"wait\"\nvmmcall = \"hypercall\"\n\
                rdtsc = \"count\"\n";
    vms.chars().fold(head.to_owned(), |policy, name| {
        format!(
            "{policy}\n[[vm]]\nname = \"{name}\"\nmemory = \"16 MiB\"\nintercepts = \"base\"\n{rest}\n"
        )
    })
}

pub fn boot(policy: &str, kernels: &[(&str, Vec<u8>)]) -> (Boot, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let boot = kernels
        .iter()
        .fold(Boot::policy(policy), |boot, (vm, kernel)| {
            let file = folder.path().join(vm);
            std::fs::write(&file, kernel).expect("a kernel");
            boot.arg("--guest").arg(format!("{vm}={}", file.display()))
        });
    (boot, folder)
}

pub fn vm<'o>(outcome: &'o Outcome, name: &str) -> &'o Value {
    let vms = outcome.report["vms"].as_array().expect("VMs");
    vms.iter().find(|vm| vm["name"] == name).expect("the VM")
}

pub fn exits(vm: &Value) -> BTreeMap<&str, u64> {
    let exits = vm["exits"].as_array().expect("exits");
    let count = |exit: &Value| exit["count"].as_u64();
    exits
        .iter()
        .filter_map(|exit| Some((exit["name"].as_str()?, count(exit)?)))
        .collect()
}

/// `in 0x21` and the like, with their counts.
fn details(vm: &Value) -> BTreeMap<String, u64> {
    let details = vm["details"].as_array().expect("details");
    details
        .iter()
        .filter_map(|detail| {
            let (subject, number) = (detail["subject"].as_str()?, detail["number"].as_u64()?);
            Some((format!("{subject} {number:#x}"), detail["count"].as_u64()?))
        })
        .collect()
}

fn check(vm: &Value, times: u64) {
    let exits = exits(vm);
    let done = |name: &str| -> u64 {
        let of_it = WORK.iter().filter(|(what, _)| what.starts_with(name));
        of_it.map(|(_, count)| count * times).sum()
    };
    assert_eq!(exits["cpuid"], done("cpuid"), "{vm:#}");
    assert_eq!(exits["msr"], done("rdmsr") + done("wrmsr"), "{vm:#}");
    assert_eq!(exits["vmmcall"], done("vmmcall"), "{vm:#}");
    assert_eq!(exits["rdtsc"], RDTSCS * times, "{vm:#}");
    let details = details(vm);
    for (what, count) in WORK {
        assert_eq!(details.get(what), Some(&(count * times)), "{what}: {vm:#}");
    }
    let of_ports: u64 = details
        .iter()
        .filter(|(what, _)| what.starts_with("in ") || what.starts_with("out "))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(exits["ioio"], of_ports, "{vm:#}");
}

/// Everything that the shipped policy counts, in a VM with nested and one with shadow paging.
pub fn everything(rest: &str) -> String {
    const COUNTED: &str = include_str!("../../../policies/count-everything.toml");
    let (sets, _) = COUNTED.split_once("[set.selective]").expect("its sets");
    let vm = |name: &str, npt: bool| {
        format!(
            "[[vm]]\nname = \"{name}\"\nmemory = \"16 MiB\"\nintercepts = \"everything\"\n\
             devices = [\"pic\", \"pit\", \"uart\", \"keyboard\", \"lapic\", \"ioapic\"]\n\
             npt = {npt}\nrestart = \"always\"\nrestart_limit = 2\n{rest}\n\n"
        )
    };
    format!("{sets}{}{}", vm("a", true), vm("b", false))
}

/// Their kernels.
pub fn doers() -> [(&'static str, Vec<u8>); 2] {
    [
        ("a", deeds::kernel(1, reset)),
        ("b", deeds::kernel(2, reset)),
    ]
}

fn a_known_number_of_each_exit_is_counted_exactly_in_every_vm_over_every_restart() {
    let (boot, _folder) = boot(&everything(""), &doers());
    let outcome = boot.run().ends_with(0);
    for (name, times) in [("a", 1), ("b", 2)] {
        let vm = vm(&outcome, name);
        assert_eq!(vm["lives"], 3, "{vm:#}");
        let mut known = deeds::counts(times);
        *known.entry("ioio").or_default() += 1;
        known.values_mut().for_each(|count| *count *= 3);
        let mut counted = exits(vm);
        // When the machine's own timer comes, the guest has no hand in.
        counted.retain(|name, _| !["intr", "vintr"].contains(name));
        assert_eq!(counted, known, "{name}");
    }
}

fn a_known_number_of_each_detail_is_counted_exactly_in_every_vm_over_every_restart() {
    let policy = policy(
        "ab",
        "counters = \"details\"\nrestart = \"always\"\nrestart_limit = 2",
    );
    let kernels = [("a", worker(1, reset)), ("b", worker(2, reset))];
    let (boot, _folder) = boot(&policy, &kernels);
    let outcome = boot.run().ends_with(0);
    for (name, times) in [("a", 1), ("b", 2)] {
        let vm = vm(&outcome, name);
        assert_eq!(vm["lives"], 3, "{vm:#}");
        check(vm, 3 * times);
        assert_eq!(details(vm)["out 0x64"], 3);
    }
}

fn a_vm_that_is_stopped_and_started_at_the_console_is_counted_on() {
    let kernel = worker(1, |assembler| {
        for letter in *b"done\n" {
            assembler.mov(dx, 0x3f8)?;
            assembler.mov(eax, u32::from(letter))?;
            assembler.out(dx, al)?;
        }
        let mut forever = assembler.create_label();
        assembler.set_label(&mut forever)?;
        assembler.jmp(forever)
    });
    let policy = policy("a", "counters = \"details\"");
    let (boot, _folder) = boot(&policy, &[("a", kernel)]);
    let outcome = boot
        // Off and on in one breath, faster than the VMM buries what is off.
        .args(["--expect", "a| done", "--type", "\u{1d}ss\r"])
        .args(["--expect", "a| done", "--type", "\u{1d}q"])
        .run()
        .ends_with(0);
    let vm = vm(&outcome, "a");
    assert_eq!(vm["lives"], 2, "{:#?}", outcome.lines);
    check(vm, 2);
}

fn a_policy_without_counters_keeps_none_and_the_command_line_asks_for_more() {
    let policy = policy("a", "counters = \"off\"");
    for (options, kept) in [(&[][..], false), (&["--counters", "details"], true)] {
        let (boot, _folder) = boot(&policy, &[("a", worker(1, crate::tiny_guest::power_off))]);
        let boot = options.iter().fold(boot, |boot, word| boot.arg(*word));
        let outcome = boot.run().ends_with(0);
        let vm = vm(&outcome, "a");
        if kept {
            check(vm, 1);
        } else {
            assert!(exits(vm).is_empty() && vm["details"].is_null(), "{vm:#}");
            assert_ne!(vm["guest_cycles"], 0, "{vm:#}");
        }
    }
}

fn a_histogram_holds_every_exit_between_the_shortest_and_the_longest() {
    let policy = policy("a", "counters = \"times\"");
    let (boot, _folder) = boot(&policy, &[("a", worker(1, crate::tiny_guest::power_off))]);
    let outcome = boot.arg("--icount").run().ends_with(0);
    for exit in vm(&outcome, "a")["exits"].as_array().expect("exits") {
        let number = |key: &str| exit[key].as_u64().expect("a number");
        let buckets: Vec<u64> = exit["histogram"]
            .as_array()
            .expect("a histogram")
            .iter()
            .filter_map(Value::as_u64)
            .collect();
        let (count, cycles) = (number("count"), number("cycles"));
        let (least, most) = (number("least"), number("most"));
        assert_eq!(buckets.iter().sum::<u64>(), count, "{exit:#}");
        assert!(
            count * least <= cycles && cycles <= count * most,
            "{exit:#}"
        );
        let first = buckets.iter().position(|bucket| *bucket != 0);
        assert_eq!(first, Some(least.max(1).ilog2() as usize), "{exit:#}");
        assert_eq!(buckets.len() - 1, most.max(1).ilog2() as usize, "{exit:#}");
    }
}
