//! Machines that lack parts of a PC, as real ones do. QEMU can leave them out.

use crate::harness::{Boot, qemu_with, trials};
use crate::in_a_vm::POLICY;

trials![
    lines_and_time_come_from_apics_where_the_old_chips_are_gone,
    a_machine_without_a_keyboard_controller_is_no_worse,
    a_person_types_at_whichever_serial_port_there_is,
    a_processor_of_32_bits_is_3_and_told_so,
    acpi_alone_switches_a_machine_off_that_is_no_emulators,
];

/// QEMU without what tells the VMM that it is no real machine: its CPU's word, and the maker of its
/// ACPI tables. Nothing that only emulators have is touched then.
pub const NO_EMULATOR: [&str; 4] = ["-machine", "x-oem-id=TEST", "-cpu", "max,-hypervisor"];

/// A machine without `parts` on which a person shuts the guest down, by these options.
fn poweroff_without(parts: &str, typing: &str) {
    Boot::policy(&POLICY.replace("CMDLINE", ""))
        .args(["--expect", "tollgate> ", typing, "poweroff\\n"])
        .args(["--", "-machine", parts])
        .run()
        .ends_with(0)
        .shows("tollgate> poweroff");
}

/// The firmware goes on saying that there is a pair of 8259s, so each shows by itself.
fn lines_and_time_come_from_apics_where_the_old_chips_are_gone() {
    for parts in ["pic=off", "pit=off", "pic=off,pit=off", "pit=off,hpet=off"] {
        poweroff_without(parts, "--keys");
    }
}

fn a_machine_without_a_keyboard_controller_is_no_worse() {
    poweroff_without("i8042=off", "--type");
}

/// The first port is gone. The firmware's tables name no other as the console.
fn a_person_types_at_whichever_serial_port_there_is() {
    for (port, line) in [("0x3e8", 4), ("0x2e8", 3)] {
        let folder = tempfile::tempdir().expect("a folder");
        let script = format!(
            "[ \"$word\" = chardev:com1 ] && word=none\n set -- \"$@\" \"$word\"\n done\n\
             set -- \"$@\" -device isa-serial,chardev=com1,iobase={port},irq={line}\n"
        );
        Boot::policy(&POLICY.replace("CMDLINE", ""))
            .within_seconds("60")
            .arg("--qemu")
            .arg(qemu_with(folder.path(), &script))
            .args(["--expect", "tollgate> ", "--type", "poweroff\\n"])
            .run()
            .ends_with(0)
            .shows("tollgate> poweroff");
    }
}

fn a_processor_of_32_bits_is_3_and_told_so() {
    Boot::policy(&POLICY.replace("CMDLINE", ""))
        .args(["--", "-cpu", "pentium3"])
        .run()
        .ends_with(3)
        .shows("[vmm] refused: this processor has no 64-bit mode")
        .says("no 64-bit mode");
}

/// On two chipsets, and under each firmware.
fn acpi_alone_switches_a_machine_off_that_is_no_emulators() {
    for options in [
        &["--"][..],
        &["--iso", "--"],
        &["--uefi", "--"],
        &["--", "-machine", "q35"],
    ] {
        let boot = Boot::policy(&POLICY.replace("CMDLINE", "demo"));
        let outcome = [options, &NO_EMULATOR]
            .into_iter()
            .flatten()
            .fold(boot, |boot, option| boot.arg(*option))
            .run()
            .ends_with(0);
        let ended = &outcome.report["ended"];
        assert_eq!(ended["shutdown"], "guest-shutdown", "{outcome:?}");
    }
}
