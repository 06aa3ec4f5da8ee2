//! The time stamp counter: the VMM's clock.
//!
//! How fast it counts is measured once at boot, against the machine's other timers. After that,
//! ticks and nanoseconds become each other with one multiplication.

pub mod measure;

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::journal;

const NS: u64 = 1_000_000_000;

/// The TSC now.
#[inline]
pub fn now() -> u64 {
    // SAFETY: every CPU with long mode has RDTSC, and ring 0 may always use it.
    journal::tsc(|| unsafe { _rdtsc() })
}

/// When the VMM was entered.
static ENTERED: AtomicU64 = AtomicU64::new(0);

/// Notes that the VMM has just been entered.
pub(super) fn note_entry() {
    ENTERED.store(now(), Ordering::Relaxed);
}

/// Ticks since the VMM was entered.
pub fn since_entry() -> u64 {
    now().wrapping_sub(ENTERED.load(Ordering::Relaxed))
}

/// A TSC of known speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tsc {
    hz: u64,
    /// Nanoseconds in a tick, times 2^32.
    ns_per_tick: u64,
    /// Ticks in a nanosecond, times 2^32.
    ticks_per_ns: u64,
}

impl Tsc {
    /// A TSC that counts `hz` ticks a second; `None` below 1 MHz or above 1 THz.
    pub const fn new(hz: u64) -> Option<Self> {
        if hz < 1_000_000 || hz > 1_000_000_000_000 {
            return None;
        }
        let ns_per_tick = (NS << 32) / hz;
        let ticks_per_ns = (((hz as u128) << 32) / NS as u128) as u64;
        Some(Self {
            hz,
            ns_per_tick,
            ticks_per_ns,
        })
    }

    /// Ticks in a second.
    pub const fn hz(&self) -> u64 {
        self.hz
    }

    /// How long `ticks` last, in nanoseconds.
    #[inline]
    pub const fn ns(&self, ticks: u64) -> u64 {
        scale(ticks, self.ns_per_tick)
    }

    /// How many ticks `ns` nanoseconds last.
    #[inline]
    pub const fn ticks(&self, ns: u64) -> u64 {
        scale(ns, self.ticks_per_ns)
    }
}

/// `value * factor / 2^32`, at most the largest number there is.
#[inline]
const fn scale(value: u64, factor: u64) -> u64 {
    let product = (value as u128 * factor as u128) >> 32;
    if product > u64::MAX as u128 {
        u64::MAX
    } else {
        product as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ticks_and_nanoseconds_convert_both_ways(
            hz in 1_000_000u64..10_000_000_000,
            seconds in 0u64..100_000,
            rest in 0u64..NS,
        ) {
            let tsc = Tsc::new(hz).unwrap();
            let ns = seconds * NS + rest;
            let exact = (ns as u128 * hz as u128 / NS as u128) as u64;
            // The factor is cut off below 2^-32 ticks a nanosecond.
            prop_assert!(exact.abs_diff(tsc.ticks(ns)) <= (ns >> 32) + 1);
            let exact = (exact as u128 * NS as u128 / hz as u128) as u64;
            let ticks = (exact as u128 * hz as u128 / NS as u128) as u64;
            prop_assert!(exact.abs_diff(tsc.ns(ticks)) <= (ticks >> 32) + 2000);
        }
    }

    #[test]
    fn conversion_ends_at_the_largest_number() {
        let tsc = Tsc::new(3_000_000_000).unwrap();
        assert_eq!(tsc.ticks(u64::MAX), u64::MAX);
        assert_eq!(tsc.ns(3_000_000_000), NS - 1);
        assert_eq!(Tsc::new(0), None);
        assert_eq!(Tsc::new(u64::MAX), None);
    }
}
