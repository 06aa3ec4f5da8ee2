//! The time stamp counter: the VMM's clock.
//!
//! How fast it counts is measured against PIT channel 2 once at boot, and against the
//! power-management timer where there is one. After that, ticks and
//! nanoseconds become each other with one multiplication.

use core::arch::x86_64::_rdtsc;
use core::hint::black_box;

use super::acpi::fadt::PmTimer;
use super::ports::Ports;
use super::timer::PIT_HZ;

const NS: u64 = 1_000_000_000;

/// The TSC now.
#[inline]
pub fn now() -> u64 {
    // SAFETY: every CPU with long mode has RDTSC, and ring 0 may always use it.
    unsafe { _rdtsc() }
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

const CONTROL: u16 = 0x43;
const CHANNEL_2: u16 = 0x42;
/// Bit 0 is channel 2's gate, bit 1 the loudspeaker.
const SYSTEM_CONTROL_B: u16 = 0x61;
/// Channel 2, low byte then high byte, mode 0: count down once.
const COUNT_DOWN: u8 = 0xB0;
const LATCH: u8 = 0x80;

/// PIT ticks that a measurement takes: 5 ms, of the 54 ms that the counter can count.
const SPAN: u16 = 5966;
const TRIES: usize = 5;
const SAMPLES: usize = 4;
/// Looks at the counter before it counts as broken, and what to do in between: on an emulator
/// a look costs thousands of instructions, and in its instruction-counting mode time only
/// passes with instructions.
const LOOKS: u32 = 20_000;
const PAUSE: u32 = 2_000;

/// Measures how many ticks `now` counts in a second: the median of a few tries, so that an
/// interruption by the machine's firmware or an emulator's host does not matter. `None` when
/// the PIT does not count.
pub fn measure(ports: &mut impl Ports, now: impl Fn() -> u64) -> Option<u64> {
    let mut found = [0; TRIES];
    for hz in &mut found {
        *hz = measure_once(ports, &now)?;
    }
    found.sort_unstable();
    Some(found[TRIES / 2])
}

fn measure_once(ports: &mut impl Ports, now: &impl Fn() -> u64) -> Option<u64> {
    let gate = ports.read_u8(SYSTEM_CONTROL_B) & !3 | 1;
    ports.write_u8(SYSTEM_CONTROL_B, gate);
    ports.write_u8(CONTROL, COUNT_DOWN);
    ports.write_u8(CHANNEL_2, 0xFF);
    ports.write_u8(CHANNEL_2, 0xFF);
    let start = sample(ports, now);
    for _ in 0..LOOKS {
        if start.count.wrapping_sub(count(ports)) >= SPAN {
            let end = sample(ports, now);
            let pit_ticks = u64::from(start.count.wrapping_sub(end.count)).max(1);
            return Some(end.tsc.wrapping_sub(start.tsc).saturating_mul(PIT_HZ) / pit_ticks);
        }
        for turn in 0..PAUSE {
            black_box(turn);
        }
    }
    None
}

/// Ticks of the power-management timer in a second (ACPI 6.5, 4.8.3.3).
const PM_HZ: u64 = 3_579_545;
/// Its ticks that a measurement takes: 5 ms.
const PM_SPAN: u32 = 17_898;

/// As [`measure`], against the power-management timer.
pub fn measure_by_pm(ports: &mut impl Ports, timer: PmTimer, now: impl Fn() -> u64) -> Option<u64> {
    let mut found = [0; TRIES];
    for hz in &mut found {
        let mut look = || {
            let before = now();
            let count = ports.read_u32(timer.port);
            (before.wrapping_add(now().wrapping_sub(before) / 2), count)
        };
        let start = look();
        let passed = |count: u32| count.wrapping_sub(start.1) & timer.mask;
        let end = (0..LOOKS).find_map(|_| {
            for turn in 0..PAUSE {
                black_box(turn);
            }
            Some(look()).filter(|(_, count)| passed(*count) >= PM_SPAN)
        })?;
        let ticks = end.0.wrapping_sub(start.0);
        *hz = ticks.saturating_mul(PM_HZ) / u64::from(passed(end.1)).max(1);
    }
    found.sort_unstable();
    Some(found[TRIES / 2])
}

/// The speed that two measurements come to. The interval timer's counts, unless it is more than
/// a hundredth away from the power-management timer's: chipsets imitate the former.
pub const fn agree(by_pit: u64, by_pm: Option<u64>) -> u64 {
    match by_pm {
        Some(by_pm) if by_pit.abs_diff(by_pm) > by_pm / 100 => by_pm,
        _ => by_pit,
    }
}

/// Both counters at the same moment.
struct Sample {
    tsc: u64,
    count: u16,
}

/// Reads both counters, as close together as a few attempts manage.
fn sample(ports: &mut impl Ports, now: &impl Fn() -> u64) -> Sample {
    let mut best = Sample { tsc: 0, count: 0 };
    let mut narrowest = u64::MAX;
    for _ in 0..SAMPLES {
        let before = now();
        ports.write_u8(CONTROL, LATCH);
        let width = now().wrapping_sub(before);
        let count = latched(ports);
        if width < narrowest {
            narrowest = width;
            best = Sample {
                tsc: before.wrapping_add(width / 2),
                count,
            };
        }
    }
    best
}

/// Channel 2's counter.
fn count(ports: &mut impl Ports) -> u16 {
    ports.write_u8(CONTROL, LATCH);
    latched(ports)
}

fn latched(ports: &mut impl Ports) -> u16 {
    u16::from_le_bytes([ports.read_u8(CHANNEL_2), ports.read_u8(CHANNEL_2)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ports::paper::{Chip, Nothing};
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::rc::Rc;

    /// A PIT on a machine where every access takes 700 ns, and one in a thousand 30 ms.
    struct Pit {
        ns: Rc<Cell<u64>>,
        accesses: u64,
        started: u64,
        latched: [u8; 2],
    }

    impl Pit {
        fn pass(&mut self) {
            self.accesses += 1;
            let hiccup = self.accesses.is_multiple_of(5_003);
            self.ns
                .set(self.ns.get() + if hiccup { 30_000_000 } else { 700 });
        }
    }

    impl Chip for Pit {
        fn read(&mut self, _: u16) -> u8 {
            self.pass();
            self.latched.swap(0, 1);
            self.latched[1]
        }
        fn write(&mut self, port: u16, value: u8) {
            self.pass();
            if (port, value) == (CONTROL, LATCH) {
                let ticks = (self.ns.get() - self.started) as u128 * PIT_HZ as u128 / NS as u128;
                self.latched = 0xFFFF_u16.wrapping_sub(ticks as u16).to_le_bytes();
            } else {
                self.started = self.ns.get();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_measured_speed_is_right_to_a_thousandth(khz in 1_000u64..5_000_000, offset: u64) {
            let ns = Rc::new(Cell::new(0));
            let hz = khz * 1000;
            let mut pit = Pit { ns: ns.clone(), accesses: 0, started: 0, latched: [0; 2] };
            let now = || offset.wrapping_add((ns.get() as u128 * hz as u128 / NS as u128) as u64);
            let measured = measure(&mut pit, now).unwrap();
            prop_assert!(measured.abs_diff(hz) <= hz / 1000, "{measured} instead of {hz}");
        }
    }

    #[test]
    fn a_missing_timer_is_noticed() {
        assert_eq!(measure(&mut Nothing::default(), || 0), None);
        let timer = PmTimer {
            port: 0x608,
            mask: 0xFF_FFFF,
        };
        assert_eq!(measure_by_pm(&mut Nothing::default(), timer, || 0), None);
    }

    #[test]
    fn two_measurements_are_weighed() {
        assert_eq!(agree(1000, Some(1009)), 1000);
        assert_eq!(agree(1000, Some(1200)), 1200);
        assert_eq!(agree(1000, None), 1000);
    }

    /// A power-management timer on a machine where every access takes 700 ns.
    struct Pm {
        ns: Rc<Cell<u64>>,
        mask: u32,
        first: u32,
    }

    impl Ports for Pm {
        fn read_u8(&mut self, _: u16) -> u8 {
            unreachable!("it has 32 bits")
        }
        fn read_u16(&mut self, _: u16) -> u16 {
            unreachable!("it has 32 bits")
        }
        fn read_u32(&mut self, port: u16) -> u32 {
            assert_eq!(port, 0x608);
            self.ns.set(self.ns.get() + 700);
            let ticks = (self.ns.get() as u128 * PM_HZ as u128 / NS as u128) as u32;
            self.first.wrapping_add(ticks) & self.mask
        }
        fn write_u8(&mut self, _: u16, _: u8) {}
        fn write_u16(&mut self, _: u16, _: u16) {}
        fn write_u32(&mut self, _: u16, _: u32) {}
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn the_pm_timer_tells_the_speed_wherever_it_wraps(khz in 1_000u64..5_000_000, first: u32, short: bool) {
            let ns = Rc::new(Cell::new(0));
            let hz = khz * 1000;
            let mask = if short { 0xFF_FFFF } else { u32::MAX };
            let mut pm = Pm { ns: ns.clone(), mask, first };
            let now = || (ns.get() as u128 * hz as u128 / NS as u128) as u64;
            let measured = measure_by_pm(&mut pm, PmTimer { port: 0x608, mask }, now).unwrap();
            prop_assert!(measured.abs_diff(hz) <= hz / 1000, "{measured} instead of {hz}");
        }
    }

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
