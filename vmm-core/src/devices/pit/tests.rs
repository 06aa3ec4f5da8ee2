//! Section names are those of Intel's 8254 data sheet.

use super::*;

mod laws;
mod modes;

/// A PIT and a clock in its own ticks.
struct Bench {
    pit: Pit,
    tick: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            pit: Pit::new(),
            tick: 1000,
        }
    }

    fn now(&self) -> GuestTime {
        GuestTime::of_tick(self.tick, PIT_HZ)
    }

    fn write(&mut self, port: u16, value: u8) {
        let now = self.now();
        self.pit.write(port, value, now);
    }

    fn read(&mut self, port: u16) -> u8 {
        let now = self.now();
        self.pit.read(port, now)
    }

    fn wait(&mut self, ticks: u64) {
        self.tick += ticks;
    }

    /// Counter 2 in `mode` with both bytes of `count`, and the gate as told.
    fn counter_2(mode: u8, count: u16, gate: bool) -> Self {
        let mut bench = Self::new();
        bench.write(0x61, u8::from(gate));
        bench.write(0x43, 0xb0 | mode << 1);
        bench.count_2(count);
        bench
    }

    fn count_2(&mut self, count: u16) {
        let [low, high] = count.to_le_bytes();
        self.write(0x42, low);
        self.write(0x42, high);
    }

    fn gate(&mut self, gate: bool) {
        self.write(0x61, u8::from(gate));
    }

    fn out(&mut self) -> bool {
        self.read(0x61) & port_b::OUTPUT != 0
    }

    /// OUT over the next `ticks` CLK pulses, the present one first, as text.
    fn wave(&mut self, ticks: usize) -> String {
        (0..ticks)
            .map(|_| {
                let level = if self.out() { '-' } else { '_' };
                self.wait(1);
                level
            })
            .collect()
    }

    fn latched_2(&mut self) -> u16 {
        self.write(0x43, 0x80);
        u16::from_le_bytes([self.read(0x42), self.read(0x42)])
    }

    /// The count over the next `ticks` CLK pulses, the present one first.
    fn counts(&mut self, ticks: usize) -> Vec<u16> {
        (0..ticks)
            .map(|_| {
                let count = self.latched_2();
                self.wait(1);
                count
            })
            .collect()
    }

    fn status(&mut self, counter: u8) -> u8 {
        self.write(0x43, 0xe0 | 2 << counter);
        self.read(0x40 + u16::from(counter))
    }
}

/// "Write Operations": one byte or two, by the RW bits.
#[test]
fn counts_are_written_and_read_as_the_control_word_says() {
    for (control, bytes, count) in [
        (0x90, &[0x12][..], 0x12),
        (0xa0, &[0x12], 0x1200),
        (0xb0, &[0x34, 0x12], 0x1234),
    ] {
        let mut bench = Bench::new();
        bench.write(0x43, control);
        for byte in bytes {
            bench.write(0x42, *byte);
        }
        let [low, high] = u16::to_le_bytes(count);
        match control {
            0x90 => assert_eq!((bench.read(0x42), bench.read(0x42)), (low, low)),
            0xa0 => assert_eq!((bench.read(0x42), bench.read(0x42)), (high, high)),
            _ => assert_eq!((bench.read(0x42), bench.read(0x42)), (low, high)),
        }
    }
}

/// "Counter Latch Command": holds until it is read, and a second one is ignored.
#[test]
fn a_latched_count_holds_until_it_is_read() {
    // The two counts differ in both bytes.
    let mut bench = Bench::counter_2(2, 0x210, true);
    let read = |bench: &mut Bench| u16::from_le_bytes([bench.read(0x42), bench.read(0x42)]);
    bench.wait(0x0a);
    bench.write(0x43, 0x80);
    bench.wait(0x0a);
    bench.write(0x43, 0x80);
    bench.wait(0x0a);
    assert_eq!(read(&mut bench), 0x206);
    assert_eq!(read(&mut bench), 0x1f2);
}

/// "Read-Back Command": status comes before the count, for all counters that are named.
#[test]
fn read_back_latches_status_and_count_of_several_counters() {
    let mut bench = Bench::counter_2(2, 1000, true);
    bench.write(0x43, 0x34);
    bench.write(0x40, 100);
    bench.write(0x40, 0);
    bench.wait(1);
    bench.write(0x43, 0xca);
    bench.wait(5);
    assert_eq!(bench.read(0x40), 0xb4);
    assert_eq!(u16::from_le_bytes([bench.read(0x40), bench.read(0x40)]), 99);
    assert_eq!(bench.read(0x42), 0xb4);
    assert_eq!(
        u16::from_le_bytes([bench.read(0x42), bench.read(0x42)]),
        999
    );
    assert_eq!(bench.read(0x43), 0xff, "the control word cannot be read");
}

/// "Read-Back Command", null count: a count that is written but not yet in the element.
#[test]
fn the_null_count_bit_tells_that_a_count_waits() {
    let mut bench = Bench::new();
    bench.write(0x61, 1);
    bench.write(0x43, 0xb4);
    assert_eq!(bench.status(2), 0xf4);
    bench.count_2(10);
    assert_eq!(bench.status(2), 0xb4);
    bench.count_2(20);
    assert_eq!(bench.status(2), 0xf4);
    bench.wait(10);
    assert_eq!(bench.status(2), 0xb4);
}

/// "Binary or BCD": four decimal digits, 0 is 10000.
#[test]
fn bcd_counts_in_decimal() {
    let mut bench = Bench::new();
    bench.write(0x61, 1);
    bench.write(0x43, 0xb1);
    bench.count_2(0x0101);
    assert_eq!(bench.counts(3), [0x0101, 0x0100, 0x0099]);
    bench.count_2(0);
    assert_eq!(bench.counts(2), [0x0000, 0x9999]);
    bench.wait(9997);
    assert!(!bench.out());
    bench.wait(1);
    assert!(bench.out());
}

/// "Programming the 8254": a count of 0 is the largest.
#[test]
fn a_count_of_0_is_65536() {
    let mut bench = Bench::counter_2(0, 0, true);
    bench.wait(0xffff);
    assert_eq!(bench.latched_2(), 1);
    assert!(!bench.out());
    bench.wait(1);
    assert!(bench.out());
}

/// IBM PC AT Technical Reference, "System Board I/O", port 61h.
#[test]
fn port_61_stores_its_low_bits_and_shows_the_refresh() {
    let mut bench = Bench::new();
    bench.write(0x61, 0xfe);
    assert_eq!(bench.read(0x61) & 0xcf, 0x0e);
    let first = bench.read(0x61) & port_b::REFRESH;
    bench.wait(REFRESH_TICKS);
    assert_ne!(bench.read(0x61) & port_b::REFRESH, first);
}

#[test]
fn line_0_keeps_a_tick_until_the_next_one() {
    let mut bench = Bench::new();
    for (port, value) in [(0x43, 0x36), (0x40, 100), (0x40, 0)] {
        bench.write(port, value);
    }
    bench.pit.take_edges();
    for ticks in [0, 49, 1, 49] {
        bench.wait(ticks);
        let now = bench.now();
        bench.pit.advance(now);
        assert!(bench.pit.irq());
        assert_eq!(bench.pit.take_edges(), 0);
    }
    bench.wait(1);
    let now = bench.now();
    bench.pit.advance(now);
    assert_eq!(bench.pit.take_edges(), 1);
}

#[test]
fn ticks_that_nobody_saw_are_counted() {
    let mut bench = Bench::new();
    for (port, value) in [(0x43, 0x34), (0x40, 100), (0x40, 0)] {
        bench.write(port, value);
    }
    let before = bench.pit.edges();
    bench.pit.take_edges();
    bench.wait(1234);
    let now = bench.now();
    bench.pit.advance(now);
    assert_eq!(bench.pit.take_edges(), 12);
    assert_eq!(bench.pit.edges() - before, 12);
}

#[test]
fn a_one_shot_has_one_deadline() {
    for (control, late) in [(0x30, 0), (0x38, 1)] {
        let mut bench = Bench::new();
        for (port, value) in [(0x43, control), (0x40, 100), (0x40, 0)] {
            bench.write(port, value);
        }
        bench.pit.take_edges();
        let due = GuestTime::of_tick(bench.tick + 100 + late, PIT_HZ);
        assert_eq!(bench.pit.next_deadline(), Some(due));
        bench.pit.advance(due);
        assert_eq!(bench.pit.take_edges(), 1);
        assert!(bench.pit.irq());
        assert_eq!(bench.pit.next_deadline(), None);
    }
}

#[test]
fn the_fastest_timer_leaves_time_to_live() {
    let mut bench = Bench::new();
    for (port, value) in [(0x43, 0x14), (0x40, 2)] {
        bench.write(port, value);
    }
    bench.wait(2);
    let now = bench.now();
    bench.pit.advance(now);
    assert!(bench.pit.take_edges() > 0);
    let deadline = bench.pit.next_deadline();
    assert!(
        deadline >= Some(now.after(SHORTEST_PERIOD_NS)),
        "{deadline:?}"
    );
}

#[test]
fn time_that_runs_backwards_stands_still() {
    let mut bench = Bench::counter_2(0, 100, true);
    bench.wait(40);
    assert_eq!(bench.latched_2(), 60);
    bench.tick -= 20;
    assert_eq!(bench.latched_2(), 60);
    bench.tick = 0;
    assert_eq!(bench.latched_2(), 60);
}
