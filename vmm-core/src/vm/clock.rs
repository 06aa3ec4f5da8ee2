//! A guest's time: ns since it started, from the TSC.

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

    /// Guest time now.
    #[inline]
    pub fn now(&self) -> GuestTime {
        GuestTime(self.tsc.ns(tsc::now().wrapping_sub(self.started)))
    }

    /// Ns from `now` to `deadline`; 0 if it has passed.
    pub fn until(now: GuestTime, deadline: GuestTime) -> u64 {
        deadline.0.saturating_sub(now.0)
    }
}
