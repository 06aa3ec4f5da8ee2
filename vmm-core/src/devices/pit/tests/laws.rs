//! What holds for any count and any time.

use super::*;
use proptest::prelude::*;

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
            if deadline > bench.now().after(SHORTEST_PERIOD_NS) {
                let mut early = bench.pit.clone();
                early.advance(GuestTime(deadline.0 - 1));
                prop_assert_eq!(early.take_edges(), 0, "an edge before the deadline");
            }
            bench.pit.advance(deadline);
            wakes += 1;
            if bench.pit.take_edges() > 0 {
                break;
            }
            prop_assert!(wakes < 3, "a deadline without an edge");
        }
    }
}
