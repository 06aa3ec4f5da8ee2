//! One 8259A. Section names are those of Intel's data sheet.

/// The level a chip answers with when the request has gone ("Interrupt Sequence").
pub(super) const SPURIOUS: u8 = 7;

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
pub(super) struct Chip {
    /// Levels of the inputs IR0-IR7.
    pub lines: u8,
    /// Interrupt Request Register: inputs that rose and were neither acknowledged nor withdrawn
    /// since ("Edge and Level Triggered Modes"); level-triggered ones as long as they are high.
    pub irr: u8,
    /// In-Service Register.
    pub isr: u8,
    /// Interrupt Mask Register.
    pub imr: u8,
    /// Level-triggered inputs by the ELCR.
    pub elcr: u8,
    /// Level-triggered inputs by ICW1's LTIM: all or none.
    ltim: u8,
    /// The level with the lowest priority; 7 unless rotated.
    lowest: u8,
    /// Vector of level 0, a multiple of 8.
    pub base: u8,
    /// ICW3: on the first chip the inputs with a slave, on the second its identity.
    pub icw3: u8,
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
    pub poll: bool,
    /// OCW3 chose the ISR for reads of the even port, instead of the IRR.
    pub read_isr: bool,
}

impl Chip {
    /// Initialised as a PC's BIOS does it, all lines masked.
    pub const fn new(base: u8, icw3: u8) -> Self {
        Self {
            lines: 0,
            irr: 0,
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

    /// Inputs that are level-triggered.
    const fn levels(&self) -> u8 {
        self.elcr | self.ltim
    }

    /// The level that this chip's INT output stands for, if INT is active.
    #[inline(always)]
    pub fn request(&self) -> Option<u8> {
        let requests = self.irr & !self.imr;
        if requests == 0 {
            None
        } else {
            self.resolve(requests)
        }
    }

    /// "Priority Resolver": the highest of `requests`, if its priority is above everything in
    /// service.
    fn resolve(&self, requests: u8) -> Option<u8> {
        if self.expect != Expect::Ocw1 {
            return None;
        }
        let first = u32::from(self.lowest) + 1;
        let wanted = requests.rotate_right(first).trailing_zeros();
        let served = self.holding_back().rotate_right(first).trailing_zeros();
        let level = (wanted + first) as u8 & 7;
        let nested = self.special_fully_nested && wanted == served && self.has_slave(level);
        (wanted < served || nested).then_some(level)
    }

    /// The levels in service that count; in special mask mode masked ones do not.
    const fn holding_back(&self) -> u8 {
        if self.special_mask {
            self.isr & !self.imr
        } else {
            self.isr
        }
    }

    /// Whether another chip answers for `level` ("Cascade Mode").
    pub const fn has_slave(&self, level: u8) -> bool {
        !self.single && self.icw3 >> level & 1 != 0
    }

    /// The first INTA pulse: takes the request into service. None if it has gone.
    pub fn accept(&mut self) -> Option<u8> {
        let level = self.request()?;
        let bit = 1 << level;
        self.irr &= !bit | self.levels();
        if !self.auto_eoi {
            self.isr |= bit;
        } else if self.rotate_in_auto_eoi {
            self.lowest = level;
        }
        Some(level)
    }

    /// The level a non-specific EOI ends: the highest in service.
    fn highest_in_service(&self) -> Option<u8> {
        let candidates = self.holding_back();
        let first = u32::from(self.lowest) + 1;
        let place = candidates.rotate_right(first).trailing_zeros();
        (candidates != 0).then_some((place + first) as u8 & 7)
    }

    pub fn set_line(&mut self, level: u8, high: bool) {
        let bit = 1 << (level & 7);
        if high {
            self.irr |= bit & !self.lines;
            self.lines |= bit;
        } else {
            self.irr &= !bit;
            self.lines &= !bit;
        }
    }

    pub fn set_elcr(&mut self, value: u8) {
        self.elcr = value;
        self.irr |= self.lines & self.levels();
    }

    #[inline(never)]
    pub fn write_even(&mut self, value: u8) {
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
        let ltim = if value & 0x08 != 0 { 0xff } else { 0 };
        *self = Self {
            lines: self.lines,
            irr: self.lines & (self.elcr | ltim),
            elcr: self.elcr,
            imr: 0,
            ltim,
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

    #[inline(always)]
    pub fn write_odd(&mut self, value: u8) {
        match self.expect {
            Expect::Ocw1 => self.imr = value,
            _ => self.initialize(value),
        }
    }

    /// ICW2 to ICW4.
    #[cold]
    fn initialize(&mut self, value: u8) {
        match self.expect {
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
            Expect::Ocw1 => {}
        }
    }

    const fn after_icw3(&self) -> Expect {
        if self.wants_icw4 {
            Expect::Icw4
        } else {
            Expect::Ocw1
        }
    }
}
