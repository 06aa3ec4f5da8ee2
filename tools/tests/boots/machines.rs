//! The same on every machine: QEMU with its own loader, by BIOS and by UEFI from a disc, and Bochs
//! as two processors. What differs between them is in [`crate::images`], a trial each.

use iced_x86::code_asm::{eax, esi};

use crate::hardware::NO_EMULATOR;
use crate::harness::{Boot, slow};
use crate::in_a_vm::{POLICY, count, runs_like_the_bare_machine};
use crate::tiny_guest::{power_off, tiny_guest};

/// The trials, which all take long.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![
        the_core_set_holds_on_qemu_by_its_own_loader,
        the_core_set_holds_on_qemu_by_bios_and_grub,
        the_core_set_holds_on_qemu_by_uefi_and_grub,
        the_core_set_holds_on_a_ryzen_in_bochs,
        the_core_set_holds_on_a_phenom_in_bochs,
        under_shadow_paging_a_task_switch_is_performed_in_bochs,
        a_vmm_that_breaks_says_so_on_each_machine_and_esc_starts_it_again,
    ]
}

fn the_core_set_holds_on_qemu_by_its_own_loader() {
    core_set(Boot::policy);
}

fn the_core_set_holds_on_qemu_by_bios_and_grub() {
    core_set(|policy| Boot::policy(policy).arg("--iso"));
}

fn the_core_set_holds_on_qemu_by_uefi_and_grub() {
    core_set(|policy| Boot::policy(policy).arg("--uefi"));
}

fn the_core_set_holds_on_a_ryzen_in_bochs() {
    core_set(|policy| Boot::bochs(&policy.replace("qemu-tcg", "bochs-ryzen")));
}

fn the_core_set_holds_on_a_phenom_in_bochs() {
    core_set(|policy| Boot::bochs(&policy.replace("qemu-tcg", "bochs-phenom")));
}

/// QEMU has no exit for it, and ends such a VM.
fn under_shadow_paging_a_task_switch_is_performed_in_bochs() {
    for machine in ["bochs-ryzen", "bochs-phenom"] {
        let policy = POLICY
            .replace("qemu-tcg", machine)
            .replace("CMDLINE", "exercise")
            .replace("#REST", "npt = false");
        runs_like_the_bare_machine(Boot::bochs(&policy), "exercise", 80);
    }
}

/// QEMU is told the status before a key could be pressed, unless it looks like none, and ends when the
/// machine starts again: by the keyboard controller, and on the other chipset by the register that
/// ACPI names. The first keys come before anybody reads them. Bochs ends when the VMM is done.
fn a_vmm_that_breaks_says_so_on_each_machine_and_esc_starts_it_again() {
    let policy = POLICY.replace("CMDLINE", "demo");
    let breaks = |boot: Boot, options: &[&str]| {
        let boot = boot.args(["--drill", "panic"]).within_seconds("120");
        options
            .iter()
            .fold(boot, |boot, option| boot.arg(*option))
            .run()
            .ends_with(4)
            .shows("the VMM broke: ")
            .shows("from vmm_core::hypervisor::run (")
    };
    let keys = [
        "--expect",
        "from long_mode",
        "--keys",
        "aaaaaa<esc><esc><esc>",
    ];
    for (medium, machine) in [
        (&[][..], &["--"][..]),
        (&["--iso"], &["--"]),
        (&["--uefi"], &["--"]),
        (&[], &["--", "-machine", "q35"]),
    ] {
        breaks(Boot::policy(&policy), medium);
        let options = [medium, &keys, machine, &NO_EMULATOR].concat();
        let outcome = breaks(Boot::policy(&policy), &options);
        let ended = &outcome.report["ended"];
        assert_eq!(ended["shutdown"], "guest-reset", "{outcome:?}");
    }
    for machine in ["bochs-ryzen", "bochs-phenom"] {
        breaks(Boot::bochs(&policy.replace("qemu-tcg", machine)), &[]);
    }
}

/// What must hold on a machine that boots a policy so.
fn core_set(boot: impl Fn(&str) -> Boot) {
    let with = |cmdline: &str| boot(&POLICY.replace("CMDLINE", cmdline));
    runs_like_the_bare_machine(with("demo"), "demo", 30);
    runs_like_the_bare_machine(with("exercise"), "exercise", 80);

    with("")
        .args(["--expect", "tollgate> ", "--type", "fault\\n"])
        .args(["--expect", "tollgate> ", "--keys", "poweroff\\n"])
        .run()
        .ends_with(0)
        .shows("demo| fault: survived");

    let counting = tiny_guest(|a| {
        let mut again = a.create_label();
        a.mov(esi, 1000)?;
        a.set_label(&mut again)?;
        a.xor(eax, eax)?;
        a.cpuid()?;
        a.dec(esi)?;
        a.jnz(again)?;
        power_off(a)
    });
    let counted = with("").kernel(&counting).run().ends_with(0);
    assert_eq!(count(&counted, "demo", "cpuid"), 1000, "{counted:?}");

    let crashed = with("").kernel(&tiny_guest(|a| a.ud2())).run().ends_with(1);
    assert_eq!(crashed.report["vms"][0]["end"]["how"], "crashed");

    let second = "\n[[vm]]\nname = \"other\"\ncmdline = \"demo\"\nmemory = \"64 MiB\"\n\
                  intercepts = \"base\"\n";
    boot(&(POLICY.replace("CMDLINE", "demo") + second))
        .run()
        .ends_with(0)
        .shows("demo| demo: done")
        .shows("other| demo: done");
}
