//! Physical lines that a guest is given: when its interrupt is over, by every way that it may take.

use super::*;

const LINE: u8 = 11;

/// The guest's controllers after their set-up, with `LINE` open, and level-triggered if so.
fn set_up(level: bool) -> Devices {
    let mut devices = devices(DeviceSet::PIC);
    let pic = &mut devices.pic;
    for (port, values) in [
        (0x20, [0x11].as_slice()),
        (0x21, &[0x20, 4, 1, 0xfb]),
        (0xa0, &[0x11]),
        (0xa1, &[0x28, 2, 1, 0xf7]),
    ] {
        values.iter().for_each(|value| pic.write(port, *value));
    }
    if level {
        pic.write_elcr(0x4d1, 1 << (LINE - 8));
    }
    devices
}

fn end(devices: &mut Devices) {
    devices.pic.write(0xa0, 0x20);
    devices.pic.write(0x20, 0x20);
}

#[test]
fn a_line_is_done_with_once_its_interrupt_was_taken_and_ended() {
    for level in [false, true] {
        let mut devices = set_up(level);
        devices.pulse(LINE);
        assert!(!devices.is_done_with(LINE), "requested");
        assert_eq!(devices.acknowledge(), 0x28 + LINE - 8);
        assert!(!devices.is_done_with(LINE), "in service");
        end(&mut devices);
        assert!(devices.is_done_with(LINE), "level: {level}");
        assert!(!devices.interrupt_pending());
    }
}

#[test]
fn a_level_that_was_taken_and_ended_between_two_looks_is_done_with() {
    let mut devices = set_up(true);
    devices.pulse(LINE);
    devices.acknowledge();
    end(&mut devices);
    assert!(
        devices.interrupt_pending(),
        "nobody has lowered the line yet"
    );
    assert!(devices.is_done_with(LINE));
    assert!(!devices.interrupt_pending());
}

#[test]
fn a_line_that_the_guest_masks_waits() {
    let mut devices = set_up(true);
    devices.pic.write(0xa1, 0xff);
    devices.pulse(LINE);
    for _ in 0..10 {
        assert!(!devices.is_done_with(LINE));
    }
    devices.pic.write(0xa1, 0xf7);
    assert!(devices.interrupt_pending());
}

#[test]
fn a_guest_that_sets_up_its_controller_anew_has_forgotten_the_interrupt() {
    let mut devices = set_up(false);
    devices.pulse(LINE);
    devices.acknowledge();
    devices.pic.write(0xa0, 0x11);
    assert!(devices.is_done_with(LINE));
}
