//! The I/O APIC: 24 pins, each with an entry that says which vector it sends to a local APIC.
//!
//! Intel's data sheet of the 82093AA. An index register and a data register in a page of memory lead
//! to all others. Pins are driven as asserted or not, so that an entry's polarity only reads back.

#[cfg(test)]
mod tests;

use super::lapic::{Delivery, LocalApic};

/// Where its page is in guest-physical memory.
pub const BASE: u64 = 0xfec0_0000;
/// How many pins it has.
pub const PINS: u8 = 24;

/// Version 11h, and the last entry.
const VERSION: u32 = 0x11 | (PINS as u32 - 1) << 16;
/// Its ID until the guest gives it another: no CPU's.
pub const FIRST_ID: u8 = 1;

/// Bits of a redirection entry (3.2.4).
mod entry {
    pub const REMOTE_IRR: u64 = 1 << 14;
    pub const LEVEL: u64 = 1 << 15;
    pub const MASKED: u64 = 1 << 16;
    pub const LOGICAL: u64 = 1 << 11;
    /// The vector, modes, polarity, trigger, mask and destination.
    pub const WRITABLE: u64 = 0xff00_0000_0001_afff;
}

/// The I/O APIC.
#[derive(Clone, Debug)]
pub struct IoApic {
    select: u8,
    id: u32,
    entries: [u64; PINS as usize],
    /// Pins that are asserted now.
    asserted: u32,
}

impl Default for IoApic {
    fn default() -> Self {
        Self::new()
    }
}

impl IoApic {
    /// As firmware leaves it: with an ID, and every pin masked.
    pub const fn new() -> Self {
        Self {
            select: 0,
            id: (FIRST_ID as u32) << 24,
            entries: [entry::MASKED; PINS as usize],
            asserted: 0,
        }
    }

    /// Reads the 32-bit register at `offset` of the page (3.1).
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            0x00 => self.select.into(),
            0x10 => self.read_selected(),
            _ => 0,
        }
    }

    fn read_selected(&self) -> u32 {
        match self.select {
            // The arbitration ID is loaded with the ID (3.2.3).
            0x00 | 0x02 => self.id,
            0x01 => VERSION,
            _ => match self.selected_entry() {
                Some((pin, shift)) => (self.entries[pin] >> shift) as u32,
                None => 0,
            },
        }
    }

    /// The entry that the index leads to, and which half of it.
    fn selected_entry(&self) -> Option<(usize, u32)> {
        let index = self.select.checked_sub(0x10)?;
        (index < 2 * PINS).then_some((usize::from(index >> 1), u32::from(index & 1) * 32))
    }

    /// Writes the 32-bit register at `offset` of the page. What that lets through goes to `cpu`.
    pub fn write(&mut self, offset: u32, value: u32, cpu: &mut LocalApic) {
        match (offset, self.select) {
            (0x00, _) => self.select = value as u8,
            (0x10, 0x00) => self.id = value & 0x0f00_0000,
            (0x10, _) => {
                if let Some((pin, shift)) = self.selected_entry() {
                    let before = self.entries[pin];
                    let half = 0xffff_ffff << shift & entry::WRITABLE;
                    let mut new = before & !half | u64::from(value) << shift & half;
                    if new & entry::LEVEL == 0 {
                        new &= !entry::REMOTE_IRR;
                    }
                    self.entries[pin] = new;
                    self.ask_by_level(pin, cpu);
                }
            }
            _ => {}
        }
    }

    /// Drives a pin. A pulse on a masked pin that is edge-triggered is lost (3.2.4, "Interrupt
    /// Mask").
    pub fn set_pin(&mut self, pin: u8, high: bool, cpu: &mut LocalApic) {
        let Some(entry) = self.entries.get(usize::from(pin)).copied() else {
            return;
        };
        let rises = high && self.asserted >> pin & 1 == 0;
        self.asserted = self.asserted & !(1 << pin) | u32::from(high) << pin;
        if entry & entry::LEVEL != 0 {
            self.ask_by_level(pin.into(), cpu);
        } else if rises && entry & entry::MASKED == 0 {
            send(entry, cpu);
        }
    }

    /// Sends a level-triggered pin's vector if it is asserted and no end is awaited.
    fn ask_by_level(&mut self, pin: usize, cpu: &mut LocalApic) {
        let entry = self.entries[pin];
        let waits = entry & (entry::MASKED | entry::REMOTE_IRR) != 0;
        let asks = entry & entry::LEVEL != 0 && self.asserted >> pin & 1 != 0;
        if asks && !waits && send(entry, cpu) {
            self.entries[pin] |= entry::REMOTE_IRR;
        }
    }

    /// The CPU has ended an interrupt of a level-triggered vector; whoever still asks, asks again.
    pub fn end_of_interrupt(&mut self, vector: u8, cpu: &mut LocalApic) {
        for pin in 0..self.entries.len() {
            let entry = self.entries[pin];
            if entry & entry::LEVEL != 0 && entry as u8 == vector {
                self.entries[pin] &= !entry::REMOTE_IRR;
                self.ask_by_level(pin, cpu);
            }
        }
    }

    /// Whether the 8259A's interrupts reach the CPU by `pin`.
    pub fn passes_external(&self, pin: u8) -> bool {
        self.open_entry(pin)
            .is_some_and(|entry| Delivery::of(entry as u32) == Delivery::External)
    }

    /// The vector that `pin` sends, if it is not masked.
    pub fn vector(&self, pin: u8) -> Option<u8> {
        self.open_entry(pin).map(|entry| entry as u8)
    }

    fn open_entry(&self, pin: u8) -> Option<u64> {
        let entry = *self.entries.get(usize::from(pin))?;
        (entry & entry::MASKED == 0).then_some(entry)
    }
}

/// Sends an entry's vector; true if the CPU took it.
fn send(entry: u64, cpu: &mut LocalApic) -> bool {
    let is_vector = matches!(
        Delivery::of(entry as u32),
        Delivery::Fixed | Delivery::LowestPriority
    );
    is_vector
        && cpu.is_meant((entry >> 56) as u8, entry & entry::LOGICAL != 0)
        && cpu.accept(entry as u8, entry & entry::LEVEL != 0)
}
