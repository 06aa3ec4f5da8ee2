//! The devices together: ports, lines, deadlines, and the laws that hold whatever a guest does.

mod apics;
mod lines;

use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn devices(set: DeviceSet) -> Devices {
    Devices::new(set, 64 * MIB, UnixTime(0))
}

/// All devices, the PIC initialised with vectors 20h and 28h, nothing masked.
fn running() -> Devices {
    let mut devices = devices(DeviceSet::all());
    for (port, value) in [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 0x04),
        (0x21, 0x01),
        (0xa0, 0x11),
        (0xa1, 0x28),
        (0xa1, 0x02),
        (0xa1, 0x01),
    ] {
        write(&mut devices, port, value);
    }
    devices
}

fn start() -> GuestTime {
    GuestTime(0)
}

fn write(devices: &mut Devices, port: u16, value: u8) {
    let effect = devices.write(port, value, start);
    assert!(
        matches!(effect, Some(Effect::None | Effect::Timer)),
        "{effect:?}"
    );
}

/// Takes the interrupt and ends it at both controllers.
fn serve(devices: &mut Devices) -> u8 {
    assert!(devices.interrupt_pending());
    let vector = devices.acknowledge();
    write(devices, 0xa0, 0x20);
    write(devices, 0x20, 0x20);
    vector
}

#[test]
fn a_vm_has_the_ports_of_its_devices_and_no_others() {
    let table: [(DeviceSet, &[u16]); 7] = [
        (DeviceSet::PIC, &[0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1]),
        (DeviceSet::PIT, &[0x40, 0x41, 0x42, 0x43, 0x61]),
        (
            DeviceSet::UART,
            &[0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff],
        ),
        (DeviceSet::KEYBOARD, &[0x60, 0x64]),
        (DeviceSet::MOUSE, &[0x60, 0x64]),
        (DeviceSet::RTC, &[0x70, 0x71]),
        (
            DeviceSet::VGA,
            &[
                0x3c0, 0x3c1, 0x3c2, 0x3c3, 0x3c4, 0x3c5, 0x3c6, 0x3c7, 0x3c8, 0x3c9, 0x3ca, 0x3cc,
                0x3ce, 0x3cf, 0x3d4, 0x3d5, 0x3da,
            ],
        ),
    ];
    let event = [0x600, 0x601, 0x602, 0x603];
    let power = [0x64, 0x92, 0x604, 0x605, 0xcf9, 0x8900];
    for (set, ports) in table {
        let mut devices = devices(set);
        for port in 0..=u16::MAX {
            let of_power = power.contains(&port) || event.contains(&port);
            let expected = ports.contains(&port) || of_power;
            assert_eq!(devices.owns(port), expected, "{set:?} {port:#x}");
            let answered = devices.read(port, start).is_some();
            assert_eq!(answered, expected, "{set:?} {port:#x}");
            let answered = devices.write(port, 0, start).is_some();
            assert_eq!(answered, expected, "{set:?} {port:#x}");
        }
    }
}

#[test]
fn every_device_interrupts_on_its_line() {
    let mut devices = running();
    for (port, value) in [(0x43, 0x30), (0x40, 10), (0x40, 0)] {
        write(&mut devices, port, value);
    }
    devices.advance(GuestTime(SECOND / 100));
    assert_eq!(serve(&mut devices), 0x20, "timer");

    assert!(devices.key(0x1e));
    assert_eq!(serve(&mut devices), 0x21, "keyboard");
    assert_eq!(devices.read(0x60, start), Some(0x1e));

    write(&mut devices, 0x3fc, 0x08);
    write(&mut devices, 0x3f9, 0x01);
    assert!(devices.serial_input(b'a'));
    assert_eq!(serve(&mut devices), 0x24, "serial port");
    assert_eq!(devices.read(0x3f8, start), Some(b'a'));

    write(&mut devices, 0x70, 0x0b);
    write(&mut devices, 0x71, 0x12);
    devices.advance(GuestTime(SECOND));
    assert_eq!(serve(&mut devices), 0x28, "clock");
    assert!(!devices.interrupt_pending());
}

/// The line falls between two bytes, so each is an edge although the buffer never stays empty.
#[test]
fn each_key_interrupts_anew() {
    let mut devices = running();
    for code in [0x1e, 0x9e, 0x1f] {
        assert!(devices.key(code));
    }
    for code in [0x1e, 0x9e, 0x1f] {
        assert_eq!(serve(&mut devices), 0x21);
        assert_eq!(devices.read(0x60, start), Some(code));
    }
    assert!(!devices.interrupt_pending());
}

#[test]
fn the_timer_ticks_once_for_each_deadline() {
    let mut devices = running();
    for (port, value) in [(0x43, 0x34), (0x40, 0xa9), (0x40, 0x04)] {
        write(&mut devices, port, value);
    }
    let mut ticks = 0;
    while let Some(deadline) = devices.next_deadline()
        && deadline <= GuestTime(SECOND)
    {
        devices.advance(deadline);
        assert_eq!(serve(&mut devices), 0x20);
        assert!(!devices.interrupt_pending());
        ticks += 1;
    }
    // 1193182 / 04A9h.
    assert_eq!(ticks, 1000);
}

/// Whoever reads the timer sees its tick as an interrupt too, before any host timer fires.
#[test]
fn a_read_of_the_timer_delivers_a_due_tick() {
    let mut devices = running();
    for (port, value) in [(0x43, 0x34), (0x40, 0xa9), (0x40, 0x04)] {
        write(&mut devices, port, value);
    }
    devices.read(0x40, || GuestTime(SECOND / 100));
    assert_eq!(serve(&mut devices), 0x20);
    assert!(devices.next_deadline() > Some(GuestTime(SECOND / 100)));
}

/// MC146818 data sheet, "Register C": reading it lets the line fall.
#[test]
fn reading_register_c_withdraws_the_interrupt() {
    let mut devices = running();
    write(&mut devices, 0x70, 0x0b);
    write(&mut devices, 0x71, 0x12);
    write(&mut devices, 0x21, 0xfb);
    devices.advance(GuestTime(SECOND));
    assert!(devices.interrupt_pending());
    write(&mut devices, 0x70, 0x0c);
    let now = || GuestTime(SECOND);
    assert_eq!(devices.read(0x71, now).map(|c| c & 0x90), Some(0x90));
    assert!(!devices.interrupt_pending());
}

#[test]
fn late_ticks_are_one_interrupt() {
    let mut devices = running();
    for (port, value) in [(0x43, 0x34), (0x40, 0xa9), (0x40, 0x04)] {
        write(&mut devices, port, value);
    }
    let before = devices.pit.edges();
    devices.advance(GuestTime(SECOND));
    assert_eq!(serve(&mut devices), 0x20);
    assert!(!devices.interrupt_pending());
    assert_eq!(devices.pit.edges() - before, 1000);
}

#[test]
fn a_vm_without_timers_has_no_deadline() {
    let set = DeviceSet::PIC | DeviceSet::UART | DeviceSet::KEYBOARD | DeviceSet::VGA;
    assert_eq!(devices(set).next_deadline(), None);
    assert!(devices(set | DeviceSet::PIT).next_deadline().is_some());
}

#[test]
fn input_for_absent_devices_is_swallowed() {
    let mut devices = devices(DeviceSet::PIC);
    for _ in 0..100 {
        assert!(devices.key(0x1e) && devices.serial_input(b'a'));
    }
}

#[test]
fn writes_have_the_effects_they_ought_to() {
    for (set, writes, effect) in [
        (
            DeviceSet::UART,
            &[(0x3f8, b'x')][..],
            Effect::Transmit(b'x'),
        ),
        (DeviceSet::empty(), &[(0x605, 0x20)], Effect::PowerOff),
        (DeviceSet::empty(), &[(0x64, 0xfe)], Effect::Reset),
        (DeviceSet::KEYBOARD, &[(0x64, 0xfe)], Effect::Reset),
        (
            DeviceSet::KEYBOARD,
            &[(0x64, 0xd1), (0x60, 0xde)],
            Effect::Reset,
        ),
        (DeviceSet::empty(), &[(0x92, 0x01)], Effect::Reset),
        (DeviceSet::empty(), &[(0xcf9, 0x06)], Effect::Reset),
        (
            DeviceSet::PIT,
            &[(0x43, 0x34), (0x40, 0), (0x40, 1)],
            Effect::Timer,
        ),
        (DeviceSet::PIT, &[(0x42, 1)], Effect::None),
        (DeviceSet::RTC, &[(0x70, 0x40), (0x71, 1)], Effect::None),
        (DeviceSet::RTC, &[(0x70, 0x0b), (0x71, 0x42)], Effect::Timer),
    ] {
        let mut devices = devices(set);
        let effects = writes
            .iter()
            .map(|(port, value)| devices.write(*port, *value, start));
        assert_eq!(effects.last(), Some(Some(effect)), "{writes:x?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Read(u16),
    Write(u16, u8),
    Advance,
    Wait(u64),
    Sleep,
    Key(u8),
    Serial(u8),
    Acknowledge,
}

fn step() -> impl Strategy<Value = Step> {
    let all = devices(DeviceSet::all());
    let ports: Vec<u16> = (0..=u16::MAX).filter(|port| all.owns(*port)).collect();
    let port = prop::sample::select(ports);
    // Bytes with a meaning: control words, commands, and the ends of the range.
    let value = prop_oneof![
        any::<u8>(),
        prop::sample::select(vec![0, 1, 0x11, 0x34, 0xff])
    ];
    let wait = prop_oneof![0..2000u64, 0..2 * SECOND, any::<u64>()];
    prop_oneof![
        4 => port.clone().prop_map(Step::Read),
        6 => (port, value).prop_map(|(port, value)| Step::Write(port, value)),
        1 => Just(Step::Advance),
        1 => wait.prop_map(Step::Wait),
        1 => Just(Step::Sleep),
        1 => any::<u8>().prop_map(Step::Key),
        1 => any::<u8>().prop_map(Step::Serial),
        1 => Just(Step::Acknowledge),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// No history makes a device panic or hang, and these hold after each step: a deadline is
    /// never in the past, nor is one without a device that has timers; what is pending can be
    /// acknowledged.
    #[test]
    fn no_sequence_of_accesses_breaks_the_devices(
        set in any::<u16>().prop_map(DeviceSet::from_bits_truncate),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut devices = devices(set);
        let mut now = GuestTime(0);
        for step in steps {
            let before = devices.next_deadline().unwrap_or(GuestTime::MAX);
            match step {
                Step::Read(port) => {
                    prop_assert_eq!(devices.read(port, || now).is_some(), devices.owns(port));
                    let after = devices.next_deadline().unwrap_or(GuestTime::MAX);
                    prop_assert!(after >= before, "a read brought the deadline closer");
                }
                Step::Write(port, value) => {
                    let effect = devices.write(port, value, || now);
                    prop_assert_eq!(effect.is_some(), devices.owns(port));
                    let after = devices.next_deadline().unwrap_or(GuestTime::MAX);
                    prop_assert_eq!(after != before, effect == Some(Effect::Timer));
                }
                Step::Advance => {}
                Step::Wait(ns) => now = now.after(ns),
                Step::Sleep => now = devices.next_deadline().map_or(now, |due| due.max(now)),
                Step::Key(code) => { devices.key(code); }
                Step::Serial(byte) => { devices.serial_input(byte); }
                Step::Acknowledge => { devices.acknowledge(); }
            }
            devices.advance(now);
            if let Some(deadline) = devices.next_deadline() {
                prop_assert!(deadline > now);
                prop_assert!(set.intersects(DeviceSet::PIT | DeviceSet::RTC));
            }
            if !set.contains(DeviceSet::PIC) {
                prop_assert!(!devices.interrupt_pending(), "masked for good");
            }
        }
    }
}

/// The timer at 1 kHz on vector 20h, and a guest that ends each interrupt that it takes.
fn ticking(catches_up: bool) -> Devices {
    let mut devices = Devices::new(DeviceSet::all(), 1 << 20, UnixTime(0)).catching_up(catches_up);
    for (port, value) in [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 1),
        (0x21, 0xfe),
        (0x43, 0x34),
        (0x40, 0xa9),
        (0x40, 0x04),
    ] {
        let _ = devices.write(port, value, || GuestTime(0));
    }
    devices
}

/// Takes and ends every interrupt that is pending; how many there were.
fn take_all(devices: &mut Devices, now: GuestTime) -> u64 {
    let mut taken = 0;
    while devices.interrupt_pending() {
        assert_eq!(devices.acknowledge(), 0x20);
        let _ = devices.write(0x20, 0x20, || now);
        taken += 1;
    }
    taken
}

proptest! {
    /// However the turns of a guest fall, it gets every tick of its timer once.
    #[test]
    fn late_ticks_are_caught_up(gaps in prop::collection::vec(1u64..200_000_000, 1..40)) {
        let mut devices = ticking(true);
        let (mut now, mut taken) = (GuestTime(0), 0);
        for gap in gaps {
            now = GuestTime(now.0 + gap);
            devices.advance(now);
            taken += take_all(&mut devices, now);
        }
        prop_assert_eq!(taken, devices.pit.edges());
    }

    #[test]
    fn dropped_ticks_are_one_for_each_turn(gaps in prop::collection::vec(1_100_000u64..200_000_000, 1..40)) {
        let mut devices = ticking(false);
        let mut now = GuestTime(0);
        for gap in gaps {
            now = GuestTime(now.0 + gap);
            devices.advance(now);
            prop_assert_eq!(take_all(&mut devices, now), 1);
        }
    }
}

#[test]
fn a_new_rate_and_a_masked_line_leave_no_late_ticks() {
    let second = GuestTime(1_000_000_000);
    let mut devices = ticking(true);
    devices.advance(second);
    let _ = devices.write(0x40, 0xa9, || second);
    assert_eq!(take_all(&mut devices, second), 1);
    let mut devices = ticking(true);
    let _ = devices.write(0x21, 0xff, || second);
    devices.advance(second);
    let _ = devices.write(0x21, 0xfe, || second);
    assert_eq!(take_all(&mut devices, second), 1);
}

#[test]
fn the_power_button_reaches_a_guest_that_listens() {
    let now = GuestTime(0);
    let mut devices = Devices::new(DeviceSet::all(), 1 << 20, UnixTime(0));
    assert!(!devices.press_power_button());
    let _ = devices.write(0x601, 1, || now);
    let _ = devices.write(0x603, 1, || now);
    for (port, value) in [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 1),
        (0x21, 0xfb),
        (0xa0, 0x11),
        (0xa1, 0x28),
        (0xa1, 2),
        (0xa1, 1),
        (0xa1, 0xfd),
    ] {
        let _ = devices.write(port, value, || now);
    }
    assert!(devices.press_power_button());
    assert_eq!(devices.acknowledge(), 0x29);
    for (controller, is_heard) in [
        (DeviceSet::LAPIC | DeviceSet::IOAPIC, true),
        (DeviceSet::LAPIC, false),
    ] {
        let mut devices = Devices::new(controller, 1 << 20, UnixTime(0));
        let _ = devices.write(0x603, 1, || now);
        assert_eq!(devices.press_power_button(), is_heard, "{controller:?}");
    }
}
