//! The interval timer (8254) as a one-shot timer: its channel 0, counting down once.
//!
//! Follows the Intel 8254 data sheet, mode 0.

use crate::host::ports::Ports;

/// Ticks of the PIT in a second.
pub const PIT_HZ: u64 = 1_193_182;
/// The longest time the timer can be set to, in nanoseconds: some 54.9 ms.
pub const MAX_NS: u64 = MAX_TICKS * 1_000_000_000 / PIT_HZ;

const MAX_TICKS: u64 = 0xFFFF;
/// PIT ticks in a nanosecond, times 2^32.
const TICKS_PER_NS: u64 = (PIT_HZ << 32) / 1_000_000_000;

const CONTROL: u16 = 0x43;
const CHANNEL_0: u16 = 0x40;
/// Channel 0, low byte then high byte, mode 0: raise the line when the count runs out.
const ONE_SHOT: u8 = 0x30;

/// The timer behind a set of ports; its line is [`TIMER`](crate::host::irq::TIMER).
#[derive(Debug)]
pub struct Pit<P> {
    ports: P,
}

impl<P: Ports> Pit<P> {
    /// The timer behind `ports`, in whatever state it is.
    pub const fn new(ports: P) -> Self {
        Self { ports }
    }

    /// Interrupts once, `ns` nanoseconds from now or a little earlier, and no later than after
    /// [`MAX_NS`]: whoever is woken looks at the clock. Replaces what was armed before.
    #[inline]
    pub fn arm(&mut self, ns: u64) {
        let [low, high] = count(ns).to_le_bytes();
        self.ports.write_u8(CONTROL, ONE_SHOT);
        self.ports.write_u8(CHANNEL_0, low);
        self.ports.write_u8(CHANNEL_0, high);
    }

    /// Stops the count: with the mode set and no count written, the channel waits.
    ///
    /// QUIRK: QEMU 7.2 lets a running count end, so the interrupt may come all the same.
    #[inline]
    pub fn disarm(&mut self) {
        self.ports.write_u8(CONTROL, ONE_SHOT);
    }
}

/// The count for `ns` nanoseconds: at least one tick, since a count of 0 means 65536.
#[inline]
const fn count(ns: u64) -> u16 {
    let ns = if ns > MAX_NS { MAX_NS } else { ns };
    match ((ns * TICKS_PER_NS) >> 32) as u16 {
        0 => 1,
        ticks => ticks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ports::paper::Nothing;
    use proptest::prelude::*;

    #[test]
    fn a_count_is_never_zero_and_never_too_long() {
        assert_eq!(count(0), 1);
        assert_eq!(count(1_000_000), 1193);
        assert_eq!(count(MAX_NS), 0xFFFE);
        assert_eq!(count(u64::MAX), count(MAX_NS));
    }

    #[test]
    fn arming_writes_mode_and_count() {
        let mut timer = Pit::new(Nothing::default());
        timer.arm(10_000_000);
        assert_eq!(timer.ports.0, [(0x43, 0x30), (0x40, 0x9B), (0x40, 0x2E)]);
        timer.disarm();
        assert_eq!(timer.ports.0[3..], [(0x43, 0x30)]);
    }

    proptest! {
        #[test]
        fn the_timer_is_at_most_a_tick_early_and_never_late(ns in 839u64..MAX_NS) {
            let shown = u64::from(count(ns)) * 1_000_000_000 / PIT_HZ;
            prop_assert!(shown <= ns && ns - shown <= 850, "{shown} for {ns}");
        }
    }
}
