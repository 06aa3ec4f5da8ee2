//! What QEMU never exits for, in Bochs: each exit comes as often as the guest causes it, and only
//! while its intercept is set.

use iced_x86::code_asm::{cr4, dword_ptr, eax, ecx, esp, xmm0};
use libtest_mimic::Trial;
use tools::run::unexercised::SHOWN_ON_BOCHS;

use crate::counting::{assert_lacks_alone, counts};
use crate::harness::{Boot, slow};
use crate::in_a_vm::said_by;
use crate::modes::protected::fault_in_ring_3;
use crate::modes::toolbox::{COUNT, START, code, end, kernel, poke, set_cr0, show, try_to};
use crate::tiny_guest::tiny_guest;

const POLICY: &str = include_str!("../../../policies/beyond-qemu.toml");

/// How often `exercise` causes each; it leaves XSETBV alone, which its CPU does not offer.
const EXERCISED: [(&str, u64); 8] = [
    ("exception.df", 1),
    ("exception.bp", 1),
    ("exception.of", 1),
    ("icebp", 1),
    ("invd", 1),
    ("mwait.armed", 1),
    ("rdtscp", 1),
    // To the second task and back, twice.
    ("task-switch", 4),
];

/// The trials, which all take long.
pub fn slow_trials() -> Vec<Trial> {
    slow![
        what_qemu_never_exits_for_is_counted_in_bochs,
        clearing_one_of_them_in_bochs_removes_its_count_alone,
        xsetbv_is_counted_in_bochs_and_reaches_no_register,
        faults_of_alignment_and_of_sse_are_counted_in_bochs,
    ]
}

fn what_qemu_never_exits_for_is_counted_in_bochs() {
    let outcome = Boot::bochs(POLICY).run().ends_with(0);
    let counts = counts(&outcome);
    for (exit, count) in EXERCISED {
        assert_eq!(counts.get(exit), Some(&count), "{exit}");
    }
    let shown = EXERCISED.map(|(exit, _)| exit);
    let by_others = ["xsetbv", "exception.ac", "exception.xf"];
    assert_eq!([&shown[..], &by_others].concat(), SHOWN_ON_BOCHS);
}

fn clearing_one_of_them_in_bochs_removes_its_count_alone() {
    let outcome = Boot::bochs(POLICY).run().ends_with(0);
    let (said, before) = (said_by("demo", &outcome), counts(&outcome));
    for (exit, _) in EXERCISED {
        // The isolation floor cannot be cleared.
        if intercepts::by_name(exit).is_some_and(|exit| exit.is_floor()) {
            continue;
        }
        let without =
            format!("[set.without]\nextends = \"beyond\"\n\"{exit}\" = \"pass\"\n\n[[vm]]");
        let policy = POLICY
            .replace("[[vm]]", &without)
            .replace("intercepts = \"beyond\"", "intercepts = \"without\"");
        let outcome = Boot::bochs(&policy).run().ends_with(0);
        assert_eq!(said_by("demo", &outcome), said, "without {exit}");
        assert_lacks_alone(exit, &before, counts(&outcome));
    }
}

/// The guest turns XSAVE on behind its CPUID's back: XSETBV is #UD nevertheless, and for a kernel
/// without a gate for that, its end.
fn xsetbv_is_counted_in_bochs_and_reaches_no_register() {
    const OSXSAVE: i32 = 1 << 18;
    let guest = tiny_guest(|a| {
        a.mov(eax, cr4)?;
        a.or(eax, OSXSAVE)?;
        a.mov(cr4, eax)?;
        a.xor(ecx, ecx)?;
        a.xgetbv()?;
        a.xsetbv()
    });
    let outcome = Boot::bochs(POLICY).kernel(&guest).run().ends_with(1);
    assert_eq!(counts(&outcome).get("xsetbv"), Some(&1));
    assert_eq!(outcome.report["vms"][0]["end"]["how"], "crashed");
}

/// An unaligned access in ring 3 with alignment checked, and 0 / 0 in SSE with no exception masked.
fn faults_of_alignment_and_of_sse_are_counted_in_bochs() {
    const AM: u32 = 1 << 18;
    const AC: u32 = 1 << 18;
    const OSFXSR_OSXMMEXCPT: u32 = 3 << 9;
    const MXCSR: u32 = 0x6000;
    let guest = kernel(vec![code(32, START, START, |a| {
        set_cr0(a, AM)?;
        fault_in_ring_3(a, "unaligned", |a| {
            a.pushfd()?;
            a.or(dword_ptr(esp), AC)?;
            a.popfd()?;
            a.mov(eax, dword_ptr(0x5001))
        })?;
        a.mov(eax, OSFXSR_OSXMMEXCPT)?;
        a.mov(cr4, eax)?;
        poke(a, MXCSR, 0)?;
        a.ldmxcsr(dword_ptr(MXCSR))?;
        a.xorps(xmm0, xmm0)?;
        try_to(a, |a| a.divps(xmm0, xmm0))?;
        show(a, "faults ", |a| a.mov(eax, dword_ptr(COUNT)))?;
        end(a)
    })]);
    let counted = Boot::bochs(POLICY).kernel(&guest).run().ends_with(0);
    let said = said_by("demo", &counted);
    assert!(said.contains(&"faults 00000002".to_owned()), "{said:#?}");
    let before = counts(&counted);
    for exit in ["exception.ac", "exception.xf"] {
        assert_eq!(before.get(exit), Some(&1), "{exit}");
    }
    // The one for alignment is on the isolation floor, and cannot be cleared.
    let policy = POLICY.replace("exception.xf = \"count\"", "exception.xf = \"pass\"");
    let outcome = Boot::bochs(&policy).kernel(&guest).run().ends_with(0);
    assert_eq!(said_by("demo", &outcome), said);
    assert_lacks_alone("exception.xf", &before, counts(&outcome));
}
