//! One counter of the 8254: modes 0-5, the count register, latches and status.
//!
//! A counter is never ticked. It remembers when its counting element was loaded and computes the
//! rest. A bus cycle of the PC lasts longer than one CLK pulse, so the pulse that loads a count
//! passes within the write itself; section names are those of Intel's 8254 data sheet.

/// Whether and since when the counting element counts.
#[derive(Clone, Copy, Debug)]
enum Clock {
    /// Since the control word: no count yet, or no trigger. The element shows its last value.
    Idle(u16),
    /// The gate holds it, this many CLK pulses after the load.
    Held(u64),
    /// Loaded at this tick. May lie before tick 0 (wrapped), when a load entered a cycle half way.
    Running(u64),
}

/// A count that waits for its moment to enter the counting element.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    count: u32,
    /// The tick of the load; `u64::MAX` if a trigger decides.
    at: u64,
}

/// One counter.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    /// The control word's lower six bits: RW, mode, BCD, as the status byte repeats them.
    control: u8,
    clock: Clock,
    /// The count in the counting element, 1 to 65536 (2 at least in modes 2 and 3).
    count: u32,
    waiting: Option<Waiting>,
    /// A count was written since the control word.
    written: bool,
    /// The low byte of a two-byte write whose high byte is due.
    low_byte: Option<u8>,
    /// The next read of a two-byte counter gives the high byte.
    high_next: bool,
    latched_count: Option<u16>,
    latched_status: Option<u8>,
    gate: bool,
    /// OUT's rising edges up to `seen`.
    rises: u64,
    seen: u64,
}

impl Counter {
    /// Counts from tick 0 with the longest period in `mode`, as a BIOS leaves it.
    pub const fn new(mode: u8, gate: bool) -> Self {
        Self {
            control: 0x30 | mode << 1,
            clock: if gate {
                Clock::Running(0)
            } else {
                Clock::Held(0)
            },
            count: 0x1_0000,
            waiting: None,
            written: true,
            low_byte: None,
            high_next: false,
            latched_count: None,
            latched_status: None,
            gate,
            rises: 0,
            seen: 0,
        }
    }

    /// "Mode Definitions"; 6 and 7 are 2 and 3.
    const fn mode(&self) -> u8 {
        match self.control >> 1 & 7 {
            6 => 2,
            7 => 3,
            mode => mode,
        }
    }

    /// Whether the mode repeats by itself.
    const fn periodic(&self) -> bool {
        matches!(self.mode(), 2 | 3)
    }

    /// Whether OUT is high but for the time that the mode counts out.
    pub const fn idles_high(&self) -> bool {
        self.mode() != 0
    }

    /// Whether only a rising gate starts the mode.
    const fn triggered(&self) -> bool {
        matches!(self.mode(), 1 | 5)
    }

    /// Number of values the element counts through before it wraps.
    const fn modulus(&self) -> u32 {
        if self.control & 1 != 0 {
            10_000
        } else {
            0x1_0000
        }
    }

    /// CLK pulses of a mode-3 cycle for which OUT is high.
    const fn high_half(&self) -> u64 {
        self.count.div_ceil(2) as u64
    }

    /// "Control Word Format": everything starts anew, and OUT goes to its initial level.
    pub fn set_control(&mut self, control: u8, tick: u64) {
        self.catch_up(tick);
        *self = Self {
            control: control & 0x3f,
            clock: Clock::Idle(self.element(tick)),
            waiting: None,
            written: false,
            low_byte: None,
            high_next: false,
            latched_count: None,
            latched_status: None,
            ..*self
        };
    }

    /// "Write Operations": one byte of a count.
    pub fn write(&mut self, value: u8, tick: u64) {
        self.catch_up(tick);
        let count = match (self.control >> 4, self.low_byte.take()) {
            (1, _) => u16::from(value),
            (2, _) => u16::from(value) << 8,
            (_, Some(low)) => u16::from_le_bytes([low, value]),
            (_, None) => {
                self.low_byte = Some(value);
                if self.mode() == 0 {
                    // "Mode 0": the first byte stops the counting and lowers OUT at once.
                    self.clock = Clock::Idle(self.element(tick));
                }
                return;
            }
        };
        self.written = true;
        self.set_count(self.decode(count), tick);
    }

    fn set_count(&mut self, count: u32, tick: u64) {
        if self.triggered() {
            self.waiting = Some(Waiting {
                count,
                at: u64::MAX,
            });
        } else if let (true, Clock::Running(start)) = (self.periodic(), self.clock) {
            let at = start.wrapping_add(self.cycle_end(tick.wrapping_sub(start)));
            self.waiting = Some(Waiting { count, at });
        } else {
            self.count = count;
            self.clock = if self.gate {
                Clock::Running(tick)
            } else {
                Clock::Held(0)
            };
        }
    }

    /// The count that a value in the count register asks for; 0 is the largest one.
    fn decode(&self, register: u16) -> u32 {
        let value = if self.control & 1 != 0 {
            let digit = |place: u32| u32::from(register >> (4 * place) & 0xf);
            (digit(3) * 1000 + digit(2) * 100 + digit(1) * 10 + digit(0)) % 10_000
        } else {
            u32::from(register)
        };
        match value {
            0 => self.modulus(),
            // Not allowed by the data sheet, which leaves open what happens.
            1 if self.periodic() => 2,
            _ => value,
        }
    }

    /// After how many pulses the cycle (mode 2) or half cycle (mode 3) ends that is
    /// `elapsed` pulses old.
    fn cycle_end(&self, elapsed: u64) -> u64 {
        let period = u64::from(self.count);
        let cycle = elapsed - elapsed % period;
        if self.mode() == 3 && elapsed % period < self.high_half() {
            cycle + self.high_half()
        } else {
            cycle + period
        }
    }

    /// Moves to `tick`: a waiting count enters at the end of its cycle, and OUT's edges count.
    pub fn catch_up(&mut self, tick: u64) {
        if let (Some(next), Clock::Running(start)) = (self.waiting, self.clock)
            && next.at <= tick
        {
            self.count_rises(next.at);
            let low_half_follows =
                self.mode() == 3 && next.at.wrapping_sub(start) % u64::from(self.count) != 0;
            self.count = next.count;
            let skipped = if low_half_follows {
                self.high_half()
            } else {
                0
            };
            self.clock = Clock::Running(next.at.wrapping_sub(skipped));
            self.waiting = None;
        }
        self.count_rises(tick);
    }

    fn count_rises(&mut self, tick: u64) {
        if let Clock::Running(start) = self.clock {
            let (from, to) = (self.seen.wrapping_sub(start), tick.wrapping_sub(start));
            let count = u64::from(self.count);
            self.rises += match self.mode() {
                0 | 1 => u64::from(from < count && count <= to),
                2 | 3 => to / count - from / count,
                _ => u64::from(from <= count && count < to),
            };
        }
        self.seen = tick;
    }

    /// How often OUT has risen by counting, up to the last [`catch_up`](Self::catch_up).
    pub const fn rises(&self) -> u64 {
        self.rises
    }

    /// The tick of the next such rise after the last `catch_up`, or an earlier one at which to
    /// ask again.
    pub fn next_rise(&self) -> Option<u64> {
        let Clock::Running(start) = self.clock else {
            return None;
        };
        let elapsed = self.seen.wrapping_sub(start);
        let count = u64::from(self.count);
        let rise = match self.mode() {
            0 | 1 => (elapsed < count).then_some(count)?,
            2 | 3 => elapsed - elapsed % count + count,
            _ => (elapsed <= count).then_some(count + 1)?,
        };
        let rise = start.wrapping_add(rise);
        Some(self.waiting.map_or(rise, |next| rise.min(next.at)))
    }

    /// "Gate" in each mode's definition.
    pub fn set_gate(&mut self, gate: bool, tick: u64) {
        if gate == self.gate {
            return;
        }
        self.catch_up(tick);
        self.gate = gate;
        if gate {
            self.gate_rose(tick);
        } else if let Clock::Running(start) = self.clock
            && !self.triggered()
        {
            self.clock = Clock::Held(tick.wrapping_sub(start));
        }
    }

    fn gate_rose(&mut self, tick: u64) {
        if !self.written {
            return;
        }
        if self.triggered() || self.periodic() {
            if let Some(next) = self.waiting.take() {
                self.count = next.count;
            }
            self.clock = Clock::Running(tick);
        } else if let Clock::Held(elapsed) = self.clock {
            self.clock = Clock::Running(tick.wrapping_sub(elapsed));
        }
    }

    /// The OUT pin.
    pub fn out(&mut self, tick: u64) -> bool {
        self.catch_up(tick);
        let count = u64::from(self.count);
        match (self.mode(), self.clock) {
            (mode, Clock::Idle(_)) => mode != 0,
            (0, Clock::Held(elapsed)) => elapsed >= count,
            (_, Clock::Held(_)) => true,
            (mode, Clock::Running(start)) => {
                let elapsed = tick.wrapping_sub(start);
                match mode {
                    0 | 1 => elapsed >= count,
                    2 => elapsed % count != count - 1,
                    3 => elapsed % count < self.high_half(),
                    _ => elapsed != count,
                }
            }
        }
    }

    /// The counting element, as it is read.
    fn element(&self, tick: u64) -> u16 {
        let elapsed = match self.clock {
            Clock::Idle(value) => return value,
            Clock::Held(elapsed) => elapsed,
            Clock::Running(start) => tick.wrapping_sub(start),
        };
        let count = u64::from(self.count);
        let modulus = u64::from(self.modulus());
        let value = match self.mode() {
            2 => count - elapsed % count,
            3 => {
                let place = elapsed % count;
                let half = self.high_half();
                let in_half = if place < half { place } else { place - half };
                // An odd count is loaded less one; the pulse this costs lengthens the high half.
                (count & !1) - 2 * in_half
            }
            _ => count + modulus - elapsed % modulus,
        };
        let value = (value % modulus) as u16;
        if self.control & 1 != 0 {
            let digit = |place: u16| value / place % 10;
            (digit(1000) << 12) | (digit(100) << 8) | (digit(10) << 4) | digit(1)
        } else {
            value
        }
    }

    /// "Counter Latch Command": the first of several wins until it is read.
    pub fn latch_count(&mut self, tick: u64) {
        self.catch_up(tick);
        let element = self.element(tick);
        self.latched_count.get_or_insert(element);
    }

    /// "Read-Back Command", status byte: OUT, null count, and the control word.
    pub fn latch_status(&mut self, tick: u64) {
        let out = self.out(tick);
        let null_count = !self.written || self.waiting.is_some();
        let status = u8::from(out) << 7 | u8::from(null_count) << 6 | self.control;
        self.latched_status.get_or_insert(status);
    }

    /// "Read Operations": a latched status first, then a latched count, then the live one.
    pub fn read(&mut self, tick: u64) -> u8 {
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        self.catch_up(tick);
        let [low, high] = self
            .latched_count
            .unwrap_or_else(|| self.element(tick))
            .to_le_bytes();
        let two_bytes = self.control >> 4 == 3;
        let high_now = self.control >> 4 == 2 || (two_bytes && self.high_next);
        self.high_next = two_bytes && !self.high_next;
        if !self.high_next {
            self.latched_count = None;
        }
        if high_now { high } else { low }
    }
}
