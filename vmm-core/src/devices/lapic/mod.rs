//! The local APIC of a VM's one CPU, in xAPIC mode: registers of 32 bits in a page of memory (APM
//! chapter 16).
//!
//! It takes vectors from the I/O APIC, from its timer, from its LINT0 pin and from the CPU itself,
//! and offers the CPU the highest that its priorities let through. The page stays where it is after
//! a reset. SMI, NMI, INIT and start-up messages reach nobody: the only CPU that they could be for is
//! the one that sends them.

mod lvt;
#[cfg(test)]
mod tests;
mod timer;
mod vectors;

pub use lvt::Delivery;

use super::GuestTime;
use lvt::{ENTRIES, Entry, MASKED};
use timer::{Mode, Timer};
use vectors::Vectors;

/// Where its page is in guest-physical memory.
pub const BASE: u64 = 0xfee0_0000;

/// Version 14h, and the last local vector.
const VERSION: u32 = 0x14 | (ENTRIES as u32 - 1) << 16;

/// Bits of the APIC Base Address MSR (APM 16.3.1).
mod base {
    pub const BOOT_CPU: u64 = 1 << 8;
    pub const ENABLED: u64 = 1 << 11;
}

/// Bits of the error status register (APM 16.4.6).
mod error {
    pub const SEND_ACCEPT: u32 = 1 << 2;
    pub const SENT_ILLEGAL_VECTOR: u32 = 1 << 5;
    pub const RECEIVED_ILLEGAL_VECTOR: u32 = 1 << 6;
    pub const ILLEGAL_REGISTER: u32 = 1 << 7;
}

/// SVR: the APIC is enabled by software.
const SOFTWARE_ENABLED: u32 = 1 << 8;
/// The lowest vector that is an interrupt's.
const FIRST_VECTOR: u8 = 16;
/// Every APIC, by physical or flat logical destination.
const EVERYONE: u8 = 0xff;

/// What a write asks of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Written {
    /// Nothing.
    Nothing,
    /// The end of a level-triggered interrupt, for the I/O APIC to hear.
    EndOfLevel(u8),
}

/// The local APIC.
#[derive(Clone, Debug)]
pub struct LocalApic {
    is_enabled: bool,
    id: u8,
    task_priority: u8,
    logical: u8,
    /// The destination format's model, 0 or Fh.
    format: u8,
    spurious: u32,
    requested: Vectors,
    in_service: Vectors,
    level: Vectors,
    /// Errors as software read them last, and those that have come since.
    errors: u32,
    new_errors: u32,
    command: u32,
    command_destination: u32,
    table: [u32; ENTRIES],
    timer: Timer,
    lint0: bool,
}

impl Default for LocalApic {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalApic {
    /// As a BIOS leaves it: on, the 8259A through LINT0, NMI through LINT1, all else masked.
    pub const fn new() -> Self {
        const EXTERNAL: u32 = 7 << 8;
        const NMI: u32 = 4 << 8;
        Self {
            is_enabled: true,
            id: 0,
            task_priority: 0,
            logical: 0,
            format: 0xf,
            spurious: SOFTWARE_ENABLED | 0xff,
            requested: Vectors::NONE,
            in_service: Vectors::NONE,
            level: Vectors::NONE,
            errors: 0,
            new_errors: 0,
            command: 0,
            command_destination: 0,
            table: [MASKED, MASKED, MASKED, EXTERNAL, NMI, MASKED],
            timer: Timer::new(),
            lint0: false,
        }
    }

    /// Whether it answers at [`BASE`].
    pub const fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    const fn is_software_enabled(&self) -> bool {
        self.is_enabled && self.spurious & SOFTWARE_ENABLED != 0
    }

    /// The APIC Base Address MSR.
    pub const fn base_register(&self) -> u64 {
        let enabled = if self.is_enabled { base::ENABLED } else { 0 };
        BASE | base::BOOT_CPU | enabled
    }

    /// Writes that MSR, which switches the APIC on and off. `None`: the page cannot be moved, and
    /// there is no x2APIC mode.
    pub fn write_base_register(&mut self, value: u64) -> Option<()> {
        let before = self.base_register();
        if (value ^ before) & !base::ENABLED != 0 {
            return None;
        }
        let is_enabled = value & base::ENABLED != 0;
        if self.is_enabled && !is_enabled {
            // Off and on again, it is as after a reset (APM 16.3.1).
            let lint0 = self.lint0;
            *self = Self {
                spurious: 0xff,
                table: [MASKED; ENTRIES],
                is_enabled: false,
                lint0,
                ..Self::new()
            };
        }
        self.is_enabled = is_enabled;
        Some(())
    }

    /// The TSC-deadline MSR: what the timer waits for, or 0.
    pub const fn deadline(&self) -> u64 {
        self.timer.deadline()
    }

    /// Writes that MSR; the guest's TSC will reach `value` at `due`.
    pub fn write_deadline(&mut self, value: u64, due: GuestTime) {
        self.timer.set_deadline(value, due);
    }

    /// Reads the register at `offset` of the page, a multiple of 16.
    pub fn read(&mut self, offset: u32, now: GuestTime) -> u32 {
        let index = offset >> 4 & 7;
        match offset {
            0x020 => u32::from(self.id) << 24,
            0x030 => VERSION,
            0x080 => self.task_priority.into(),
            0x090 => self.arbitration_priority().into(),
            0x0a0 => self.processor_priority().into(),
            // The end of interrupt is only written, and no other CPU can be read.
            0x0b0 | 0x0c0 => 0,
            0x0d0 => u32::from(self.logical) << 24,
            0x0e0 => u32::from(self.format) << 28 | 0x0fff_ffff,
            0x0f0 => self.spurious,
            0x100..=0x170 => self.in_service.word(index),
            0x180..=0x1f0 => self.level.word(index),
            0x200..=0x270 => self.requested.word(index),
            0x280 => self.errors,
            0x300 => self.command,
            0x310 => self.command_destination,
            0x380 => self.timer.initial(),
            0x390 => self.timer.current(now),
            0x3e0 => self.timer.divide(),
            _ => match Entry::at(offset) {
                Some(entry) => self.table[entry as usize],
                None => {
                    self.note(error::ILLEGAL_REGISTER);
                    0
                }
            },
        }
    }

    /// Writes the register at `offset` of the page, a multiple of 16.
    pub fn write(&mut self, offset: u32, value: u32, now: GuestTime) -> Written {
        match offset {
            0x020 => self.id = (value >> 24) as u8,
            0x080 => self.task_priority = value as u8,
            0x0b0 => return self.end_of_interrupt(),
            0x0d0 => self.logical = (value >> 24) as u8,
            0x0e0 => self.format = (value >> 28) as u8,
            0x0f0 => self.write_spurious(value),
            // A write brings the register up to date; what is written means nothing.
            0x280 => self.errors = core::mem::take(&mut self.new_errors),
            0x300 => self.send(value),
            0x310 => self.command_destination = value & 0xff00_0000,
            0x380 => self.timer.set_initial(value, now),
            0x3e0 => self.timer.set_divide(value, now),
            // Registers that are only read.
            0x030 | 0x090 | 0x0a0 | 0x0c0 | 0x100..=0x270 | 0x390 => {}
            _ => match Entry::at(offset) {
                Some(entry) => self.write_entry(entry, value),
                None => self.note(error::ILLEGAL_REGISTER),
            },
        }
        Written::Nothing
    }

    fn write_entry(&mut self, entry: Entry, value: u32) {
        let mut value = value & entry.writable();
        if !self.is_software_enabled() {
            value |= MASKED;
        }
        self.table[entry as usize] = value;
        if entry == Entry::Timer {
            self.timer.set_mode(Mode::of(value));
        }
    }

    /// SVR. Disabled by software, every local vector is masked and stays so (APM 16.4.7).
    fn write_spurious(&mut self, value: u32) {
        self.spurious = value & 0x3ff;
        if !self.is_software_enabled() {
            self.table = self.table.map(|entry| entry | MASKED);
        }
    }

    /// Sends what the command register says, at once: its delivery is never pending (APM 16.5).
    fn send(&mut self, value: u32) {
        const IDLE: u32 = 0x000c_cfff & !(1 << 12);
        self.command = value & IDLE;
        let vector = value as u8;
        let is_for_me = match value >> 18 & 3 {
            0 => {
                let destination = (self.command_destination >> 24) as u8;
                self.is_meant(destination, value & 1 << 11 != 0)
            }
            1 | 2 => true,
            _ => return,
        };
        if !matches!(
            Delivery::of(value),
            Delivery::Fixed | Delivery::LowestPriority
        ) {
            return;
        }
        if vector < FIRST_VECTOR {
            self.note(error::SENT_ILLEGAL_VECTOR);
        } else if is_for_me {
            self.accept(vector, false);
        } else {
            self.note(error::SEND_ACCEPT);
        }
    }

    /// Whether a message to `destination` is for this APIC (APM 16.6.2).
    pub const fn is_meant(&self, destination: u8, is_logical: bool) -> bool {
        if destination == EVERYONE {
            true
        } else if !is_logical {
            destination == self.id
        } else if self.format == 0xf {
            destination & self.logical != 0
        } else {
            destination >> 4 == self.logical >> 4 && destination & self.logical & 0xf != 0
        }
    }

    /// A vector comes. True if it was taken: a second one of a vector that waits is the same.
    pub fn accept(&mut self, vector: u8, is_level: bool) -> bool {
        if !self.is_software_enabled() {
            return false;
        }
        if vector < FIRST_VECTOR {
            self.note(error::RECEIVED_ILLEGAL_VECTOR);
            return false;
        }
        self.requested.insert(vector);
        if is_level {
            self.level.insert(vector);
        } else {
            self.level.remove(vector);
        }
        true
    }

    /// Whether an interrupt of `vector` waits to be taken.
    pub const fn is_requested(&self, vector: u8) -> bool {
        self.requested.contains(vector)
    }

    /// Whether an interrupt of `vector` waits to be taken or is not over yet.
    pub const fn is_busy_with(&self, vector: u8) -> bool {
        self.requested.contains(vector) || self.in_service.contains(vector)
    }

    /// Whether the CPU has taken an interrupt of `vector` and not ended it.
    pub const fn is_serving(&self, vector: u8) -> bool {
        self.in_service.contains(vector)
    }

    /// An error happened; the local vector for that may tell of it.
    fn note(&mut self, bit: u32) {
        self.new_errors |= bit;
        let entry = self.table[Entry::Error as usize];
        // A bad vector here would be one error more, without end.
        if entry & MASKED == 0 && entry as u8 >= FIRST_VECTOR {
            self.accept(entry as u8, false);
        }
    }

    /// Drives the LINT0 pin, to which a PC has the 8259A wired.
    pub fn set_lint0(&mut self, high: bool) {
        let rises = high && !self.lint0;
        self.lint0 = high;
        let entry = self.table[Entry::Lint0 as usize];
        if rises && entry & MASKED == 0 && Delivery::of(entry) == Delivery::Fixed {
            self.accept(entry as u8, false);
        }
    }

    /// Whether the 8259A's interrupts reach the CPU by LINT0, or past an APIC that is off.
    pub const fn passes_external(&self) -> bool {
        let entry = self.table[Entry::Lint0 as usize];
        !self.is_enabled || entry & MASKED == 0 && matches!(Delivery::of(entry), Delivery::External)
    }

    /// When the timer has something to do.
    pub fn due(&self) -> GuestTime {
        self.timer.due()
    }

    /// Moves the timer on to `now`.
    pub fn advance(&mut self, now: GuestTime) {
        let entry = self.table[Entry::Timer as usize];
        if self.timer.advance(now) && entry & MASKED == 0 {
            self.accept(entry as u8, false);
        }
    }

    /// The task priority as CR8 has it: the upper half (APM 16.6.4).
    pub const fn cr8(&self) -> u8 {
        self.task_priority >> 4
    }

    /// The guest has written CR8.
    pub fn set_cr8(&mut self, value: u8) {
        if value != self.cr8() {
            self.task_priority = value << 4;
        }
    }

    /// PPR: the higher of the task's priority and that of what is being served (APM 16.6.4).
    fn processor_priority(&self) -> u8 {
        let serving = self.in_service.highest().unwrap_or(0);
        if self.task_priority >> 4 >= serving >> 4 {
            self.task_priority
        } else {
            serving & 0xf0
        }
    }

    /// APR: what it would bid for an interrupt of lowest priority (APM 16.6.2).
    fn arbitration_priority(&self) -> u8 {
        let class = |vector: Option<u8>| vector.unwrap_or(0) & 0xf0;
        let (asked, serving) = (
            class(self.requested.highest()),
            class(self.in_service.highest()),
        );
        let task = self.task_priority & 0xf0;
        if task >= asked && task > serving {
            self.task_priority
        } else {
            asked.max(task & serving)
        }
    }

    /// The highest vector that waits and is above what is being served, whatever the task's
    /// priority.
    pub fn highest_waiting(&self) -> Option<u8> {
        let serving = self.in_service.highest().unwrap_or(0);
        let vector = self.requested.highest()?;
        (self.is_software_enabled() && vector >> 4 > serving >> 4).then_some(vector)
    }

    /// The vector that the CPU is to take now.
    pub fn pending(&self) -> Option<u8> {
        self.highest_waiting()
            .filter(|vector| vector >> 4 > self.task_priority >> 4)
    }

    /// The CPU takes the interrupt: its vector, or the spurious one if there is none any more (APM
    /// 16.4.7).
    pub fn acknowledge(&mut self) -> u8 {
        let Some(vector) = self.pending() else {
            return self.spurious as u8;
        };
        self.requested.remove(vector);
        self.in_service.insert(vector);
        vector
    }

    fn end_of_interrupt(&mut self) -> Written {
        let Some(vector) = self.in_service.highest() else {
            return Written::Nothing;
        };
        self.in_service.remove(vector);
        if self.level.contains(vector) {
            Written::EndOfLevel(vector)
        } else {
            Written::Nothing
        }
    }
}
