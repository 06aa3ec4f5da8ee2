//! A guest's time: ns since it started, from the TSC, less what it was paused.

use crate::devices::GuestTime;
use crate::host::tsc::{self, Tsc};

/// The clock of one VM.
#[derive(Clone, Copy, Debug)]
pub struct GuestClock {
    tsc: Tsc,
    started: u64,
}

impl GuestClock {
    /// A clock that starts at 0 now.
    pub fn start(tsc: Tsc) -> Self {
        GuestClock {
            tsc,
            started: tsc::now(),
        }
    }

    /// The clock that it is made of.
    pub fn tsc(&self) -> Tsc {
        self.tsc
    }

    /// Guest time now.
    #[inline]
    pub fn now(&self) -> GuestTime {
        self.at(tsc::now())
    }

    /// Guest time when the TSC is `ticks`.
    #[inline]
    pub fn at(&self, ticks: u64) -> GuestTime {
        GuestTime(self.tsc.ns(ticks.wrapping_sub(self.started)))
    }

    /// Guest time once `ticks` of the TSC have passed from now, and not before.
    pub fn in_ticks(&self, ticks: u64) -> GuestTime {
        // A conversion may be short by what is left of its last nanosecond.
        self.now().after(self.tsc.ns(ticks)).after(1)
    }

    /// Leaves out the last `ticks` of the TSC: the VM was paused.
    pub fn leave_out(&mut self, ticks: u64) {
        self.started = self.started.wrapping_add(ticks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pause_takes_no_guest_time(before in 0u64..1 << 40, pauses in prop::collection::vec(0u64..1 << 40, 0..8)) {
            let mut clock = GuestClock {
                tsc: Tsc::new(1_000_000_000).unwrap(),
                started: 77,
            };
            let mut ticks = clock.started + before;
            let time = clock.at(ticks);
            for pause in pauses {
                ticks += pause;
                clock.leave_out(pause);
                prop_assert_eq!(clock.at(ticks), time);
            }
            prop_assert_eq!(clock.at(ticks + 5), GuestTime(time.0 + 5));
        }
    }
}
