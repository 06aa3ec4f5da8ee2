//! Section names are those of Intel's 8254 data sheet.

use super::*;
use proptest::prelude::*;

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

/// "Mode 0: Interrupt on Terminal Count".
#[test]
fn mode_0_rises_once_at_the_terminal_count() {
    let mut bench = Bench::counter_2(0, 4, true);
    assert_eq!(bench.wave(8), "____----");
    bench.count_2(2);
    assert_eq!(bench.wave(4), "__--", "a new count lowers OUT again");
    let mut bench = Bench::counter_2(0, 2, true);
    assert_eq!(bench.counts(5), [2, 1, 0, 0xffff, 0xfffe]);
}

/// "Mode 0": GATE = 0 holds the count; the first of two bytes stops it.
#[test]
fn mode_0_counts_while_the_gate_is_open() {
    let mut bench = Bench::counter_2(0, 5, true);
    bench.wait(2);
    bench.gate(false);
    assert_eq!(bench.counts(2), [3, 3]);
    bench.gate(true);
    assert_eq!(bench.wave(5), "___--");
    bench.write(0x42, 9);
    assert_eq!(bench.wave(3), "___", "the first byte lowers OUT");
    bench.write(0x42, 0);
    assert_eq!(bench.counts(2), [9, 8]);
}

/// "Mode 1: Hardware Retriggerable One-Shot".
#[test]
fn mode_1_is_one_pulse_for_each_trigger() {
    let mut bench = Bench::counter_2(1, 3, false);
    assert_eq!(bench.wave(3), "---");
    bench.gate(true);
    assert_eq!(bench.wave(5), "___--");
    bench.gate(false);
    bench.gate(true);
    assert_eq!(bench.wave(2), "__");
    bench.gate(false);
    bench.gate(true);
    assert_eq!(bench.wave(5), "___--", "retriggered");
    bench.count_2(2);
    assert_eq!(bench.wave(2), "--", "a new count waits for a trigger");
    bench.gate(false);
    bench.gate(true);
    assert_eq!(bench.wave(4), "__--");
}

/// "Mode 2: Rate Generator".
#[test]
fn mode_2_is_low_for_the_last_pulse_of_each_period() {
    let mut bench = Bench::counter_2(2, 3, true);
    assert_eq!(bench.wave(9), "--_--_--_");
    assert_eq!(bench.counts(4), [3, 2, 1, 3]);
}

/// "Mode 2": GATE = 0 stops it with OUT high, and its rise reloads; a new count enters with the
/// next period.
#[test]
fn mode_2_restarts_with_the_gate_and_changes_at_the_period() {
    let mut bench = Bench::counter_2(2, 4, true);
    bench.wait(3);
    assert!(!bench.out());
    bench.gate(false);
    assert_eq!(bench.wave(3), "---");
    bench.gate(true);
    assert_eq!(bench.counts(2), [4, 3]);
    bench.count_2(2);
    assert_eq!(bench.counts(5), [2, 1, 2, 1, 2]);
    bench.count_2(5);
    bench.gate(false);
    bench.gate(true);
    assert_eq!(bench.counts(2), [5, 4], "a trigger loads the new count");
}

/// "Mode 3: Square Wave Mode", even and odd counts.
#[test]
fn mode_3_is_a_square_wave() {
    let mut bench = Bench::counter_2(3, 4, true);
    assert_eq!(bench.wave(8), "--__--__");
    assert_eq!(bench.counts(4), [4, 2, 4, 2]);
    let mut bench = Bench::counter_2(3, 5, true);
    assert_eq!(bench.wave(10), "---__---__");
    assert_eq!(bench.counts(5), [4, 2, 0, 4, 2]);
}

/// "Mode 3": a new count enters at the end of the half cycle.
#[test]
fn mode_3_changes_at_the_half_cycle() {
    let mut bench = Bench::counter_2(3, 6, true);
    bench.wait(1);
    bench.count_2(4);
    assert_eq!(bench.wave(8), "--__--__");
    let mut bench = Bench::counter_2(3, 6, true);
    bench.wait(4);
    bench.count_2(2);
    assert_eq!(bench.wave(6), "__-_-_");
}

/// "Mode 4: Software Triggered Strobe".
#[test]
fn mode_4_strobes_once_after_the_count() {
    let mut bench = Bench::counter_2(4, 3, true);
    assert_eq!(bench.wave(7), "---_---");
    bench.count_2(2);
    bench.gate(false);
    assert_eq!(bench.wave(3), "---");
    bench.gate(true);
    assert_eq!(bench.wave(4), "--_-");
}

/// "Mode 5: Hardware Triggered Strobe (Retriggerable)".
#[test]
fn mode_5_strobes_after_a_trigger() {
    let mut bench = Bench::counter_2(5, 2, false);
    assert_eq!(bench.wave(4), "----");
    bench.gate(true);
    assert_eq!(bench.wave(4), "--_-");
}

/// "Control Word Format": modes 6 and 7 are 2 and 3.
#[test]
fn modes_6_and_7_are_2_and_3() {
    assert_eq!(Bench::counter_2(6, 3, true).wave(6), "--_--_");
    assert_eq!(Bench::counter_2(7, 4, true).wave(6), "--__--");
}

/// "Mode Definitions": OUT's level after the control word, before any count.
#[test]
fn the_control_word_sets_out_to_its_idle_level() {
    for mode in 0..6 {
        let mut bench = Bench::new();
        bench.write(0x61, 1);
        bench.write(0x43, 0xb0 | mode << 1);
        assert_eq!(bench.out(), mode != 0, "mode {mode}");
        bench.wait(100_000);
        assert_eq!(bench.out(), mode != 0, "mode {mode} waits for a count");
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
    let mut bench = Bench::counter_2(2, 1000, true);
    bench.wait(10);
    bench.write(0x43, 0x80);
    bench.wait(10);
    bench.write(0x43, 0x80);
    bench.wait(10);
    assert_eq!(
        u16::from_le_bytes([bench.read(0x42), bench.read(0x42)]),
        990
    );
    assert_eq!(
        u16::from_le_bytes([bench.read(0x42), bench.read(0x42)]),
        970
    );
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

proptest! {
    /// "Mode 2": within a period the count falls by one a tick.
    #[test]
    fn a_count_never_rises_within_a_period(mode in 2u8..4, count: u16, at in 0..1u64 << 40, step in 0..70_000u64) {
        let mut bench = Bench::counter_2(mode, count, true);
        let period = u64::from(if count == 0 { 0x1_0000 } else { u32::from(count).max(2) });
        // The value 0 stands for the largest count, except at the end of mode 3's odd cycles.
        let value = |raw: u16| if raw == 0 && count == 0 { 0x1_0000 } else { u32::from(raw) };
        let stretch = if mode == 2 { period } else { period / 2 };
        let offset = at % period;
        let start = if mode == 3 && offset >= period.div_ceil(2) { period.div_ceil(2) } else { 0 };
        bench.wait(at);
        let first = value(bench.latched_2());
        let room = (start + stretch - 1).saturating_sub(offset);
        bench.wait(step.min(room));
        prop_assert!(value(bench.latched_2()) <= first);
    }

    /// Edges found in one stride are those found tick by tick, whatever happens on the way.
    #[test]
    fn edges_do_not_depend_on_how_often_one_looks(
        mode in 0u8..6, first in 1u16..60, second in 1u16..60, change in 0u64..200, end in 1u64..400
    ) {
        let run = |stride: u64| {
            let mut bench = Bench::new();
            let mut seen = Vec::new();
            for (port, value) in [(0x43, 0x10 | mode << 1), (0x40, first as u8)] {
                bench.write(port, value);
            }
            let zero = bench.pit.edges();
            for tick in 1..=end {
                bench.wait(1);
                if tick == change {
                    bench.write(0x40, second as u8);
                }
                if tick % stride == 0 || tick == end {
                    let now = bench.now();
                    bench.pit.advance(now);
                    seen.push((tick, bench.pit.edges() - zero));
                }
            }
            seen.last().copied()
        };
        prop_assert_eq!(run(1), run(u64::MAX));
        prop_assert_eq!(run(1), run(7));
    }

    /// Whoever sleeps until the deadline misses no edge and never wakes in vain for long.
    #[test]
    fn the_deadline_is_the_next_edge(mode in 0u8..6, count in 50u16.., second in 50u16.., change in 0u64..300_000) {
        let mut bench = Bench::new();
        let [low, high] = count.to_le_bytes();
        for (port, value) in [(0x43, 0x30 | mode << 1), (0x40, low), (0x40, high)] {
            bench.write(port, value);
        }
        bench.wait(change);
        let [low, high] = second.to_le_bytes();
        bench.write(0x40, low);
        bench.write(0x40, high);
        bench.pit.take_edges();
        let mut wakes = 0;
        while let Some(deadline) = bench.pit.next_deadline() {
            let mut early = bench.pit.clone();
            early.advance(GuestTime(deadline.0 - 1));
            prop_assert_eq!(early.take_edges(), 0, "an edge before the deadline");
            bench.pit.advance(deadline);
            wakes += 1;
            if bench.pit.take_edges() > 0 {
                break;
            }
            prop_assert!(wakes < 3, "a deadline without an edge");
        }
    }
}
