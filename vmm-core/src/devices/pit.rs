//! The interval timer of the PC: an 8254 behind ports 40h-43h, and port 61h, which gates its
//! third counter to the speaker and shows its output.
//!
//! Counter 0 drives interrupt line 0, counter 1 stands for the memory refresh, counter 2 for
//! the speaker. Nothing here ticks: counts and edges are computed from guest time.
//! Section names are those of Intel's 8254 data sheet.

mod counter;
#[cfg(test)]
mod tests;

use super::time::GuestTime;
use counter::Counter;

/// The timer's clock in Hz: a third of a quarter of the PC's 14.31818 MHz crystal.
pub const PIT_HZ: u32 = 1_193_182;

/// Ticks between two changes of port 61h's refresh bit: counter 1 as every BIOS sets it.
const REFRESH_TICKS: u64 = 18;

/// A guest can ask for an interrupt every other tick. No deadline comes sooner than this after
/// the last edge, so that such a guest slows nobody but itself.
const SHORTEST_PERIOD_NS: u64 = 20_000;

/// Bits of port 61h.
mod port_b {
    /// Gate of counter 2.
    pub const GATE: u8 = 1 << 0;
    /// Bits that keep what was written: gate, speaker, parity and channel check enables.
    pub const STORED: u8 = 0x0f;
    pub const REFRESH: u8 = 1 << 4;
    /// OUT of counter 2.
    pub const OUTPUT: u8 = 1 << 5;
}

/// The 8254 and port 61h.
#[derive(Clone, Debug)]
pub struct Pit {
    counters: [Counter; 3],
    port_b: u8,
    /// The latest tick seen; time that runs backwards is taken as standing still.
    tick: u64,
    /// Edges that `take_edges` has told.
    taken: u64,
    /// No deadline before this.
    not_before: GuestTime,
}

impl Default for Pit {
    fn default() -> Self {
        Self::new()
    }
}

impl Pit {
    /// As a BIOS leaves it: counter 0 at 18.2 Hz, the speaker off.
    pub const fn new() -> Self {
        Self {
            counters: [
                Counter::new(3, true),
                Counter::new(2, true),
                Counter::new(3, false),
            ],
            port_b: 0,
            tick: 0,
            taken: 0,
            not_before: GuestTime(0),
        }
    }

    fn tick(&mut self, now: GuestTime) -> u64 {
        self.tick = self.tick.max(now.ticks(PIT_HZ));
        self.tick
    }

    /// Reads port 40h-43h or 61h.
    pub fn read(&mut self, port: u16, now: GuestTime) -> u8 {
        let tick = self.tick(now);
        if port == 0x61 {
            let refresh = !(tick / REFRESH_TICKS).is_multiple_of(2);
            let output = self.counters[2].out(tick);
            return self.port_b
                | if refresh { port_b::REFRESH } else { 0 }
                | if output { port_b::OUTPUT } else { 0 };
        }
        match self.counters.get_mut(usize::from(port & 3)) {
            Some(counter) => counter.read(tick),
            // The control word register cannot be read.
            None => 0xff,
        }
    }

    /// Writes one of the same ports.
    pub fn write(&mut self, port: u16, value: u8, now: GuestTime) {
        let tick = self.tick(now);
        if port == 0x61 {
            self.port_b = value & port_b::STORED;
            self.counters[2].set_gate(value & port_b::GATE != 0, tick);
            return;
        }
        match self.counters.get_mut(usize::from(port & 3)) {
            Some(counter) => counter.write(value, tick),
            None => self.control(value, tick),
        }
    }

    /// "Control Word Format", "Counter Latch Command", "Read-Back Command".
    fn control(&mut self, value: u8, tick: u64) {
        match self.counters.get_mut(usize::from(value >> 6)) {
            Some(counter) if value & 0x30 == 0 => counter.latch_count(tick),
            Some(counter) => counter.set_control(value, tick),
            None => {
                for (i, counter) in self.counters.iter_mut().enumerate() {
                    if value >> (i + 1) & 1 == 0 {
                        continue;
                    }
                    if value & 0x20 == 0 {
                        counter.latch_count(tick);
                    }
                    if value & 0x10 == 0 {
                        counter.latch_status(tick);
                    }
                }
            }
        }
    }

    /// Moves counter 0 to `now`.
    pub fn advance(&mut self, now: GuestTime) {
        let tick = self.tick(now);
        self.counters[0].catch_up(tick);
    }

    /// How often counter 0's output rose since the last call, up to the last access or
    /// [`advance`](Self::advance).
    pub fn take_edges(&mut self) -> u64 {
        let edges = self.edges() - self.taken;
        if edges > 0 {
            self.taken += edges;
            self.not_before = GuestTime::of_tick(self.tick, PIT_HZ).after(SHORTEST_PERIOD_NS);
        }
        edges
    }

    /// The level of interrupt line 0, as of the last access or [`advance`](Self::advance).
    ///
    /// It is counter 0's output, except that the low part of a cycle is not shown: a VMM that
    /// runs late would otherwise withdraw a tick that the guest has not seen yet.
    pub fn irq(&mut self) -> bool {
        self.counters[0].idles_high() || self.counters[0].out(self.tick)
    }

    /// Rising edges of counter 0's output since the VM started: the ticks it ought to have had.
    pub const fn edges(&self) -> u64 {
        self.counters[0].rises()
    }

    /// When counter 0's output rises next; None if it never does.
    pub fn next_deadline(&self) -> Option<GuestTime> {
        let rise = self.counters[0].next_rise()?;
        Some(GuestTime::of_tick(rise, PIT_HZ).max(self.not_before))
    }
}
