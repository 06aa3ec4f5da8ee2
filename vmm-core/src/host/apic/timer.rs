//! The local APIC's timer as a one-shot timer (APM volume 2, 16.4.1): for machines whose 8254 is
//! gone.
//!
//! How fast it counts nobody says; it is measured against the TSC once. Old processors stop it
//! when they sleep deeply, but the VMM sleeps by HLT alone.

use super::local::LocalApic;
use crate::host::registers::Registers;
use crate::host::tsc::Tsc;
use crate::host::tsc::measure::{LOOKS, pause};

/// How long a measurement takes.
const SPAN_NS: u64 = 5_000_000;

/// The timer; it interrupts by [`TIMER_VECTOR`](super::TIMER_VECTOR).
#[derive(Debug)]
pub struct ApicTimer<R> {
    local: LocalApic<R>,
    /// Its ticks in a nanosecond, times 2^32.
    ticks_per_ns: u64,
}

impl<R: Registers> ApicTimer<R> {
    /// Measures the timer of `local` by `now`, which counts as `tsc` says. `None` when the timer
    /// does not count.
    pub fn new(mut local: LocalApic<R>, tsc: &Tsc, now: impl Fn() -> u64) -> Option<Self> {
        local.open_timer();
        local.start_timer(u32::MAX);
        let started = now();
        let passed = || tsc.ns(now().wrapping_sub(started));
        let is_over = (0..LOOKS).any(|_| {
            pause();
            passed() >= SPAN_NS
        });
        let ticks = u32::MAX - local.timer_left();
        let ns = passed();
        local.start_timer(0);
        let ticks_per_ns = (u64::from(ticks) << 32) / ns.max(1);
        (is_over && ticks_per_ns > 0).then_some(Self {
            local,
            ticks_per_ns,
        })
    }

    /// Interrupts once, `ns` nanoseconds from now or a little earlier, or when the counter can
    /// count no further. Replaces what was armed before.
    pub fn arm(&mut self, ns: u64) {
        let ticks = (u128::from(ns) * u128::from(self.ticks_per_ns)) >> 32;
        let count = u32::try_from(ticks).unwrap_or(u32::MAX);
        // A count of 0 would stop it.
        self.local.start_timer(count.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::rc::Rc;

    const TSC_HZ: u64 = 3_000_000_000;

    /// A local APIC whose timer counts down `hz` times a second from when it was started.
    struct Counting {
        hz: u64,
        ns: Rc<Cell<u64>>,
        started: u64,
        count: u32,
    }

    impl Registers for Counting {
        fn read(&mut self, offset: u32) -> u32 {
            assert_eq!(offset, 0x390);
            let passed = u128::from(self.ns.get() - self.started);
            let ticks = passed * u128::from(self.hz) / 1_000_000_000;
            self.count.saturating_sub(ticks as u32)
        }
        fn write(&mut self, offset: u32, value: u32) {
            if offset == 0x380 {
                (self.started, self.count) = (self.ns.get(), value);
            }
        }
    }

    fn timer(hz: u64) -> Option<ApicTimer<Counting>> {
        let ns = Rc::new(Cell::new(0));
        let clock = ns.clone();
        let now = move || {
            clock.set(clock.get() + 700);
            clock.get() * (TSC_HZ / 1_000_000_000)
        };
        let apic = Counting {
            hz,
            ns,
            started: 0,
            count: 0,
        };
        ApicTimer::new(LocalApic::new(apic), &Tsc::new(TSC_HZ).unwrap(), now)
    }

    #[test]
    fn a_timer_that_stands_still_is_none() {
        assert!(timer(0).is_none());
    }

    #[test]
    fn the_longest_time_is_the_counters_and_the_shortest_a_tick() {
        let mut timer = timer(100_000_000).unwrap();
        timer.arm(u64::MAX);
        assert_eq!(timer.local.registers().count, u32::MAX);
        timer.arm(0);
        assert_eq!(timer.local.registers().count, 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_measured_timer_is_armed_to_a_thousandth(mhz in 10u64..400, us in 100u64..100_000) {
            let mut timer = timer(mhz * 1_000_000).unwrap();
            timer.arm(us * 1000);
            let (count, right) = (u64::from(timer.local.registers().count), us * mhz);
            prop_assert!(count.abs_diff(right) <= right / 1000 + 1, "{count} instead of {right}");
        }
    }
}
