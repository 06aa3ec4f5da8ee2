//! The two clocks of the virtual devices: time that the guest has lived, and the date outside.
//!
//! Devices count in ticks of their own crystals; the conversions here are exact to the tick in
//! both directions, so that a deadline is the first nanosecond at which the tick is there.

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// Guest time in nanoseconds since the VM started. It does not run while the VM is paused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct GuestTime(pub u64);

impl GuestTime {
    /// The end of time: no deadline lies beyond it.
    pub const MAX: Self = Self(u64::MAX);

    /// Whole ticks of a clock of `hz`, at most 1 GHz, that have passed.
    pub const fn ticks(self, hz: u32) -> u64 {
        let hz = hz as u64;
        self.0 / SECOND * hz + self.0 % SECOND * hz / SECOND
    }

    /// The first instant at which [`ticks`](Self::ticks) reaches `tick`; [`MAX`](Self::MAX) if it
    /// never does. `hz` must not be 0.
    pub const fn of_tick(tick: u64, hz: u32) -> Self {
        let hz = hz as u64;
        let seconds = (tick / hz).saturating_mul(SECOND);
        Self(seconds.saturating_add((tick % hz * SECOND).div_ceil(hz)))
    }

    /// The instant `ns` nanoseconds later, or the end of time.
    pub const fn after(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

/// A date: seconds since 1970-01-01 00:00:00, in the time zone that the guest's clock keeps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct UnixTime(pub u64);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_instant_of_a_tick_is_the_first_that_has_it(tick in 0..1u64 << 44, hz in 1u32..2_000_000) {
            let at = GuestTime::of_tick(tick, hz);
            prop_assume!(at < GuestTime::MAX);
            prop_assert_eq!(at.ticks(hz), tick);
            if at.0 > 0 {
                prop_assert!(GuestTime(at.0 - 1).ticks(hz) < tick);
            }
        }

        #[test]
        fn ticks_never_run_backwards(a: u64, b: u64, hz in 1..=1_000_000_000u32) {
            let (early, late) = (GuestTime(a.min(b)), GuestTime(a.max(b)));
            prop_assert!(early.ticks(hz) <= late.ticks(hz));
        }
    }
}
