//! The local APIC's timer: one-shot and periodic by its own counter, or once at a value of the TSC
//! (APM 16.4.1; the TSC-deadline mode is described in Intel's manual, volume 3, "Local APIC Timer").

use crate::devices::GuestTime;

/// What the timer does, from LVT bits 18:17.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    OneShot,
    Periodic,
    TscDeadline,
    /// Both bits: it does not run.
    Reserved,
}

impl Mode {
    pub const fn of(lvt: u32) -> Mode {
        match lvt >> 17 & 3 {
            0 => Mode::OneShot,
            1 => Mode::Periodic,
            2 => Mode::TscDeadline,
            _ => Mode::Reserved,
        }
    }
}

/// The timer. Its clock, before it is divided, ticks once a nanosecond.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    mode: Mode,
    /// The divide configuration register.
    divide: u32,
    initial: u32,
    /// When the count was `initial` last; with another divisor since, when it would have been.
    started: GuestTime,
    /// Whether the counter runs.
    counts: bool,
    /// The deadline: a value of the guest's TSC, 0 if none, and when that will be.
    deadline: (u64, GuestTime),
}

impl Timer {
    pub const fn new() -> Timer {
        Timer {
            mode: Mode::OneShot,
            divide: 0,
            initial: 0,
            started: GuestTime(0),
            counts: false,
            deadline: (0, GuestTime::MAX),
        }
    }

    /// Nanoseconds of a count, by bits 3, 1 and 0 of the divide configuration.
    fn divisor(&self) -> u64 {
        match self.divide >> 1 & 4 | self.divide & 3 {
            7 => 1,
            bits => 2 << bits,
        }
    }

    fn period(&self) -> u64 {
        u64::from(self.initial) * self.divisor()
    }

    /// A change from or to TSC-deadline mode disarms.
    pub fn set_mode(&mut self, mode: Mode) {
        let by_tsc = |mode| mode == Mode::TscDeadline;
        if by_tsc(mode) != by_tsc(self.mode) || mode == Mode::Reserved {
            self.counts = false;
            self.deadline = (0, GuestTime::MAX);
        }
        self.mode = mode;
    }

    pub const fn divide(&self) -> u32 {
        self.divide
    }

    /// Counts on from where it is, at the new rate.
    pub fn set_divide(&mut self, value: u32, now: GuestTime) {
        let counted = self.elapsed(now) / self.divisor();
        self.divide = value & 0b1011;
        if self.counts {
            self.started = GuestTime(now.0.saturating_sub(counted.saturating_mul(self.divisor())));
        }
    }

    pub const fn initial(&self) -> u32 {
        self.initial
    }

    /// Starts to count down from `value`; 0 stops it. In TSC-deadline mode it is ignored.
    pub fn set_initial(&mut self, value: u32, now: GuestTime) {
        if matches!(self.mode, Mode::OneShot | Mode::Periodic) {
            self.initial = value;
            self.started = now;
            self.counts = value != 0;
        }
    }

    /// Nanoseconds since the counter was last at its initial count.
    fn elapsed(&self, now: GuestTime) -> u64 {
        now.0.saturating_sub(self.started.0)
    }

    /// The current count.
    pub fn current(&self, now: GuestTime) -> u32 {
        if !self.counts {
            return 0;
        }
        let counted = self.elapsed(now) / self.divisor();
        let initial = u64::from(self.initial);
        let left = match self.mode {
            Mode::Periodic => initial - counted % initial.max(1),
            _ => initial.saturating_sub(counted),
        };
        left as u32
    }

    /// The TSC value that it waits for; 0 if none.
    pub const fn deadline(&self) -> u64 {
        self.deadline.0
    }

    /// Waits for a TSC of `value`, which will be at `due`; 0 disarms. Ignored in other modes.
    pub fn set_deadline(&mut self, value: u64, due: GuestTime) {
        if self.mode == Mode::TscDeadline {
            self.deadline = (value, if value == 0 { GuestTime::MAX } else { due });
        }
    }

    /// When it expires next.
    pub fn due(&self) -> GuestTime {
        if self.mode == Mode::TscDeadline {
            self.deadline.1
        } else if self.counts {
            self.started.after(self.period())
        } else {
            GuestTime::MAX
        }
    }

    /// Moves on to `now`; true if it has expired, however often.
    pub fn advance(&mut self, now: GuestTime) -> bool {
        if now < self.due() || self.due() == GuestTime::MAX {
            return false;
        }
        match self.mode {
            Mode::TscDeadline => self.deadline = (0, GuestTime::MAX),
            Mode::Periodic => {
                let past = self.elapsed(now) % self.period().max(1);
                self.started = GuestTime(now.0 - past);
            }
            Mode::OneShot | Mode::Reserved => self.counts = false,
        }
        true
    }
}
