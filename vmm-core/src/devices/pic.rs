//! The interrupt controllers of the PC: two 8259A, the second wired to input 2 of the first,
//! and the chipset's edge/level registers (ELCR).
//!
//! Devices drive lines 0-15 with [`Pic::set_line`]; the CPU side asks [`Pic::interrupt_pending`]
//! (the INTR pin) and takes a vector with [`Pic::acknowledge`] (the INTA cycles). Section names
//! are those of Intel's 8259A data sheet. The 8080 mode (ICW4 bit 0 clear) and buffered mode
//! have no meaning behind an x86 and are accepted without effect.

#[cfg(test)]
mod tests;

/// The input of the first 8259A that the second one drives.
const CASCADE: u8 = 2;
/// The level a chip answers with when the request has gone ("Interrupt Sequence").
const SPURIOUS: u8 = 7;
/// What the CPU reads as a vector when no controller drives the bus.
const FLOATING: u8 = 0xff;
/// Lines whose trigger mode the ELCR cannot change: timer, keyboard, cascade, RTC, FPU.
const ELCR_FIXED: [u8; 2] = [0b0000_0111, 0b0010_0001];

/// What the next write to the odd port means ("Initialization Sequence").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    Icw2,
    Icw3,
    Icw4,
    /// Initialised: the odd port is the mask, OCW1.
    Ocw1,
}

/// One 8259A.
#[derive(Clone, Copy, Debug)]
struct Chip {
    /// Levels of the inputs IR0-IR7.
    lines: u8,
    /// Inputs that rose and were neither acknowledged nor withdrawn since.
    edges: u8,
    /// In-Service Register.
    isr: u8,
    /// Interrupt Mask Register.
    imr: u8,
    /// Level-triggered inputs by the ELCR.
    elcr: u8,
    /// Level-triggered inputs by ICW1's LTIM: all or none.
    ltim: u8,
    /// The level with the lowest priority; 7 unless rotated.
    lowest: u8,
    /// Vector of level 0, a multiple of 8.
    base: u8,
    /// ICW3: on the first chip the inputs with a slave, on the second its identity.
    icw3: u8,
    expect: Expect,
    /// ICW1's SNGL: no ICW3 follows and no slave answers.
    single: bool,
    /// ICW1's IC4.
    wants_icw4: bool,
    auto_eoi: bool,
    rotate_in_auto_eoi: bool,
    special_mask: bool,
    special_fully_nested: bool,
    /// OCW3 asked for a poll: the next read is an acknowledge.
    poll: bool,
    /// OCW3 chose the ISR for reads of the even port, instead of the IRR.
    read_isr: bool,
}

impl Chip {
    /// Initialised as a PC's BIOS does it, all lines masked.
    const fn new(base: u8, icw3: u8) -> Self {
        Self {
            lines: 0,
            edges: 0,
            isr: 0,
            imr: 0xff,
            elcr: 0,
            ltim: 0,
            lowest: 7,
            base,
            icw3,
            expect: Expect::Ocw1,
            single: false,
            wants_icw4: true,
            auto_eoi: false,
            rotate_in_auto_eoi: false,
            special_mask: false,
            special_fully_nested: false,
            poll: false,
            read_isr: false,
        }
    }

    /// Interrupt Request Register. An edge-triggered request lasts only as long as its input
    /// stays high ("Edge and Level Triggered Modes").
    #[inline]
    const fn irr(&self) -> u8 {
        let level = self.elcr | self.ltim;
        (self.edges & !level) | (self.lines & level)
    }

    /// The level that this chip's INT output stands for, if INT is active: the highest unmasked
    /// request whose priority is above everything in service.
    #[inline]
    fn request(&self) -> Option<u8> {
        let requests = self.irr() & !self.imr;
        if requests == 0 || self.expect != Expect::Ocw1 {
            return None;
        }
        // In special mask mode a masked level in service holds back nobody.
        let in_service = if self.special_mask {
            self.isr & !self.imr
        } else {
            self.isr
        };
        let first = u32::from(self.lowest) + 1;
        let wanted = requests.rotate_right(first).trailing_zeros();
        let served = in_service.rotate_right(first).trailing_zeros();
        let level = (wanted + first) as u8 & 7;
        let nested = self.special_fully_nested && wanted == served && self.has_slave(level);
        (wanted < served || nested).then_some(level)
    }

    /// Whether another chip answers for `level` ("Cascade Mode").
    const fn has_slave(&self, level: u8) -> bool {
        !self.single && self.icw3 >> level & 1 != 0
    }

    /// The first INTA pulse: takes the request into service. None if it has gone.
    fn accept(&mut self) -> Option<u8> {
        let level = self.request()?;
        let bit = 1 << level;
        self.edges &= !bit;
        if !self.auto_eoi {
            self.isr |= bit;
        } else if self.rotate_in_auto_eoi {
            self.lowest = level;
        }
        Some(level)
    }

    /// The level a non-specific EOI ends: the highest in service, masked ones excepted in
    /// special mask mode.
    fn highest_in_service(&self) -> Option<u8> {
        let candidates = if self.special_mask {
            self.isr & !self.imr
        } else {
            self.isr
        };
        let first = u32::from(self.lowest) + 1;
        let place = candidates.rotate_right(first).trailing_zeros();
        (candidates != 0).then_some((place + first) as u8 & 7)
    }

    fn set_line(&mut self, level: u8, high: bool) {
        let bit = 1 << (level & 7);
        if high {
            self.edges |= bit & !self.lines;
            self.lines |= bit;
        } else {
            self.edges &= !bit;
            self.lines &= !bit;
        }
    }

    fn write_even(&mut self, value: u8) {
        if value & 0x10 != 0 {
            self.icw1(value);
        } else if value & 0x08 != 0 {
            self.ocw3(value);
        } else {
            self.ocw2(value);
        }
    }

    /// "Initialization Command Words 1 and 2": what ICW1 resets.
    fn icw1(&mut self, value: u8) {
        *self = Self {
            lines: self.lines,
            elcr: self.elcr,
            imr: 0,
            ltim: if value & 0x08 != 0 { 0xff } else { 0 },
            single: value & 0x02 != 0,
            wants_icw4: value & 0x01 != 0,
            expect: Expect::Icw2,
            ..Self::new(self.base, 7)
        };
    }

    /// "Operation Command Word 2": end of interrupt and rotation.
    fn ocw2(&mut self, value: u8) {
        let level = value & 7;
        let (rotate, specific, eoi) = (value & 0x80 != 0, value & 0x40 != 0, value & 0x20 != 0);
        match (eoi, specific) {
            (true, _) => {
                let ended = if specific {
                    Some(level)
                } else {
                    self.highest_in_service()
                };
                if let Some(ended) = ended {
                    self.isr &= !(1 << ended);
                    if rotate {
                        self.lowest = ended;
                    }
                }
            }
            (false, true) if rotate => self.lowest = level,
            (false, true) => {}
            (false, false) => self.rotate_in_auto_eoi = rotate,
        }
    }

    /// "Operation Command Word 3": special mask, poll, and which register is read.
    fn ocw3(&mut self, value: u8) {
        if value & 0x40 != 0 {
            self.special_mask = value & 0x20 != 0;
        }
        if value & 0x04 != 0 {
            self.poll = true;
        } else if value & 0x02 != 0 {
            self.read_isr = value & 0x01 != 0;
        }
    }

    fn write_odd(&mut self, value: u8) {
        match self.expect {
            Expect::Ocw1 => self.imr = value,
            Expect::Icw2 => {
                self.base = value & 0xf8;
                self.expect = if !self.single {
                    Expect::Icw3
                } else {
                    self.after_icw3()
                };
            }
            Expect::Icw3 => {
                self.icw3 = value;
                self.expect = self.after_icw3();
            }
            Expect::Icw4 => {
                self.special_fully_nested = value & 0x10 != 0;
                self.auto_eoi = value & 0x02 != 0;
                self.expect = Expect::Ocw1;
            }
        }
    }

    const fn after_icw3(&self) -> Expect {
        if self.wants_icw4 {
            Expect::Icw4
        } else {
            Expect::Ocw1
        }
    }

    /// "Poll Command": bit 7 tells whether there was a request, bits 2-0 its level.
    fn poll(&mut self) -> u8 {
        self.poll = false;
        self.accept().map_or(SPURIOUS, |level| 0x80 | level)
    }
}

/// The pair of 8259A as a PC wires it: lines 0-7 on ports 20h/21h, 8-15 on A0h/A1h.
#[derive(Clone, Debug)]
pub struct Pic {
    master: Chip,
    slave: Chip,
    /// The INTR pin; recomputed after every change, because it is asked far more often.
    intr: bool,
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
        }
    }

    /// Reads port 20h, 21h, A0h, A1h, 4D0h or 4D1h.
    #[inline]
    pub fn read(&mut self, port: u16) -> u8 {
        match port {
            0x4d0 => return self.master.elcr,
            0x4d1 => return self.slave.elcr,
            _ => {}
        }
        let chip = if port & 0x80 == 0 {
            &self.master
        } else {
            &self.slave
        };
        if chip.poll {
            self.poll(port)
        } else if port & 1 != 0 {
            chip.imr
        } else if chip.read_isr {
            chip.isr
        } else {
            chip.irr()
        }
    }

    /// Writes one of the same ports.
    #[inline]
    pub fn write(&mut self, port: u16, value: u8) {
        match port {
            0x20 => self.master.write_even(value),
            0x21 => self.master.write_odd(value),
            0xa0 => self.slave.write_even(value),
            0xa1 => self.slave.write_odd(value),
            0x4d0 => self.master.elcr = value & !ELCR_FIXED[0],
            _ => self.slave.elcr = value & !ELCR_FIXED[1],
        }
        self.settle(port & 0x80 != 0);
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
            Some(level) if !self.master.has_slave(level) => self.master.base | level,
            Some(CASCADE) if self.slave.icw3 & 7 == CASCADE => {
                // The slave's INT drops with INTA, so that a further request of its is an edge.
                self.master.set_line(CASCADE, false);
                self.slave.base | self.slave.accept().unwrap_or(SPURIOUS)
            }
            Some(_) => FLOATING,
        };
        self.settle(true);
        vector
    }

    /// A read after OCW3's poll command.
    #[cold]
    fn poll(&mut self, port: u16) -> u8 {
        let value = if port & 0x80 == 0 {
            self.master.poll()
        } else {
            // As with INTA, INT drops before it can rise for the next request.
            self.master.set_line(CASCADE, false);
            self.slave.poll()
        };
        self.settle(true);
        value
    }

    /// Brings the cascade line (if `slave` may have changed) and the INTR pin up to date.
    #[inline]
    fn settle(&mut self, slave: bool) {
        if slave {
            let int = self.slave.request().is_some();
            self.master.set_line(CASCADE, int);
        }
        self.intr = self.master.request().is_some();
    }
}
