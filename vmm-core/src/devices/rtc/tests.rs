//! Section names are those of Motorola's MC146818 data sheet.

use super::*;
use proptest::prelude::*;

/// 2024-02-28 23:59:58, a Wednesday.
const START: UnixTime = UnixTime(1_709_164_798);
const MIB: u64 = 1 << 20;

/// A clock and the time.
struct Bench {
    rtc: Rtc,
    now: GuestTime,
}

impl Bench {
    fn new() -> Self {
        Self {
            rtc: Rtc::new(64 * MIB, START),
            now: GuestTime(0),
        }
    }

    fn get(&mut self, place: usize) -> u8 {
        self.rtc.select(place as u8);
        self.rtc.read(|| self.now)
    }

    fn set(&mut self, place: usize, value: u8) {
        self.rtc.select(place as u8);
        self.rtc.write(value, || self.now);
    }

    fn wait(&mut self, ns: u64) {
        self.now = self.now.after(ns);
        self.rtc.advance(self.now);
    }

    /// Hours, minutes, seconds as they stand in the registers.
    fn time(&mut self) -> [u8; 3] {
        [cmos::HOURS, cmos::MINUTES, cmos::SECONDS].map(|place| self.get(place))
    }

    /// Century, year, month, day, day of the week.
    fn date(&mut self) -> [u8; 5] {
        [
            cmos::CENTURY,
            cmos::YEAR,
            cmos::MONTH,
            cmos::DAY,
            cmos::WEEKDAY,
        ]
        .map(|place| self.get(place))
    }
}

/// "Time, Calendar and Alarm Locations": BCD, and the calendar with its leap year.
#[test]
fn the_clock_counts_through_the_leap_day() {
    let mut bench = Bench::new();
    assert_eq!(bench.time(), [0x23, 0x59, 0x58]);
    assert_eq!(bench.date(), [0x20, 0x24, 0x02, 0x28, 4]);
    bench.wait(SECOND);
    assert_eq!(bench.time(), [0x23, 0x59, 0x59]);
    bench.wait(SECOND);
    assert_eq!(bench.time(), [0x00, 0x00, 0x00]);
    assert_eq!(bench.date(), [0x20, 0x24, 0x02, 0x29, 5]);
    bench.wait(86_400 * SECOND);
    assert_eq!(bench.date(), [0x20, 0x24, 0x03, 0x01, 6]);
}

/// "Register B", DM and 24/12: the formats of what is written and counted from then on.
#[test]
fn the_clock_counts_in_the_format_register_b_asks_for() {
    for (b, hour, second, expected) in [
        (0x02, 0x11, 0x59, [0x12, 0x00, 0x00]),
        (0x06, 11, 59, [12, 0, 0]),
        (0x00, 0x11, 0x59, [0x92, 0x00, 0x00]),
        (0x04, 0x8b, 59, [12, 0, 0]),
        (0x04, 12, 59, [1, 0, 0]),
        (0x02, 0x19, 0x59, [0x20, 0x00, 0x00]),
    ] {
        let mut bench = Bench::new();
        bench.set(cmos::B, b | b::SET);
        bench.set(cmos::HOURS, hour);
        bench.set(cmos::MINUTES, second);
        bench.set(cmos::SECONDS, second);
        bench.set(cmos::B, b);
        bench.wait(SECOND);
        assert_eq!(bench.time(), expected, "register B {b:#x}");
    }
}

/// "Register B", SET: the time stands still while it is being written.
#[test]
fn set_stops_the_time_and_the_update_interrupt() {
    let mut bench = Bench::new();
    bench.set(cmos::B, b::SET | b::HOURS_24 | b::UPDATE_INTERRUPT);
    assert_eq!(bench.get(cmos::B), b::SET | b::HOURS_24);
    bench.set(cmos::YEAR, 0x99);
    bench.wait(10 * SECOND);
    assert_eq!(bench.time(), [0x23, 0x59, 0x58]);
    assert_eq!(bench.get(cmos::C), c::PERIODIC);
    bench.set(cmos::B, b::HOURS_24);
    bench.wait(SECOND);
    assert_eq!(bench.time(), [0x23, 0x59, 0x59]);
    assert_eq!(bench.get(cmos::YEAR), 0x99);
}

/// "Update Cycle": UIP warns before the registers change, and not while SET forbids it.
#[test]
fn update_in_progress_comes_before_the_update() {
    let mut bench = Bench::new();
    assert_eq!(bench.get(cmos::A), 0x26);
    bench.wait(SECOND - UPDATE_IN_PROGRESS_NS - 1);
    assert_eq!(bench.get(cmos::A), 0x26);
    bench.wait(1);
    assert_eq!(bench.get(cmos::A), 0xa6);
    bench.set(cmos::B, b::SET | b::HOURS_24);
    assert_eq!(bench.get(cmos::A), 0x26);
    bench.set(cmos::B, b::HOURS_24);
    bench.wait(UPDATE_IN_PROGRESS_NS);
    assert_eq!(bench.get(cmos::A), 0x26);
    bench.set(cmos::A, 0xa6);
    assert_eq!(bench.get(cmos::A), 0x26, "UIP cannot be written");
}

/// "Divider Control": a held divider stops the clock; half a second after its release it goes on.
#[test]
fn the_first_update_comes_half_a_second_after_the_divider_is_released() {
    let mut bench = Bench::new();
    bench.set(cmos::A, 0x76);
    bench.wait(5 * SECOND);
    assert_eq!(bench.time(), [0x23, 0x59, 0x58]);
    bench.set(cmos::A, 0x26);
    bench.wait(SECOND / 2 - 1);
    assert_eq!(bench.time(), [0x23, 0x59, 0x58]);
    bench.wait(1);
    assert_eq!(bench.time(), [0x23, 0x59, 0x59]);
}

/// "Update-Ended Interrupt", "Register C": reading C clears it and its line.
#[test]
fn the_update_interrupt_comes_every_second_until_read() {
    let mut bench = Bench::new();
    bench.set(cmos::A, 0x20);
    bench.set(cmos::B, b::HOURS_24 | b::UPDATE_INTERRUPT);
    assert_eq!(bench.rtc.next_deadline(), Some(GuestTime(SECOND)));
    bench.wait(SECOND - 1);
    assert!(!bench.rtc.irq());
    bench.wait(1);
    assert!(bench.rtc.irq());
    assert_eq!(bench.rtc.next_deadline(), Some(GuestTime(2 * SECOND)));
    assert_eq!(bench.get(cmos::C), 0x90);
    assert!(!bench.rtc.irq());
    assert_eq!(bench.get(cmos::C), 0x00);
}

/// "Periodic Interrupt Selection": the table of rates at 32.768 kHz.
#[test]
fn the_periodic_interrupt_has_the_rates_of_the_table() {
    for (rate, hz) in [(1, 256), (2, 128), (3, 8192), (6, 1024), (8, 256), (15, 2)] {
        let mut bench = Bench::new();
        bench.set(cmos::A, 0x20 | rate);
        bench.set(cmos::B, b::HOURS_24 | c::PERIODIC);
        let mut interrupts = 0;
        while let Some(deadline) = bench.rtc.next_deadline()
            && deadline <= GuestTime(SECOND)
        {
            bench.wait(deadline.0 - bench.now.0);
            assert_eq!(bench.get(cmos::C) & 0xc0, 0xc0);
            interrupts += 1;
        }
        assert_eq!(interrupts, hz, "rate {rate}");
    }
    let mut bench = Bench::new();
    bench.set(cmos::A, 0x20);
    bench.set(cmos::B, b::HOURS_24 | c::PERIODIC);
    assert_eq!(bench.rtc.next_deadline(), None, "rate 0 is none");
}

/// "Alarm Interrupt": exact, and with don't-care codes.
#[test]
fn the_alarm_comes_when_its_fields_match() {
    for (alarm, seconds) in [
        ([0x00, 0x00, 0x00], 2),
        ([0x23, 0x59, 0x59], 1),
        ([0x23, 0x59, 0x58], 86_400),
        ([0xff, 0xc0, 0x05], 7),
        ([0xff, 0x00, 0x00], 2),
        ([0xff, 0xff, 0xff], 1),
    ] {
        let mut bench = Bench::new();
        for (place, value) in [cmos::HOURS_ALARM, cmos::MINUTES_ALARM, cmos::SECONDS_ALARM]
            .into_iter()
            .zip(alarm)
        {
            bench.set(place, value);
        }
        bench.set(cmos::B, b::HOURS_24 | c::ALARM);
        let due = GuestTime(seconds * SECOND);
        assert_eq!(bench.rtc.next_deadline(), Some(due), "{alarm:x?}");
        bench.wait(due.0 - 1);
        assert!(!bench.rtc.irq(), "{alarm:x?}");
        bench.wait(1);
        assert_eq!(bench.get(cmos::C) & 0xa0, 0xa0, "{alarm:x?}");
    }
    let mut bench = Bench::new();
    bench.set(cmos::MINUTES_ALARM, 0x60);
    bench.set(cmos::B, b::HOURS_24 | c::ALARM);
    assert_eq!(bench.rtc.next_deadline(), None, "minute 60 never comes");
}

/// "Register D": valid RAM and time, and nothing to write.
#[test]
fn registers_c_and_d_are_for_reading() {
    let mut bench = Bench::new();
    bench.set(cmos::D, 0x00);
    bench.set(cmos::C, 0xff);
    assert_eq!((bench.get(cmos::D), bench.get(cmos::C)), (0x80, 0x00));
}

/// IBM PC AT Technical Reference, "CMOS RAM": the memory sizes and their checksum.
#[test]
fn the_cmos_tells_the_memory_size() {
    for (bytes, base, extended, above_16m) in [
        (512 << 10, 512, 0, 0),
        (MIB, 640, 0, 0),
        (2 * MIB, 640, 1024, 0),
        (64 * MIB, 640, 63 * 1024, 48 * 16),
        (128 * MIB, 640, 65_535, 112 * 16),
        (8192 * MIB, 640, 65_535, 4080 * 16),
        (u64::MAX, 640, 65_535, 4080 * 16),
    ] {
        let mut bench = Bench {
            rtc: Rtc::new(bytes, START),
            now: GuestTime(0),
        };
        let mut word = |low| u16::from_le_bytes([bench.get(low), bench.get(low + 1)]);
        assert_eq!(word(0x15), base, "{bytes:#x}");
        assert_eq!((word(0x17), word(0x30)), (extended, extended), "{bytes:#x}");
        assert_eq!(word(0x34), above_16m, "{bytes:#x}");
        let sum: u16 = (0x10..0x2e).map(|place| u16::from(bench.get(place))).sum();
        assert_eq!(u16::from_be_bytes([bench.get(0x2e), bench.get(0x2f)]), sum);
    }
}

#[test]
fn the_rest_of_the_cmos_is_memory() {
    let mut bench = Bench::new();
    for place in (0x0e..0x80).filter(|place| *place != cmos::CENTURY) {
        bench.set(place, 0xff - place as u8);
        assert_eq!(bench.get(place), 0xff - place as u8);
    }
    bench.rtc.select(0x80 | 0x40);
    assert_eq!(
        bench.rtc.read(|| GuestTime(0)),
        0xff - 0x40,
        "bit 7 is no address"
    );
}

proptest! {
    /// However rarely one looks, the clock shows the same.
    #[test]
    fn the_time_does_not_depend_on_how_often_one_looks(start in 0u64..8_000_000_000, looks in prop::collection::vec(0u64..400_000, 0..20)) {
        let mut often = Bench { rtc: Rtc::new(0, UnixTime(start)), now: GuestTime(0) };
        let mut once = Bench { rtc: Rtc::new(0, UnixTime(start)), now: GuestTime(0) };
        for seconds in &looks {
            often.wait(seconds * SECOND);
        }
        once.wait(looks.iter().sum::<u64>() * SECOND);
        prop_assert_eq!(often.time(), once.time());
        prop_assert_eq!(often.date(), once.date());
    }

    /// Garbage in the registers becomes a date with the next update.
    #[test]
    fn an_update_makes_a_date_of_anything(garbage: [u8; 10], b in 0u8..8, century: u8, seconds in 1u64..1 << 34) {
        let mut bench = Bench::new();
        for (place, value) in garbage.into_iter().enumerate() {
            bench.set(place, value);
        }
        bench.set(cmos::CENTURY, century);
        bench.set(cmos::B, b);
        bench.wait(seconds.saturating_mul(SECOND));
        let date = bench.rtc.load_date();
        bench.rtc.store_date(date);
        prop_assert_eq!(bench.rtc.load_date(), date);
        prop_assert!((1..=7).contains(&bench.get(cmos::WEEKDAY)));
    }
}
