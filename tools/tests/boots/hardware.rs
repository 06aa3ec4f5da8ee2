//! Machines that lack parts of a PC, as real ones do. QEMU can leave them out.

use std::path::{Path, PathBuf};

use crate::harness::{Boot, qemu_with, trials};
use crate::in_a_vm::POLICY;

trials![
    lines_and_time_come_from_apics_where_the_old_chips_are_gone,
    a_machine_without_a_keyboard_controller_is_no_worse,
    a_person_types_at_whichever_serial_port_there_is,
    a_person_types_at_the_serial_port_that_the_firmware_names,
    a_machine_without_a_serial_port_for_people_is_no_worse,
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

/// QEMU in which `first` is at the first serial port, and a person at no port, or the one here.
fn qemu_with_serial(folder: &Path, first: &str, person: &str) -> PathBuf {
    let script = format!(
        "[ \"$word\" = chardev:com1 ] && word={first}\n set -- \"$@\" \"$word\"\n done\n\
         set -- \"$@\" {person}\n"
    );
    qemu_with(folder, &script)
}

/// The machine's own serial port for people, on another address.
fn person_at(port: u16, line: u8) -> String {
    format!("-device isa-serial,chardev=com1,iobase={port:#x},irq={line}")
}

fn poweroff_typed(folder: &Path, first: &str, person: &str) {
    Boot::policy(&POLICY.replace("CMDLINE", ""))
        .within_seconds("60")
        .arg("--qemu")
        .arg(qemu_with_serial(folder, first, person))
        .args(["--expect", "tollgate> ", "--type", "poweroff\\n"])
        .run()
        .ends_with(0)
        .shows("tollgate> poweroff");
}

/// The first port is gone. The firmware's tables name no other as the console.
fn a_person_types_at_whichever_serial_port_there_is() {
    for (port, line) in [(0x3e8, 4), (0x2e8, 3)] {
        let folder = tempfile::tempdir().expect("a folder");
        poweroff_typed(folder.path(), "none", &person_at(port, line));
    }
}

/// Nobody is at the first port, which is there.
fn a_person_types_at_the_serial_port_that_the_firmware_names() {
    const PORT: u16 = 0x2e8;
    let folder = tempfile::tempdir().expect("a folder");
    // Serial port console redirection: its header, a 16550, and where that is.
    let mut table = b"SPCR\x50\0\0\0\x02\0TEST  TESTSPCR\x01\0\0\0TEST\x01\0\0\0".to_vec();
    table.extend([0, 0, 0, 0, 1, 8, 0, 0]);
    table.extend(u64::from(PORT).to_le_bytes());
    table.resize(0x50, 0);
    let file = folder.path().join("spcr");
    std::fs::write(&file, table).expect("a table");
    let person = format!("{} -acpitable file={}", person_at(PORT, 3), file.display());
    poweroff_typed(folder.path(), "null", &person);
}

fn a_machine_without_a_serial_port_for_people_is_no_worse() {
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = Boot::policy(&POLICY.replace("CMDLINE", "demo"))
        .within_seconds("60")
        .arg("--qemu")
        .arg(qemu_with_serial(folder.path(), "none", ""))
        .run()
        .ends_with(0);
    assert_eq!(outcome.lines_of("demo"), [""; 0]);
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
