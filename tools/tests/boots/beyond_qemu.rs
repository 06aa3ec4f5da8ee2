//! What QEMU never exits for, in Bochs: each exit comes as often as the guest causes it, and only
//! while its intercept is set.

use iced_x86::code_asm::{cr4, eax, ecx};
use libtest_mimic::Trial;
use tools::run::unexercised::SHOWN_ON_BOCHS;

use crate::counting::{TIMED, counts};
use crate::harness::{Boot, slow};
use crate::in_a_vm::said_by;
use crate::tiny_guest::tiny_guest;

const POLICY: &str = include_str!("../../../policies/beyond-qemu.toml");

/// How often `exercise` causes each; it leaves XSETBV alone, which its CPU does not offer.
const EXERCISED: [(&str, u64); 7] = [
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
    ]
}

fn what_qemu_never_exits_for_is_counted_in_bochs() {
    let outcome = Boot::bochs(POLICY).run().ends_with(0);
    let counts = counts(&outcome);
    for (exit, count) in EXERCISED {
        assert_eq!(counts.get(exit), Some(&count), "{exit}");
    }
    let shown = EXERCISED.map(|(exit, _)| exit);
    assert_eq!([&shown[..], &["xsetbv"]].concat(), SHOWN_ON_BOCHS);
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
        let mut after = counts(&outcome);
        assert_eq!(after.remove(exit), None, "{exit} was cleared");
        for (name, count) in &before {
            if name != exit && !TIMED.contains(&name.as_str()) {
                assert_eq!(after.get(name), Some(count), "{name} without {exit}");
            }
        }
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
