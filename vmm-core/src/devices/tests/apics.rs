//! The APICs beside the other devices: their memory, their wiring, and their time.

use super::*;
use crate::addr::Gpa;
use crate::devices::lines::pin_of;

const EOI: u64 = lapic::BASE + 0xb0;
const LINT0: u64 = lapic::BASE + 0x350;

fn poke(devices: &mut Devices, at: u64, value: u32) -> Effect {
    devices.write_memory(Gpa(at), 4, value, GuestTime(0))
}

fn peek(devices: &mut Devices, at: u64) -> u64 {
    devices.read_memory(Gpa(at), GuestTime(0))
}

/// Sends what is on `line` by `vector`, and masks the 8259A's way.
fn route(devices: &mut Devices, line: u8, vector: u32) {
    let index = 0x10 + 2 * u32::from(pin_of(line).unwrap());
    for (at, value) in [(0, index), (0x10, vector)] {
        assert_eq!(poke(devices, ioapic::BASE + at, value), Effect::None);
    }
    assert_eq!(poke(devices, LINT0, 0x1_0000), Effect::None);
}

#[test]
fn a_vm_has_the_memory_of_its_devices_and_no_other() {
    for (set, local, io) in [
        (DeviceSet::PIC, false, false),
        (DeviceSet::LAPIC, true, false),
        (DeviceSet::LAPIC | DeviceSet::IOAPIC, true, true),
    ] {
        let devices = devices(set);
        for (at, has) in [
            (lapic::BASE, local),
            (lapic::BASE + 0xfff, local),
            (lapic::BASE + 0x1000, false),
            (ioapic::BASE, io),
            (ioapic::BASE - 1, false),
            (0, false),
        ] {
            assert_eq!(devices.has_memory_at(Gpa(at)), has, "{set:?} {at:#x}");
        }
    }
}

/// APM 16.3.2: registers are 32 bits wide, and 16 bytes apart.
#[test]
fn only_a_whole_register_is_written() {
    let mut devices = devices(DeviceSet::all());
    let tpr = lapic::BASE + 0x80;
    for (at, bytes) in [(tpr, 1), (tpr, 2), (tpr + 1, 4), (tpr + 4, 4)] {
        let effect = devices.write_memory(Gpa(at), bytes, 0x20, GuestTime(0));
        assert_eq!((effect, peek(&mut devices, tpr)), (Effect::None, 0));
    }
    let _ = poke(&mut devices, tpr, 0x20);
    assert_eq!(peek(&mut devices, tpr), 0x20);
    let version = lapic::BASE + 0x30;
    assert_eq!(peek(&mut devices, version + 2), 5, "a byte of one is read");
    assert_eq!(peek(&mut devices, version + 4), 0);
}

/// The state in which a BIOS hands over: the 8259A are wired through.
#[test]
fn in_virtual_wire_mode_the_8259_interrupt_as_before() {
    let mut devices = running();
    devices.set_line(1, true);
    assert_eq!(serve(&mut devices), 0x21);
    let _ = poke(&mut devices, LINT0, 0x1_0700);
    devices.pulse(1);
    assert!(!devices.interrupt_pending(), "the way is masked");
    let _ = poke(&mut devices, LINT0, 0x700);
    assert!(devices.interrupt_pending());
}

#[test]
fn with_the_apic_off_the_8259_interrupt_past_it() {
    let mut devices = running();
    devices.write_apic_base(0xfee0_0100).unwrap();
    devices.set_line(1, true);
    assert_eq!(serve(&mut devices), 0x21);
    assert_eq!(peek(&mut devices, lapic::BASE + 0x30), u64::MAX);
    assert_eq!(poke(&mut devices, EOI, 0), Effect::None);
}

#[test]
fn a_line_comes_by_its_pin_of_the_io_apic() {
    for line in [0, 1, 4, 8, 9, 15] {
        let mut devices = running();
        route(&mut devices, line, 0x40 + u32::from(line));
        devices.pulse(line);
        assert_eq!(devices.acknowledge(), 0x40 + line);
        assert!(!devices.interrupt_pending());
    }
    assert_eq!(pin_of(2), None);
}

#[test]
fn a_level_that_the_guest_ends_too_early_comes_again() {
    let mut devices = running();
    route(&mut devices, 9, 0x8049);
    devices.set_line(9, true);
    assert_eq!(devices.acknowledge(), 0x49);
    let _ = poke(&mut devices, EOI, 0);
    assert_eq!(devices.acknowledge(), 0x49);
    devices.set_line(9, false);
    let _ = poke(&mut devices, EOI, 0);
    assert!(!devices.interrupt_pending());
}

#[test]
fn the_timers_tick_comes_by_pin_2_and_late_ticks_follow() {
    let mut devices = running().catching_up(true);
    route(&mut devices, 0, 0x30);
    for (port, value) in [(0x43, 0x34), (0x40, 0xa9), (0x40, 4)] {
        write(&mut devices, port, value);
    }
    devices.advance(GuestTime(10 * SECOND / 1000 + SECOND / 2000));
    let mut ticks = 0;
    while devices.interrupt_pending() {
        assert_eq!(devices.acknowledge(), 0x30);
        let _ = poke(&mut devices, EOI, 0);
        ticks += 1;
    }
    assert_eq!(ticks, 10);
}

#[test]
fn the_local_timer_is_a_deadline_of_the_vm() {
    let mut devices = devices(DeviceSet::LAPIC);
    assert_eq!(devices.next_deadline(), None);
    let timer = lapic::BASE + 0x320;
    assert_eq!(poke(&mut devices, timer, 0x40), Effect::None);
    let initial = lapic::BASE + 0x380;
    assert_eq!(poke(&mut devices, initial, 500), Effect::Timer);
    assert_eq!(devices.next_deadline(), Some(GuestTime(1000)));
    devices.advance(GuestTime(1000));
    assert_eq!(devices.acknowledge(), 0x40);
    assert_eq!(devices.next_deadline(), None);
}

#[test]
fn cr8_holds_back_what_the_apic_has_and_nothing_of_the_8259() {
    let mut devices = running();
    devices.set_cr8(15);
    devices.set_line(1, true);
    assert_eq!(devices.held_back_by_cr8(), None);
    assert_eq!(serve(&mut devices), 0x21);
    route(&mut devices, 4, 0x54);
    devices.pulse(4);
    assert!(!devices.interrupt_pending());
    assert_eq!(devices.held_back_by_cr8(), Some(5));
    devices.set_cr8(4);
    assert_eq!(devices.acknowledge(), 0x54);
}

#[test]
fn a_vm_without_an_apic_has_no_such_msrs() {
    let mut devices = devices(DeviceSet::PIC);
    assert_eq!((devices.apic_base(), devices.tsc_deadline()), (None, None));
    assert_eq!(devices.write_apic_base(0xfee0_0900), None);
    assert_eq!(devices.write_tsc_deadline(1, GuestTime(1)), None);
}

proptest! {
    /// Memory and lines in any order: what is pending can be taken, and comes to an end.
    #[test]
    fn no_access_to_memory_hangs_or_breaks(
        steps in prop::collection::vec((0u8..6, 0u64..0x420, any::<u32>(), any::<u8>()), 0..200),
    ) {
        let mut devices = running();
        let mut now = GuestTime(0);
        for (kind, offset, value, line) in steps {
            let base = if kind & 1 == 0 { lapic::BASE } else { ioapic::BASE };
            match kind {
                0 | 1 => { let _ = devices.write_memory(Gpa(base + offset), 1 << (line & 3), value, now); }
                2 => { devices.read_memory(Gpa(base + offset), now); }
                3 => devices.set_line(line, value & 1 != 0),
                4 => {
                    now = now.after(value.into());
                    devices.advance(now);
                    prop_assert!(devices.next_deadline().is_none_or(|at| at > now));
                }
                _ => {
                    for _ in 0..600 {
                        if !devices.interrupt_pending() { break }
                        devices.acknowledge();
                    }
                }
            }
        }
    }
}
