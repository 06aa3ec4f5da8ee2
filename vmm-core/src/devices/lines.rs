//! The interrupt lines of a VM: which device drives which, where they lead, and what the CPU is
//! offered at their end.
//!
//! As in a PC, a line leads to the 8259A and to a pin of the I/O APIC, the timer's to pin 2. What
//! the 8259A want is on the local APIC's LINT0 and on pin 0 of the I/O APIC. A guest opens one of
//! those ways and masks the others.

use super::lapic::Written;
use super::{DeviceSet, Devices, GuestTime, MOST_LATE_TICKS};

/// The interrupt lines, by what drives them.
pub mod line {
    /// The 8254's counter 0.
    pub const PIT: u8 = 0;
    /// The keyboard.
    pub const KEYBOARD: u8 = 1;
    /// The second 8259A on the first: no device's.
    pub const CASCADE: u8 = 2;
    /// COM1.
    pub const UART: u8 = 4;
    /// The clock.
    pub const RTC: u8 = 8;
    /// ACPI's system control interrupt.
    pub const POWER: u8 = 9;
    /// The mouse.
    pub const MOUSE: u8 = 12;
}

/// The I/O APIC's pin of a line; the cascade has none.
pub const fn pin_of(line: u8) -> Option<u8> {
    match line {
        line::PIT => Some(2),
        line::CASCADE | 16.. => None,
        line => Some(line),
    }
}

/// The I/O APIC's pin that the 8259A drive.
pub const EXTERNAL_PIN: u8 = 0;

impl Devices {
    const fn has_lapic(&self) -> bool {
        self.set.contains(DeviceSet::LAPIC)
    }

    /// Drives interrupt line 0-15.
    #[inline]
    pub fn set_line(&mut self, line: u8, high: bool) {
        self.pic.set_line(line, high);
        if self.has_lapic() {
            if let Some(pin) = pin_of(line) {
                self.ioapic.set_pin(pin, high, &mut self.lapic);
            }
            self.pic_changed();
        }
    }

    // What a device wants, onto its line.

    #[inline]
    pub(super) fn follow_uart(&mut self) {
        let high = self.uart.irq();
        self.set_line(line::UART, high);
    }

    #[inline]
    pub(super) fn follow_keyboard(&mut self) {
        let (keyboard, mouse) = (self.keyboard.irq(), self.keyboard.mouse_irq());
        self.set_line(line::KEYBOARD, keyboard);
        self.set_line(line::MOUSE, mouse);
    }

    #[inline]
    pub(super) fn follow_rtc(&mut self) {
        let high = self.rtc.irq();
        self.set_line(line::RTC, high);
    }

    #[inline]
    pub(super) fn follow_pit(&mut self) {
        let high = self.pit.irq();
        self.set_line(line::PIT, high);
    }

    #[inline]
    pub(super) fn follow_power(&mut self) {
        let high = self.power.irq();
        self.set_line(line::POWER, high);
    }

    /// Drops the line and raises it again: a new request even if it was high.
    pub fn pulse(&mut self, line: u8) {
        self.set_line(line, false);
        self.set_line(line, true);
    }

    /// Carries on what the 8259A want.
    #[inline]
    pub(super) fn pic_changed(&mut self) {
        if self.has_lapic() {
            let high = self.pic.interrupt_pending();
            self.lapic.set_lint0(high);
            self.ioapic.set_pin(EXTERNAL_PIN, high, &mut self.lapic);
        }
    }

    /// Whether the CPU is to be interrupted, as far as the devices are concerned.
    #[inline]
    pub fn interrupt_pending(&self) -> bool {
        if self.has_lapic() {
            self.takes_from_pic() || self.lapic.pending().is_some()
        } else {
            self.pic.interrupt_pending()
        }
    }

    /// Whether the next interrupt is one of the 8259A, which no priority of an APIC holds back.
    fn takes_from_pic(&self) -> bool {
        let opens = || self.lapic.passes_external() || self.ioapic.passes_external(EXTERNAL_PIN);
        self.pic.interrupt_pending() && (!self.has_lapic() || opens())
    }

    /// The CPU's acknowledge cycles: the vector to deliver.
    pub fn acknowledge(&mut self) -> u8 {
        let vector = if !self.has_lapic() || self.takes_from_pic() {
            let vector = self.pic.acknowledge();
            self.pic_changed();
            vector
        } else {
            self.lapic.acknowledge()
        };
        if self.late_ticks > 0 && !self.tick_waits() {
            self.late_ticks -= 1;
            self.pulse(line::PIT);
        }
        vector
    }

    /// The class of a vector that only the guest's CR8 holds back.
    pub fn held_back_by_cr8(&self) -> Option<u8> {
        let vector = self.has_lapic().then(|| self.lapic.highest_waiting())??;
        self.lapic.pending().is_none().then_some(vector >> 4)
    }

    /// The task priority in the local APIC, as CR8 has it.
    pub const fn cr8(&self) -> u8 {
        self.lapic.cr8()
    }

    /// The guest may have written CR8 since.
    pub fn set_cr8(&mut self, value: u8) {
        if self.has_lapic() {
            self.lapic.set_cr8(value);
        }
    }

    /// The vector by which the I/O APIC tells of the timer's ticks, if it does.
    fn tick_vector(&self) -> Option<u8> {
        let pin = pin_of(line::PIT).filter(|_| self.has_lapic())?;
        self.ioapic.vector(pin)
    }

    /// Whether a tick of the timer waits for the guest to take it.
    fn tick_waits(&self) -> bool {
        match self.tick_vector() {
            Some(vector) => self.lapic.is_requested(vector),
            None => self.pic.is_requested(line::PIT),
        }
    }

    /// Raises the timer's line if its output has risen since the last time.
    #[inline]
    pub(super) fn carry_ticks(&mut self) -> bool {
        let edges = self.pit.take_edges();
        if edges == 0 {
            return false;
        }
        let is_late = self.tick_waits();
        self.pulse(line::PIT);
        let is_heard = self.tick_vector().is_some() || !self.pic.is_masked(line::PIT);
        self.late_ticks = if self.catches_up && is_heard {
            let missed = edges - 1 + u64::from(is_late);
            self.late_ticks.saturating_add(missed).min(MOST_LATE_TICKS)
        } else {
            0
        };
        true
    }

    /// A physical line came that is this VM's: forgets what became of it before, and raises it.
    pub fn raise_routed(&mut self, line: u8) {
        self.pic.take_accepted(line);
        self.pulse(line);
    }

    /// Whether the guest has taken and ended the interrupt of a physical line, or has forgotten it
    /// by setting up its controllers anew. A line that it has level-triggered asks until it was
    /// taken.
    pub fn is_done_with(&mut self, line: u8) -> bool {
        let vector = pin_of(line)
            .filter(|_| self.has_lapic())
            .and_then(|pin| self.ioapic.vector(pin));
        let is_served = vector.is_some_and(|vector| self.lapic.is_serving(vector));
        if self.pic.take_accepted(line) || is_served {
            self.set_line(line, false);
        }
        match vector {
            Some(vector) => !self.lapic.is_busy_with(vector),
            None => !self.pic.is_requested(line) && !self.pic.is_in_service(line),
        }
    }

    /// The APIC Base Address MSR, if there is a local APIC.
    pub fn apic_base(&self) -> Option<u64> {
        self.has_lapic().then(|| self.lapic.base_register())
    }

    /// Writes that MSR; `None`: the CPU refuses the value, or has no such MSR.
    pub fn write_apic_base(&mut self, value: u64) -> Option<()> {
        self.apic_base()?;
        self.lapic.write_base_register(value)?;
        self.timers_changed();
        Some(())
    }

    /// The TSC-deadline MSR, if there is a local APIC.
    pub fn tsc_deadline(&self) -> Option<u64> {
        self.has_lapic().then(|| self.lapic.deadline())
    }

    /// Writes that MSR: the guest's TSC reaches `value` at `due`. `None`: there is no such MSR.
    pub fn write_tsc_deadline(&mut self, value: u64, due: GuestTime) -> Option<()> {
        self.tsc_deadline()?;
        self.lapic.write_deadline(value, due);
        self.timers_changed();
        Some(())
    }

    /// Ends what the local APIC was told to end.
    pub(super) fn heed(&mut self, written: Written) {
        match written {
            Written::Nothing => {}
            Written::EndOfLevel(vector) => self.ioapic.end_of_interrupt(vector, &mut self.lapic),
        }
    }
}
