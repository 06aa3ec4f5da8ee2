//! An I/O APIC: pins to which devices are wired, and for each what it tells which CPU (Intel
//! 82093AA data sheet).

use crate::host::registers::Registers;

const SELECT: u32 = 0x00;
const WINDOW: u32 = 0x10;

const VERSION: u32 = 1;
const FIRST_ENTRY: u32 = 0x10;

const LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;

/// How a device says that it wants something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signal {
    /// By a low line instead of a high one.
    pub low: bool,
    /// As long as the line is so, instead of when it becomes so.
    pub level: bool,
}

/// An I/O APIC.
#[derive(Debug)]
pub struct IoApic<R> {
    registers: R,
    /// The number of its first pin, counted over all I/O APICs.
    first: u32,
}

impl<R: Registers> IoApic<R> {
    /// The I/O APIC behind `registers`, whose first pin has the number `first`.
    pub const fn new(registers: R, first: u32) -> Self {
        Self { registers, first }
    }

    /// The pin that has `number`, if it is one of this I/O APIC's.
    pub fn pin(&mut self, number: u32) -> Option<u32> {
        let pin = number.checked_sub(self.first)?;
        (pin <= self.last_pin()).then_some(pin)
    }

    /// Masks every pin.
    pub fn mask_all(&mut self) {
        for pin in 0..=self.last_pin() {
            self.set_mask(pin, true);
        }
    }

    /// Has `pin` tell the CPU `cpu` of an interrupt by `vector`, once it is not masked any more.
    pub fn route(&mut self, pin: u32, signal: Signal, vector: u8, cpu: u8) {
        let [low, high] = entry(pin);
        let polarity = if signal.low { LOW } else { 0 };
        let trigger = if signal.level { LEVEL } else { 0 };
        self.write(low, u32::from(vector) | polarity | trigger | MASKED);
        self.write(high, u32::from(cpu) << 24);
    }

    /// Keeps `pin` from interrupting, or lets it.
    pub fn set_mask(&mut self, pin: u32, masked: bool) {
        let [low, _] = entry(pin);
        let rest = self.read(low) & !MASKED;
        self.write(low, rest | if masked { MASKED } else { 0 });
    }

    fn last_pin(&mut self) -> u32 {
        self.read(VERSION) >> 16 & 0xFF
    }

    fn read(&mut self, index: u32) -> u32 {
        self.registers.write(SELECT, index);
        self.registers.read(WINDOW)
    }

    fn write(&mut self, index: u32, value: u32) {
        self.registers.write(SELECT, index);
        self.registers.write(WINDOW, value);
    }
}

/// The two halves of a pin's entry.
const fn entry(pin: u32) -> [u32; 2] {
    [FIRST_ENTRY + 2 * pin, FIRST_ENTRY + 2 * pin + 1]
}

/// An I/O APIC made of paper.
#[cfg(test)]
pub mod paper {
    use super::*;
    use std::vec::Vec;

    /// One with so many pins as it has entries, two words each.
    pub struct Chip {
        selected: u32,
        pub entries: Vec<u32>,
    }

    impl Chip {
        pub fn new(pins: usize) -> Self {
            Self {
                selected: 0,
                entries: std::vec![0; pins * 2],
            }
        }
    }

    impl Registers for Chip {
        fn read(&mut self, offset: u32) -> u32 {
            assert_eq!(offset, WINDOW);
            match self.selected {
                VERSION => (self.entries.len() as u32 / 2 - 1) << 16 | 0x11,
                index => self.entries[(index - FIRST_ENTRY) as usize],
            }
        }
        fn write(&mut self, offset: u32, value: u32) {
            match offset {
                SELECT => self.selected = value,
                _ => self.entries[(self.selected - FIRST_ENTRY) as usize] = value,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paper::Chip;

    #[test]
    fn masking_leaves_the_rest_of_an_entry_alone() {
        let mut chip = Chip::new(24);
        chip.entries.fill(0xA5A5);
        IoApic::new(&mut chip, 0).mask_all();
        let masked = chip.entries.iter().step_by(2).all(|low| *low == 0x1_A5A5);
        assert!(masked && chip.entries[1] == 0xA5A5, "{:x?}", chip.entries);
        IoApic::new(&mut chip, 0).set_mask(23, false);
        assert_eq!(chip.entries[46], 0xA5A5);
    }

    #[test]
    fn a_route_is_masked_until_it_is_wanted() {
        let mut chip = Chip::new(4);
        let signal = Signal {
            low: true,
            level: true,
        };
        IoApic::new(&mut chip, 0).route(2, signal, 0x2A, 7);
        assert_eq!(chip.entries[4..6], [0x1_A02A, 7 << 24]);
    }

    #[test]
    fn pins_are_counted_over_all_chips() {
        let mut second = IoApic::new(Chip::new(8), 24);
        let pins = [0, 23, 24, 31, 32].map(|number| second.pin(number));
        assert_eq!(pins, [None, None, Some(0), Some(7), None]);
    }
}
