//! How fast the TSC counts, by the timers that a PC may have: the interval timer (8254), the
//! power-management timer, the high precision event timer.

use core::hint::black_box;

use crate::host::acpi::fadt::PmTimer;
use crate::host::hpet::Hpet;
use crate::host::ports::Ports;
use crate::host::registers::Registers;
use crate::host::timer::pit::PIT_HZ;

const CONTROL: u16 = 0x43;
const CHANNEL_2: u16 = 0x42;
/// Bit 0 is channel 2's gate, bit 1 the loudspeaker.
const SYSTEM_CONTROL_B: u16 = 0x61;
/// Channel 2, low byte then high byte, mode 0: count down once.
const COUNT_DOWN: u8 = 0xB0;
const LATCH: u8 = 0x80;

/// PIT ticks that a measurement takes: 5 ms, of the 54 ms that the counter can count.
const SPAN: u16 = 5966;
/// So many of the same span are in a second.
const SPANS_A_SECOND: u64 = 200;
const TRIES: usize = 5;
const SAMPLES: usize = 4;
/// Looks at the counter before it counts as broken, and what to do in between: on an emulator
/// a look costs thousands of instructions, and in its instruction-counting mode time only
/// passes with instructions.
pub const LOOKS: u32 = 20_000;
const PAUSE: u32 = if cfg!(test) { 1 } else { 2_000 };

/// Measures how many ticks `now` counts in a second: the median of a few tries, so that an
/// interruption by the machine's firmware or an emulator's host does not matter. `None` when
/// the PIT does not count.
pub fn by_pit(ports: &mut impl Ports, now: impl Fn() -> u64) -> Option<u64> {
    let mut found = [0; TRIES];
    for hz in &mut found {
        *hz = by_pit_once(ports, &now)?;
    }
    found.sort_unstable();
    Some(found[TRIES / 2])
}

fn by_pit_once(ports: &mut impl Ports, now: &impl Fn() -> u64) -> Option<u64> {
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
        pause();
    }
    None
}

/// Ticks of the power-management timer in a second (ACPI 6.5, 4.8.3.3).
const PM_HZ: u64 = 3_579_545;

/// As [`by_pit`], against the power-management timer.
pub fn by_pm(ports: &mut impl Ports, timer: PmTimer, now: impl Fn() -> u64) -> Option<u64> {
    by_counter(|| ports.read_u32(timer.port), PM_HZ, timer.mask, now)
}

/// As [`by_pit`], against the high precision event timer.
pub fn by_hpet(hpet: &mut Hpet<impl Registers>, now: impl Fn() -> u64) -> Option<u64> {
    let hz = hpet.hz();
    by_counter(|| hpet.count(), hz, u32::MAX, now)
}

/// As [`by_pit`], against a counter that counts up `hz` times a second in the bits of `mask`.
fn by_counter(
    mut count: impl FnMut() -> u32,
    hz: u64,
    mask: u32,
    now: impl Fn() -> u64,
) -> Option<u64> {
    let span = (hz / SPANS_A_SECOND) as u32;
    let mut look = || {
        let before = now();
        let count = count();
        (before.wrapping_add(now().wrapping_sub(before) / 2), count)
    };
    let mut found = [0; TRIES];
    for found in &mut found {
        let start = look();
        let passed = |count: u32| count.wrapping_sub(start.1) & mask;
        let end = (0..LOOKS).find_map(|_| {
            pause();
            Some(look()).filter(|(_, count)| passed(*count) >= span)
        })?;
        let ticks = end.0.wrapping_sub(start.0);
        *found = ticks.saturating_mul(hz) / u64::from(passed(end.1)).max(1);
    }
    found.sort_unstable();
    Some(found[TRIES / 2])
}

/// The speed that the measurements come to. The interval timer's counts where another agrees
/// with it to a hundredth; chipsets imitate it, so where none does, the others are believed. The
/// third timer is asked only if the first two do not settle it.
pub fn agree(
    by_pit: Option<u64>,
    by_pm: Option<u64>,
    by_hpet: impl FnOnce() -> Option<u64>,
) -> Option<u64> {
    let close =
        |a: Option<u64>, b: Option<u64>| a.zip(b).is_some_and(|(a, b)| a.abs_diff(b) <= b / 100);
    if close(by_pit, by_pm) {
        return by_pit;
    }
    let by_hpet = by_hpet();
    if close(by_pit, by_hpet) {
        return by_pit;
    }
    by_pm.or(by_hpet).or(by_pit)
}

/// Lets time pass between two looks.
pub fn pause() {
    for turn in 0..PAUSE {
        black_box(turn);
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
    use crate::host::registers::paper::Memory;
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
                let ticks = (self.ns.get() - self.started) as u128 * PIT_HZ as u128 / 1_000_000_000;
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
            let now = || offset.wrapping_add((ns.get() as u128 * hz as u128 / 1_000_000_000) as u64);
            let measured = by_pit(&mut pit, now).unwrap();
            prop_assert!(measured.abs_diff(hz) <= hz / 1000, "{measured} instead of {hz}");
        }
    }

    #[test]
    fn a_missing_timer_is_noticed() {
        assert_eq!(by_pit(&mut Nothing::default(), || 0), None);
        let timer = PmTimer {
            port: 0x608,
            mask: 0xFF_FFFF,
        };
        assert_eq!(by_pm(&mut Nothing::default(), timer, || 0), None);
        let mut stopped = Memory::default();
        stopped.values.insert(4, 69_841_279);
        let mut stopped = Hpet::new(stopped).unwrap();
        assert_eq!(by_hpet(&mut stopped, || 0), None);
    }

    #[test]
    fn two_timers_that_agree_outvote_the_third() {
        let unasked = || panic!("two are enough");
        assert_eq!(agree(Some(1000), Some(1009), unasked), Some(1000));
        assert_eq!(agree(Some(1000), Some(1200), || Some(1001)), Some(1000));
        assert_eq!(agree(Some(1000), Some(1200), || Some(1201)), Some(1200));
        assert_eq!(agree(Some(1000), Some(1200), || None), Some(1200));
    }

    #[test]
    fn any_one_timer_is_enough() {
        assert_eq!(agree(Some(1000), None, || None), Some(1000));
        assert_eq!(agree(None, Some(1000), || None), Some(1000));
        assert_eq!(agree(None, None, || Some(1000)), Some(1000));
        assert_eq!(agree(None, None, || None), None);
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
            let ticks = (self.ns.get() as u128 * PM_HZ as u128 / 1_000_000_000) as u32;
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
            let now = || (ns.get() as u128 * hz as u128 / 1_000_000_000) as u64;
            let measured = by_pm(&mut pm, PmTimer { port: 0x608, mask }, now).unwrap();
            prop_assert!(measured.abs_diff(hz) <= hz / 1000, "{measured} instead of {hz}");
        }
    }
}
