//! The interrupt controllers of the PC: two 8259A, the second wired to input 2 of the first,
//! and the chipset's edge/level registers (ELCR).
//!
//! Devices drive lines 0-15 with [`Pic::set_line`]; the CPU side asks [`Pic::interrupt_pending`]
//! (the INTR pin) and takes a vector with [`Pic::acknowledge`] (the INTA cycles). Section names
//! are those of Intel's 8259A data sheet. The 8080 mode (ICW4 bit 0 clear) and buffered mode
//! have no meaning behind an x86 and are accepted without effect.

mod chip;
#[cfg(test)]
mod tests;

use chip::{Chip, SPURIOUS};

/// The input of the first 8259A that the second one drives.
const CASCADE: u8 = 2;
/// What the CPU reads as a vector when no controller drives the bus.
const FLOATING: u8 = 0xff;
/// Lines whose trigger mode the ELCR cannot change: timer, keyboard, cascade, RTC, FPU.
const ELCR_FIXED: [u8; 2] = [0b0000_0111, 0b0010_0001];

/// The pair of 8259A as a PC wires it: lines 0-7 on ports 20h/21h, 8-15 on A0h/A1h.
#[derive(Clone, Debug)]
pub struct Pic {
    master: Chip,
    slave: Chip,
    /// The INTR pin; recomputed after every change, because it is asked far more often.
    intr: bool,
    /// Lines of which an interrupt was taken since [`Pic::take_accepted`] last told of it.
    accepted: u16,
}

impl Default for Pic {
    fn default() -> Self {
        Self::new()
    }
}

impl Pic {
    /// As a BIOS leaves the pair: vectors 08h and 70h, every line masked.
    pub const fn new() -> Self {
        Self {
            master: Chip::new(0x08, 1 << CASCADE),
            slave: Chip::new(0x70, CASCADE),
            intr: false,
            accepted: 0,
        }
    }

    /// Whether `port` is 20h, 21h, A0h or A1h.
    #[inline]
    pub const fn owns(port: u16) -> bool {
        port & !0x81 == 0x20
    }

    /// Reads one of these ports.
    #[inline]
    pub fn read(&mut self, port: u16) -> u8 {
        if self.is_polled(port) {
            self.poll(port)
        } else {
            self.look(port)
        }
    }

    /// Whether the next read of one of these ports takes an interrupt.
    #[inline(always)]
    pub const fn is_polled(&self, port: u16) -> bool {
        self.at(port).poll
    }

    /// The register that one of these ports shows.
    #[inline(always)]
    pub const fn look(&self, port: u16) -> u8 {
        let chip = self.at(port);
        if port & 1 != 0 {
            chip.imr
        } else if chip.read_isr {
            chip.isr
        } else {
            chip.irr
        }
    }

    /// The chip that one of these ports belongs to.
    #[inline(always)]
    const fn at(&self, port: u16) -> &Chip {
        if port & 0x80 == 0 {
            &self.master
        } else {
            &self.slave
        }
    }

    /// Writes one of these ports.
    #[inline]
    pub fn write(&mut self, port: u16, value: u8) {
        if port & 1 != 0 {
            self.write_odd(port, value);
        } else {
            self.write_even(port, value);
        }
    }

    /// Writes port 21h or A1h: OCW1, the mask, or ICW2 to ICW4.
    #[inline(always)]
    pub fn write_odd(&mut self, port: u16, value: u8) {
        if port & 0x80 == 0 {
            self.master.write_odd(value);
            self.settle(false);
        } else {
            self.slave.write_odd(value);
            self.settle(true);
        }
    }

    /// Writes port 20h or A0h: OCW2, the end of an interrupt, or OCW3 or ICW1.
    #[inline]
    pub fn write_even(&mut self, port: u16, value: u8) {
        if port & 0x80 == 0 {
            self.master.write_even(value);
            self.settle(false);
        } else {
            self.slave.write_even(value);
            self.settle(true);
        }
    }

    /// Reads the ELCR, port 4D0h for lines 0-7 and 4D1h for 8-15: a bit for each line that is
    /// level-triggered.
    pub const fn read_elcr(&self, port: u16) -> u8 {
        if port & 1 == 0 {
            self.master.elcr
        } else {
            self.slave.elcr
        }
    }

    /// Writes the ELCR.
    pub fn write_elcr(&mut self, port: u16, value: u8) {
        if port & 1 == 0 {
            self.master.set_elcr(value & !ELCR_FIXED[0]);
        } else {
            self.slave.set_elcr(value & !ELCR_FIXED[1]);
        }
        self.settle(true);
    }

    /// Drives interrupt line 0-15; line 2 is the cascade and stays as it is.
    #[inline]
    pub fn set_line(&mut self, line: u8, high: bool) {
        if line < 8 {
            if line != CASCADE && (self.master.lines >> line & 1 != 0) != high {
                self.master.set_line(line, high);
                self.settle(false);
            }
        } else if line < 16 && (self.slave.lines >> (line - 8) & 1 != 0) != high {
            self.slave.set_line(line - 8, high);
            self.settle(true);
        }
    }

    /// Drops the line and raises it again: a new request even if it was high.
    pub fn pulse(&mut self, line: u8) {
        self.set_line(line, false);
        self.set_line(line, true);
    }

    /// Whether an interrupt of `line` (0-15) waits for the guest to take it.
    pub const fn is_requested(&self, line: u8) -> bool {
        let (chip, bit) = self.place(line);
        chip.irr & bit != 0
    }

    /// Whether the guest has taken an interrupt of `line` (0-15) and not ended it yet.
    pub const fn is_in_service(&self, line: u8) -> bool {
        let (chip, bit) = self.place(line);
        chip.isr & bit != 0
    }

    /// Whether the guest has `line` (0-15) masked.
    pub const fn is_masked(&self, line: u8) -> bool {
        let (chip, bit) = self.place(line);
        chip.imr & bit != 0
    }

    /// The chip and its bit that `line` (0-15) is.
    const fn place(&self, line: u8) -> (&Chip, u8) {
        if line < 8 {
            (&self.master, 1 << line)
        } else {
            (&self.slave, 1 << (line & 7))
        }
    }

    /// Whether the guest has taken an interrupt of `line` (0-15) since this was last asked.
    pub const fn take_accepted(&mut self, line: u8) -> bool {
        let bit = 1 << (line & 15);
        let accepted = self.accepted & bit != 0;
        self.accepted &= !bit;
        accepted
    }

    /// The INTR pin.
    #[inline]
    pub const fn interrupt_pending(&self) -> bool {
        self.intr
    }

    /// The INTA cycles: takes the highest request into service and returns its vector. Without a
    /// request it is the spurious interrupt, level 7.
    pub fn acknowledge(&mut self) -> u8 {
        let vector = match self.master.accept() {
            None => self.master.base | SPURIOUS,
            Some(level) if !self.master.has_slave(level) => {
                self.accepted |= 1 << level;
                self.master.base | level
            }
            Some(CASCADE) if self.slave.icw3 & 7 == CASCADE => {
                // The slave's INT drops with INTA, so that a further request of its is an edge.
                self.master.set_line(CASCADE, false);
                self.slave.base | self.accept_from_slave().unwrap_or(SPURIOUS)
            }
            Some(_) => FLOATING,
        };
        self.settle(true);
        vector
    }

    fn accept_from_slave(&mut self) -> Option<u8> {
        let level = self.slave.accept()?;
        self.accepted |= 1 << (8 + level);
        Some(level)
    }

    /// A read after OCW3's poll command ("Poll Command"): bit 7 tells whether there was a
    /// request, bits 2-0 its level.
    #[cold]
    fn poll(&mut self, port: u16) -> u8 {
        let level = if port & 0x80 == 0 {
            self.master.poll = false;
            let level = self.master.accept();
            self.accepted |= level.map_or(0, |level| 1 << level);
            level
        } else {
            self.slave.poll = false;
            // As with INTA, INT drops before it can rise for the next request.
            self.master.set_line(CASCADE, false);
            self.accept_from_slave()
        };
        self.settle(true);
        level.map_or(SPURIOUS, |level| 0x80 | level)
    }

    /// Brings the cascade line (if `slave` may have changed) and the INTR pin up to date.
    #[inline(always)]
    fn settle(&mut self, slave: bool) {
        if slave {
            let int = self.slave.request().is_some();
            self.master.set_line(CASCADE, int);
        }
        self.intr = self.master.request().is_some();
    }
}
