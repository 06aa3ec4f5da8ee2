//! By the sections of the 82093AA's data sheet.

use super::*;
use proptest::prelude::*;

/// An I/O APIC and the CPU that it sends to.
struct Pair {
    io: IoApic,
    cpu: LocalApic,
}

const LEVEL: u32 = 1 << 15;
const REMOTE_IRR: u32 = 1 << 14;
const MASKED: u32 = 1 << 16;
const LINE: u8 = 9;

impl Pair {
    fn new() -> Pair {
        Pair {
            io: IoApic::new(),
            cpu: LocalApic::new(),
        }
    }

    fn read(&mut self, index: u32) -> u32 {
        self.io.write(0x00, index, &mut self.cpu);
        self.io.read(0x10)
    }

    fn write(&mut self, index: u32, value: u32) {
        self.io.write(0x00, index, &mut self.cpu);
        self.io.write(0x10, value, &mut self.cpu);
    }

    fn entry(&mut self, low: u32, high: u32) {
        self.write(0x11 + 2 * u32::from(LINE), high);
        self.write(0x10 + 2 * u32::from(LINE), low);
    }

    fn low(&mut self) -> u32 {
        self.read(0x10 + 2 * u32::from(LINE))
    }

    fn drive(&mut self, high: bool) {
        self.io.set_pin(LINE, high, &mut self.cpu);
    }

    fn take(&mut self) -> Option<u8> {
        self.cpu.pending().map(|_| self.cpu.acknowledge())
    }

    fn end(&mut self) {
        let now = crate::devices::GuestTime(0);
        if let crate::devices::lapic::Written::EndOfLevel(vector) = self.cpu.write(0xb0, 0, now) {
            self.io.end_of_interrupt(vector, &mut self.cpu);
        }
    }
}

/// 3.2.1 to 3.2.4.
#[test]
fn registers_begin_with_their_values_and_take_their_bits() {
    let mut pair = Pair::new();
    assert_eq!(pair.read(1), 0x0017_0011);
    pair.write(0, u32::MAX);
    assert_eq!((pair.read(0), pair.read(2)), (0x0f00_0000, 0x0f00_0000));
    pair.write(1, u32::MAX);
    assert_eq!(pair.read(1), 0x0017_0011, "the version is only read");
    for pin in 0..24 {
        assert_eq!(pair.read(0x10 + 2 * pin), MASKED);
        assert_eq!(pair.read(0x11 + 2 * pin), 0);
        pair.write(0x10 + 2 * pin, u32::MAX);
        pair.write(0x11 + 2 * pin, u32::MAX);
        assert_eq!(pair.read(0x10 + 2 * pin), 0x0001_afff);
        assert_eq!(pair.read(0x11 + 2 * pin), 0xff00_0000);
    }
    for beyond in [3, 0xf, 0x40, 0xff] {
        pair.write(beyond, u32::MAX);
        assert_eq!(pair.read(beyond), 0, "{beyond:#x}");
    }
}

/// 3.2.4, "Interrupt Mask" and "Trigger Mode".
#[test]
fn an_edge_is_sent_once_and_lost_behind_a_mask() {
    let mut pair = Pair::new();
    pair.drive(true);
    pair.entry(0x41, 0);
    assert_eq!(pair.take(), None, "it rose behind the mask");
    pair.drive(true);
    assert_eq!(pair.take(), None, "it has not fallen");
    pair.drive(false);
    pair.drive(true);
    assert_eq!(pair.take(), Some(0x41));
    pair.end();
    assert_eq!(pair.take(), None);
}

/// 3.2.4, "Remote IRR".
#[test]
fn a_level_asks_again_until_it_falls() {
    let mut pair = Pair::new();
    pair.entry(LEVEL | 0x41, 0);
    pair.drive(true);
    assert_eq!(pair.low(), LEVEL | REMOTE_IRR | 0x41);
    assert_eq!(pair.take(), Some(0x41));
    pair.end();
    assert_eq!(pair.take(), Some(0x41), "it is still asserted");
    pair.drive(false);
    pair.end();
    assert_eq!((pair.low(), pair.take()), (LEVEL | 0x41, None));
}

#[test]
fn a_level_that_was_masked_asks_once_it_is_not() {
    let mut pair = Pair::new();
    pair.entry(LEVEL | MASKED | 0x41, 0);
    pair.drive(true);
    assert_eq!(pair.take(), None);
    pair.entry(LEVEL | 0x41, 0);
    assert_eq!(pair.take(), Some(0x41));
}

/// What kernels do where there is no register to end a level by: mask, edge, and back.
#[test]
fn a_change_to_edge_forgets_the_remote_irr() {
    let mut pair = Pair::new();
    pair.entry(LEVEL | 0x41, 0);
    pair.drive(true);
    pair.entry(MASKED | 0x41, 0);
    assert_eq!(pair.low() & REMOTE_IRR, 0);
}

/// 3.2.4, "Destination Mode" and "Delivery Mode".
#[test]
fn a_vector_goes_to_those_that_are_meant() {
    // Low half, destination, and whether it arrives.
    let table = [
        (0x41, 0, true),
        (0x41, 0xff, true),
        (0x41, 3, false),
        (0x141, 0, true),
        (0x800 | 0x41, 1, true),
        (0x800 | 0x41, 2, false),
        (0x200, 0, false),
        (0x441, 0, false),
        (0x741, 0, false),
    ];
    for (low, destination, arrives) in table {
        let mut pair = Pair::new();
        let now = crate::devices::GuestTime(0);
        let _ = pair.cpu.write(0xd0, 1 << 24, now);
        pair.entry(low, destination << 24);
        pair.drive(true);
        assert_eq!(pair.take().is_some(), arrives, "{low:#x} {destination}");
    }
}

/// 3.2.4, delivery mode 111: the vector is the 8259A's.
#[test]
fn an_open_pin_may_pass_the_8259() {
    let mut pair = Pair::new();
    assert!(!pair.io.passes_external(LINE));
    pair.entry(0x700, 0);
    assert!(pair.io.passes_external(LINE));
    pair.entry(0x700 | MASKED, 0);
    assert!(!pair.io.passes_external(LINE));
    assert!(!pair.io.passes_external(200) && pair.io.vector(200).is_none());
}

proptest! {
    /// A level-triggered pin never has two interrupts under way, whatever is written.
    #[test]
    fn whatever_is_written_one_level_is_one_interrupt(
        steps in prop::collection::vec((0u8..5, any::<u32>(), any::<u32>(), any::<u8>()), 0..200),
    ) {
        let mut pair = Pair::new();
        for (kind, offset, value, pin) in steps {
            match kind {
                0 => pair.io.write(offset, value, &mut pair.cpu),
                1 => pair.write(offset % 0x48, value),
                2 => pair.io.set_pin(pin % 32, value & 1 != 0, &mut pair.cpu),
                3 => { pair.take(); }
                _ => pair.end(),
            }
            pair.io.read(offset);
            for pin in 0..u32::from(PINS) {
                let low = pair.read(0x10 + 2 * pin);
                prop_assert!(low & REMOTE_IRR == 0 || low & LEVEL != 0);
            }
        }
    }
}
