//! The real-time clock and CMOS memory of the PC: an MC146818 on ports 70h and 71h, with
//! interrupt line 8.
//!
//! The registers are the state, as in the chip: once a second they are advanced, by as many
//! seconds as have passed since anybody looked. Section names are those of Motorola's MC146818
//! data sheet. Daylight saving and the square wave are registers without effect.

mod alarm;
mod calendar;
#[cfg(test)]
mod tests;

use super::time::{GuestTime, SECOND, UnixTime};
use alarm::Alarm;
use calendar::DateTime;

/// The divider chain that the periodic interrupt is taken from, in Hz.
const DIVIDER_HZ: u32 = 32_768;
/// "Update Cycle": UIP rises 244 us before the cycle, which lasts 1984 us.
const UPDATE_IN_PROGRESS_NS: u64 = (244 + 1984) * 1000;
/// "Divider Control": the first update comes half a second after the divider is released.
const AFTER_RELEASE_NS: u64 = SECOND / 2;

/// Places in the 128 bytes.
mod cmos {
    pub const SECONDS: usize = 0x00;
    pub const SECONDS_ALARM: usize = 0x01;
    pub const MINUTES: usize = 0x02;
    pub const MINUTES_ALARM: usize = 0x03;
    pub const HOURS: usize = 0x04;
    pub const HOURS_ALARM: usize = 0x05;
    pub const WEEKDAY: usize = 0x06;
    pub const DAY: usize = 0x07;
    pub const MONTH: usize = 0x08;
    pub const YEAR: usize = 0x09;
    pub const A: usize = 0x0a;
    pub const B: usize = 0x0b;
    pub const C: usize = 0x0c;
    pub const D: usize = 0x0d;
    /// Where the PC's BIOS keeps the century, in the format of the year.
    pub const CENTURY: usize = 0x32;
    pub const EQUIPMENT: usize = 0x14;
    /// KiB below 640 KiB, low byte and high byte.
    pub const BASE_MEMORY: usize = 0x15;
    /// KiB from 1 MiB on, at most 65535; twice.
    pub const EXTENDED_MEMORY: [usize; 2] = [0x17, 0x30];
    /// 64 KiB units from 16 MiB to 4 GiB.
    pub const MEMORY_ABOVE_16M: usize = 0x34;
    /// The BIOS's sum over 10h-2Dh, high byte first.
    pub const CHECKSUM: usize = 0x2e;
}

/// Register A.
mod a {
    pub const UPDATE_IN_PROGRESS: u8 = 1 << 7;
    pub const DIVIDER: u8 = 0x70;
    pub const DIVIDER_32768_HZ: u8 = 0x20;
    pub const RATE: u8 = 0x0f;
}

/// Register B.
mod b {
    pub const SET: u8 = 1 << 7;
    pub const UPDATE_INTERRUPT: u8 = 1 << 4;
    pub const BINARY: u8 = 1 << 2;
    pub const HOURS_24: u8 = 1 << 1;
}

/// Register C, and the enable bits in B, which have the same places.
mod c {
    pub const IRQ: u8 = 1 << 7;
    pub const PERIODIC: u8 = 1 << 6;
    pub const ALARM: u8 = 1 << 5;
    pub const UPDATE: u8 = 1 << 4;
}

/// Register D: the battery is good.
const VALID_RAM_AND_TIME: u8 = 1 << 7;
/// The afternoon bit of an hour in the 12-hour format.
const PM: u8 = 1 << 7;

/// The MC146818.
#[derive(Clone, Debug)]
pub struct Rtc {
    /// Registers as they are read, but for UIP in A and IRQF in C.
    registers: [u8; 128],
    index: u8,
    /// The latest time seen.
    now: GuestTime,
    next_update: GuestTime,
    /// The divider's count when it was last looked at.
    divider: u64,
}

impl Rtc {
    /// A clock that shows `start` when guest time is 0, with the memory sizes of a VM that has
    /// `memory_bytes`, as a BIOS notes them.
    pub fn new(memory_bytes: u64, start: UnixTime) -> Self {
        let mut rtc = Self {
            registers: [0; 128],
            index: 0,
            now: GuestTime(0),
            next_update: GuestTime(SECOND),
            divider: 0,
        };
        rtc.registers[cmos::A] = a::DIVIDER_32768_HZ | 6;
        rtc.registers[cmos::B] = b::HOURS_24;
        rtc.registers[cmos::D] = VALID_RAM_AND_TIME;
        let date = DateTime::new(start);
        rtc.registers[cmos::WEEKDAY] = date.weekday();
        rtc.store_date(date);
        rtc.store_memory_sizes(memory_bytes);
        rtc
    }

    fn store_memory_sizes(&mut self, bytes: u64) {
        const KIB: u64 = 1 << 10;
        const MIB: u64 = 1 << 20;
        let above = |start: u64, end: u64, unit: u64| {
            let size = bytes.clamp(start, end) - start;
            u16::try_from(size / unit).unwrap_or(u16::MAX)
        };
        let extended = above(MIB, u64::MAX, KIB);
        self.store_word(cmos::BASE_MEMORY, above(0, 640 * KIB, KIB));
        for place in cmos::EXTENDED_MEMORY {
            self.store_word(place, extended);
        }
        self.store_word(
            cmos::MEMORY_ABOVE_16M,
            above(16 * MIB, 4096 * MIB, 64 * KIB),
        );
        // A coprocessor and a colour display.
        self.registers[cmos::EQUIPMENT] = 0x02;
        let sum = self.registers[0x10..cmos::CHECKSUM]
            .iter()
            .fold(0u16, |sum, &byte| sum + u16::from(byte));
        self.store_word(cmos::CHECKSUM, sum.swap_bytes());
    }

    /// Low byte first.
    fn store_word(&mut self, place: usize, value: u16) {
        let [low, high] = value.to_le_bytes();
        self.registers[place] = low;
        self.registers[place + 1] = high;
    }

    /// Writes port 70h: which byte port 71h means. Bit 7, the NMI mask, has nothing to mask.
    pub const fn select(&mut self, index: u8) {
        self.index = index & 0x7f;
    }

    /// Reads port 71h.
    pub fn read(&mut self, now: impl FnOnce() -> GuestTime) -> u8 {
        let place = usize::from(self.index);
        if !is_clock(place) {
            return self.registers[place];
        }
        self.advance(now());
        match place {
            cmos::A if self.update_in_progress() => self.registers[cmos::A] | a::UPDATE_IN_PROGRESS,
            cmos::C => {
                let flags = self.registers[cmos::C] | if self.irq() { c::IRQ } else { 0 };
                self.registers[cmos::C] = 0;
                flags
            }
            _ => self.registers[place],
        }
    }

    /// Writes port 71h.
    pub fn write(&mut self, value: u8, now: impl FnOnce() -> GuestTime) {
        let place = usize::from(self.index);
        if is_clock(place) {
            self.advance(now());
        }
        match place {
            cmos::A => {
                let was_held = self.divider_held();
                self.registers[cmos::A] = value & !a::UPDATE_IN_PROGRESS;
                if was_held && !self.divider_held() {
                    self.next_update = self.now.after(AFTER_RELEASE_NS);
                }
            }
            // "Register B": SET also clears the update interrupt's enable.
            cmos::B if value & b::SET != 0 => {
                self.registers[cmos::B] = value & !b::UPDATE_INTERRUPT;
            }
            cmos::C | cmos::D => {}
            _ => self.registers[place] = value,
        }
    }

    /// Moves the clock to `now`: updates, and the flags they and the divider set.
    pub fn advance(&mut self, now: GuestTime) {
        self.now = self.now.max(now);
        let divider = self.now.ticks(DIVIDER_HZ);
        if let Some(period) = self.period()
            && divider / period != self.divider / period
        {
            self.registers[cmos::C] |= c::PERIODIC;
        }
        self.divider = divider;
        if self.now >= self.next_update {
            let seconds = (self.now.0 - self.next_update.0) / SECOND + 1;
            self.next_update = self.next_update.after(seconds.saturating_mul(SECOND));
            if self.updates() {
                self.add_seconds(seconds);
            }
        }
    }

    /// The level of interrupt line 8: some flag is set whose interrupt is on.
    pub fn irq(&self) -> bool {
        let enabled = self.registers[cmos::B] & (c::PERIODIC | c::ALARM | c::UPDATE);
        self.registers[cmos::C] & enabled != 0
    }

    /// When the next flag is set whose interrupt is on; None if never.
    pub fn next_deadline(&self) -> Option<GuestTime> {
        let enabled = |flag| self.registers[cmos::B] & flag != 0;
        let periodic = self
            .period()
            .filter(|_| enabled(c::PERIODIC))
            .map(|period| GuestTime::of_tick((self.divider / period + 1) * period, DIVIDER_HZ));
        let update = (self.updates() && enabled(c::UPDATE)).then_some(self.next_update);
        let alarm = (self.updates() && enabled(c::ALARM))
            .then(|| self.seconds_to_alarm())
            .flatten()
            .map(|seconds| self.next_update.after((seconds - 1) * SECOND));
        [periodic, update, alarm].into_iter().flatten().min()
    }

    fn divider_held(&self) -> bool {
        self.registers[cmos::A] & a::DIVIDER != a::DIVIDER_32768_HZ
    }

    /// Whether the time advances: the divider runs and SET does not forbid it.
    fn updates(&self) -> bool {
        !self.divider_held() && self.registers[cmos::B] & b::SET == 0
    }

    fn update_in_progress(&self) -> bool {
        self.updates() && self.next_update.0.saturating_sub(self.now.0) <= UPDATE_IN_PROGRESS_NS
    }

    /// "Periodic Interrupt Selection": the period in divider ticks. Rates 1 and 2 repeat 8 and 9.
    fn period(&self) -> Option<u64> {
        if self.divider_held() {
            return None;
        }
        match self.registers[cmos::A] & a::RATE {
            0 => None,
            rate @ 1..=2 => Some(1 << (rate + 6)),
            rate => Some(1 << (rate - 1)),
        }
    }

    /// `seconds` update cycles, of at least one.
    fn add_seconds(&mut self, seconds: u64) {
        if self.seconds_to_alarm().is_some_and(|due| due <= seconds) {
            self.registers[cmos::C] |= c::ALARM;
        }
        self.registers[cmos::C] |= c::UPDATE;
        let (date, midnights) = self.load_date().after(seconds);
        let weekday = u64::from(self.registers[cmos::WEEKDAY].clamp(1, 7));
        self.registers[cmos::WEEKDAY] = ((weekday - 1 + midnights) % 7) as u8 + 1;
        self.store_date(date);
    }

    /// Update cycles until the alarm matches; None if it never does.
    fn seconds_to_alarm(&self) -> Option<u64> {
        let field = |place, decode: fn(&Self, u8) -> Option<u8>| {
            let value = self.registers[place];
            // "Alarm": the two top bits make a field match any value.
            if value >= 0xc0 {
                alarm::Field::Any
            } else {
                decode(self, value).map_or(alarm::Field::Never, alarm::Field::Exactly)
            }
        };
        Alarm {
            hour: field(cmos::HOURS_ALARM, Self::hour),
            minute: field(cmos::MINUTES_ALARM, Self::decode),
            second: field(cmos::SECONDS_ALARM, Self::decode),
        }
        .seconds_after(self.load_date().second)
    }

    /// The date in the registers. What is not a date, because a guest wrote it, is taken as the
    /// nearest one.
    fn load_date(&self) -> DateTime {
        let value = |place: usize, least, most| {
            let decoded = self.decode(self.registers[place]);
            decoded.unwrap_or(least).clamp(least, most)
        };
        let hour = self.hour(self.registers[cmos::HOURS]).unwrap_or(0).min(23);
        let century = value(cmos::CENTURY, 0, 99);
        DateTime {
            year: u64::from(century) * 100 + u64::from(value(cmos::YEAR, 0, 99)),
            month: value(cmos::MONTH, 1, 12),
            day: value(cmos::DAY, 1, 31),
            second: u32::from(hour) * 3600
                + u32::from(value(cmos::MINUTES, 0, 59)) * 60
                + u32::from(value(cmos::SECONDS, 0, 59)),
        }
    }

    fn store_date(&mut self, date: DateTime) {
        let second = date.second;
        let hour = (second / 3600) as u8;
        self.registers[cmos::SECONDS] = self.encode((second % 60) as u8);
        self.registers[cmos::MINUTES] = self.encode((second / 60 % 60) as u8);
        self.registers[cmos::HOURS] = if self.registers[cmos::B] & b::HOURS_24 != 0 {
            self.encode(hour)
        } else {
            let afternoon = if hour >= 12 { PM } else { 0 };
            self.encode((hour + 11) % 12 + 1) | afternoon
        };
        self.registers[cmos::DAY] = self.encode(date.day);
        self.registers[cmos::MONTH] = self.encode(date.month);
        self.registers[cmos::YEAR] = self.encode((date.year % 100) as u8);
        self.registers[cmos::CENTURY] = self.encode((date.year / 100 % 100) as u8);
    }

    /// "Time, Calendar and Alarm Locations": binary or BCD by register B.
    fn encode(&self, value: u8) -> u8 {
        if self.registers[cmos::B] & b::BINARY != 0 {
            value
        } else {
            ((value / 10) << 4) | (value % 10)
        }
    }

    fn decode(&self, register: u8) -> Option<u8> {
        if self.registers[cmos::B] & b::BINARY != 0 {
            return Some(register);
        }
        let (tens, ones) = (register >> 4, register & 0xf);
        (tens < 10 && ones < 10).then_some(tens * 10 + ones)
    }

    /// An hour register, in the 12- or 24-hour format, as 0-23.
    fn hour(&self, register: u8) -> Option<u8> {
        if self.registers[cmos::B] & b::HOURS_24 != 0 {
            return self.decode(register);
        }
        let hour = self.decode(register & !PM)?;
        let afternoon = if register & PM != 0 { 12 } else { 0 };
        (1..=12).contains(&hour).then_some(hour % 12 + afternoon)
    }
}

/// Whether the byte belongs to the clock and so depends on the time.
const fn is_clock(place: usize) -> bool {
    place <= cmos::D || place == cmos::CENTURY
}
