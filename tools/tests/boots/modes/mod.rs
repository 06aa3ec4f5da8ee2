//! One guest for each mode of the CPU: what it prints on the bare machine, it prints in a VM, under
//! nested and under shadow paging, and with everything counted.

mod long;
mod pae;
pub mod protected;
mod pse;
mod real;
mod spaces;
mod switches;
pub mod toolbox;

use crate::harness::{Boot, slow, trials};
use crate::in_a_vm::{POLICY, said, said_by};

const COUNT_EVERYTHING: &str = include_str!("../../../../policies/count-everything.toml");

trials![
    real_mode_and_its_unreal_kin_run_alike,
    virtual_8086_mode_runs_alike,
    protected_mode_without_paging_runs_alike,
    pages_of_4_mib_run_alike,
    pae_runs_alike,
    a_reserved_bit_is_told_as_what_it_is_under_shadow_paging,
    long_mode_runs_alike,
    the_switches_between_all_of_them_run_alike,
    a_thousand_address_spaces_run_in_the_tables_that_the_policy_gives,
    a_million_random_steps_through_paging_go_as_the_model_says,
];

/// Fails unless the guest says the same on all three, these lines among it.
fn runs_alike(kernel: &[u8], known: &[&str]) {
    let bare = said(&Boot::bare_machine().kernel(kernel).run().ends_with(0));
    for line in known {
        assert!(bare.iter().any(|said| said == line), "{line:?}: {bare:#?}");
    }
    for paging in ["npt = true", "npt = false"] {
        says(kernel, paging, &bare);
        let counted = COUNT_EVERYTHING.replace("[[vm]]", &format!("[[vm]]\n{paging}"));
        let outcome = Boot::policy(&counted).kernel(kernel).run().ends_with(0);
        assert_eq!(said_by("demo", &outcome), bare, "all counted, {paging}");
    }
}

/// The trials that take long.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![
        every_mode_runs_alike_in_bochs,
        a_reserved_bit_is_told_as_what_it_is_in_bochs,
    ]
}

/// Fails unless the guest says these lines under a policy with this paging.
fn says(kernel: &[u8], paging: &str, lines: &[String]) {
    let policy = POLICY.replace("#REST", paging);
    let outcome = Boot::policy(&policy).kernel(kernel).run().ends_with(0);
    assert_eq!(said_by("demo", &outcome), lines, "{paging}");
}

fn real_mode_and_its_unreal_kin_run_alike() {
    let known = ["real: aliased 00001234", "unreal: 600DF00D", "back: done"];
    runs_alike(&real::kernel(), &known);
}

fn virtual_8086_mode_runs_alike() {
    let known = ["vm86: aliased 00001234", "vm86: done 0000000D"];
    runs_alike(&real::virtual_8086(), &known);
}

fn protected_mode_without_paging_runs_alike() {
    let known = [
        "protected: no such segment: error 00000050 at 00000000",
        "protected: ring 3 halts: error 00000000 at 00000000",
    ];
    runs_alike(&protected::kernel(), &known);
}

fn pages_of_4_mib_run_alike() {
    let known = [
        "read-only: error 00000003 at 00523000",
        "entered 00C00FFE",
        "pushed 5555AAAA",
        "user: error 00000005 at 00001000",
    ];
    runs_alike(&pse::kernel(), &known);
}

fn pae_runs_alike() {
    let known = [
        "no-execute: error 00000011 at 00401000",
        "user: error 00000005 at 00400000",
        "user, 2 MiB: error 00000005 at 00200000",
        "user writes: error 00000007 at 00404000",
        "user executes: error 00000015 at 00405000",
        "after INVLPG 22222222",
        "after PGE 11111111",
        "INVPCID faults 00000001",
    ];
    runs_alike(&pae::kernel(), &known);
}

/// QUIRK: QEMU 7.2 itself leaves out that the page is present.
const RESERVED: &str = "~ reserved: error 00000009 at 00402000";

fn a_reserved_bit_is_told_as_what_it_is_under_shadow_paging() {
    Boot::policy(&POLICY.replace("#REST", "npt = false"))
        .kernel(&pae::kernel())
        .run()
        .ends_with(0)
        .shows(RESERVED);
}

fn long_mode_runs_alike() {
    let known = [
        "1 GiB: 600DF00D",
        "high half: 600DF00D",
        "not mapped: error 00000000 at 00201000",
        "user: error 00000005 at 00200000",
        "user, 2 MiB: error 00000005 at 00400000",
        "user, 1 GiB: error 00000005 at 40000000",
        "user writes: error 00000007 at 00202000",
        "user executes: error 00000015 at 00203000",
        "32: done",
    ];
    runs_alike(&long::kernel(), &known);
}

fn the_switches_between_all_of_them_run_alike() {
    runs_alike(
        &switches::kernel(),
        &["round 7: 11111111 22222222 33333333 44444444"],
    );
}

/// 64 tables: some dozen spaces at a time.
fn a_thousand_address_spaces_run_in_the_tables_that_the_policy_gives() {
    let lines = ["own page found 00000BB8", "sum 0016DD84"].map(str::to_string);
    for paging in ["npt = true", "npt = false\nshadow_tables = \"256 KiB\""] {
        says(&spaces::kernel(), paging, &lines);
    }
}

fn a_million_random_steps_through_paging_go_as_the_model_says() {
    for npt in [true, false] {
        let policy = POLICY
            .replace("CMDLINE", "stress")
            .replace("#REST", &format!("npt = {npt}"));
        Boot::policy(&policy)
            .run()
            .ends_with(0)
            .shows("demo| stress: done, 1000000 steps, 0 wrong");
    }
}

/// What nested paging shows there, shadow paging shows.
fn every_mode_runs_alike_in_bochs() {
    let guests = [
        (real::kernel(), "back: done"),
        (real::virtual_8086(), "vm86: done 0000000D"),
        (
            protected::kernel(),
            "protected: ring 3 halts: error 00000000 at 00000000",
        ),
        (pse::kernel(), "entered 00C00FFE"),
        (pae::kernel(), "user executes: error 00000015 at 00405000"),
        (long::kernel(), "user executes: error 00000015 at 00203000"),
        (
            switches::kernel(),
            "round 7: 11111111 22222222 33333333 44444444",
        ),
    ];
    for (kernel, line) in guests {
        let [nested, shadowed] = ["npt = true", "npt = false"].map(|paging| {
            let policy = POLICY.replace("qemu-tcg", "bochs-ryzen");
            let boot = Boot::bochs(&policy.replace("#REST", paging));
            said_by("demo", &boot.kernel(&kernel).run().ends_with(0))
        });
        assert!(nested.iter().any(|said| said == line), "{nested:#?}");
        assert_eq!(shadowed, nested);
    }
}

fn a_reserved_bit_is_told_as_what_it_is_in_bochs() {
    for paging in ["npt = true", "npt = false"] {
        let policy = POLICY.replace("qemu-tcg", "bochs-ryzen");
        Boot::bochs(&policy.replace("#REST", paging))
            .kernel(&pae::kernel())
            .run()
            .ends_with(0)
            .shows(RESERVED);
    }
}
