//! Rules of a policy at work, seen by kernels of a few instructions: limits, what a guest is told,
//! and what rules cost.

use iced_x86::code_asm::{CodeAssembler, dword_ptr, eax, ebx, ecx, edi, edx};

use crate::counting::counts;
use crate::harness::{Boot, trials};
use crate::in_a_vm::{POLICY, said_by};
use crate::modes::toolbox::{Done, START, code, end, kernel, show};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    a_limit_ends_an_intercept_or_the_vm,
    the_first_thousand_alone_are_answered,
    a_kernel_that_halts_for_good_has_crashed,
    cpuid_lies_to_whoever_asks,
    the_time_is_too_coarse_to_measure_with,
    the_time_is_the_policys,
    cpuid_costs_the_same_however_many_rules_there_are,
];

/// The exit behind the last that is answered is the one that takes the intercept off, or ends the VM.
fn a_limit_ends_an_intercept_or_the_vm() {
    let rules = "rdtsc = { action = \"count\", limit = 3 }\n\
                 cpuid = { action = \"emulate\", limit = 5, then = \"pass\" }";
    let policy = POLICY.replace("cpuid    = \"emulate\"", rules);
    let guest = tiny_guest(|a| {
        for _ in 0..20 {
            a.cpuid()?;
        }
        for _ in 0..20 {
            a.rdtsc()?;
        }
        power_off(a)
    });
    let outcome = Boot::policy(&policy)
        .kernel(&guest)
        .run()
        .ends_with(1)
        .shows("after 3 of them, the policy's limit for `rdtsc`");
    let counts = counts(&outcome);
    assert_eq!(counts.get("cpuid"), Some(&6));
    assert_eq!(counts.get("rdtsc"), Some(&4));
}

fn the_first_thousand_alone_are_answered() {
    let guest = tiny_guest(|a| {
        let mut again = a.create_label();
        a.mov(edi, 1100)?;
        a.set_label(&mut again)?;
        a.rdtsc()?;
        a.cpuid()?;
        a.dec(edi)?;
        a.jnz(again)?;
        power_off(a)
    });
    let policy = include_str!("../../../policies/first-thousand.toml");
    let outcome = Boot::policy(policy).kernel(&guest).run().ends_with(0);
    for exit in ["cpuid", "rdtsc"] {
        assert_eq!(counts(&outcome).get(exit), Some(&1001), "{exit}");
    }
}

fn a_kernel_that_halts_for_good_has_crashed() {
    let guest = tiny_guest(|a| {
        a.cli()?;
        a.hlt()
    });
    let policy = include_str!("../../../policies/halt-is-crash.toml");
    let outcome = Boot::policy(policy).kernel(&guest).run().ends_with(1);
    assert_eq!(outcome.report["vms"][0]["end"]["how"], "crashed");
}

/// The lines that a guest prints under a policy.
fn said_under(policy: &str, write: impl FnOnce(&mut CodeAssembler) -> Done) -> Vec<String> {
    let guest = kernel(vec![code(32, START, START, |a| {
        write(a)?;
        end(a)
    })]);
    said_by(
        "demo",
        &Boot::policy(policy).kernel(&guest).run().ends_with(0),
    )
}

fn cpuid_lies_to_whoever_asks() {
    let policy = include_str!("../../../policies/cpuid-lies.toml");
    let said = said_under(policy, |a| {
        show(a, "name ", |a| {
            a.mov(eax, 0x4000_0000)?;
            a.cpuid()?;
            a.mov(eax, ebx)
        })?;
        show(a, "SSE3 ", |a| {
            a.mov(eax, 1)?;
            a.cpuid()?;
            a.mov(eax, ecx)?;
            a.and(eax, 1)
        })
    });
    // "Toll"
    assert_eq!(said, ["name 6C6C6F54", "SSE3 00000000"]);
}

fn the_time_is_too_coarse_to_measure_with() {
    let policy = include_str!("../../../policies/anti-rdtsc.toml");
    let said = said_under(policy, |a| {
        for _ in 0..2 {
            show(a, "low bits ", |a| {
                a.rdtsc()?;
                a.and(eax, 0xfff)
            })?;
        }
        Ok(())
    });
    assert_eq!(said, ["low bits 00000000"; 2]);
}

/// The CPU adds the offset, so the exit of a counted RDTSC and the TSC as an MSR show it alike.
fn the_time_is_the_policys() {
    for rdtsc in ["pass", "count"] {
        let policy = POLICY
            .replace("[set.base]", &format!("[set.base]\nrdtsc = {rdtsc:?}"))
            .replace("#REST", "tsc_offset = 0x4000_0000_0000_0000");
        let said = said_under(&policy, |a| {
            show(a, "RDTSC ", |a| {
                a.rdtsc()?;
                a.mov(eax, edx)?;
                a.shr(eax, 28)
            })?;
            show(a, "RDMSR ", |a| {
                a.mov(ecx, 0x10)?;
                a.rdmsr()?;
                a.mov(eax, edx)?;
                a.shr(eax, 28)
            })
        });
        assert_eq!(said, ["RDTSC 00000004", "RDMSR 00000004"]);
    }
}

/// So many are measured.
const CPUIDS: u32 = 1000;

/// In instructions, which are the same in every run.
fn cpuid_costs_the_same_however_many_rules_there_are() {
    let guest = kernel(vec![code(32, START, START, |a| {
        show(a, "cost ", |a| {
            a.rdtsc()?;
            a.mov(dword_ptr(0x6000), eax)?;
            let mut again = a.create_label();
            a.mov(edi, CPUIDS)?;
            a.set_label(&mut again)?;
            a.xor(eax, eax)?;
            a.cpuid()?;
            a.dec(edi)?;
            a.jnz(again)?;
            a.rdtsc()?;
            a.sub(eax, dword_ptr(0x6000))
        })?;
        end(a)
    })]);
    let cost = |policy: &str| {
        let boot = Boot::policy(policy).arg("--icount").kernel(&guest);
        let said = said_by("demo", &boot.run().ends_with(0));
        let cost = said.iter().find_map(|line| line.strip_prefix("cost "));
        u32::from_str_radix(cost.expect("a cost"), 16).expect("a number")
    };
    let mut rules = String::new();
    for port in (0x1000..0x2000).step_by(0x10) {
        rules += &format!("[[vm.io]]\nports = {port}\naction = \"ignore\"\n");
        rules += &format!("[[vm.msr]]\nmsr = {port}\nread = \"ignore\"\n");
    }
    let conditions: String = (0..64)
        .map(|port| format!("{{ port = {port}, action = \"log\" }}, "))
        .collect();
    let ruled = POLICY.replace("#REST", &rules).replace(
        "[set.base]",
        &format!("[set.base]\nioio = {{ when = [{conditions}{{ action = \"emulate\" }}] }}"),
    );
    let (without, with) = (cost(POLICY), cost(&ruled));
    assert!(without > 20 * CPUIDS, "{without} for {CPUIDS}");
    // Less than an instruction for each.
    assert!(
        with.abs_diff(without) < CPUIDS,
        "{with}, without rules {without}"
    );
}
