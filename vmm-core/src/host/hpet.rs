//! The high precision event timer, as a counter alone (IA-PC HPET 1.0a, 2.3).

use super::registers::Registers;

/// The upper half of the capabilities: femtoseconds in a tick.
const PERIOD: u32 = 0x004;
const CONFIGURATION: u32 = 0x010;
const ENABLE: u32 = 1 << 0;
const COUNTER: u32 = 0x0F0;

const FEMTOSECONDS: u64 = 1_000_000_000_000_000;
/// No timer is slower.
const LONGEST_PERIOD: u32 = 100_000_000;

/// The timer behind its registers.
#[derive(Debug)]
pub struct Hpet<R> {
    registers: R,
    hz: u64,
}

impl<R: Registers> Hpet<R> {
    /// Has the timer count; `None` if nothing answers there.
    pub fn new(mut registers: R) -> Option<Self> {
        let period = registers.read(PERIOD);
        if period == 0 || period > LONGEST_PERIOD {
            return None;
        }
        let configuration = registers.read(CONFIGURATION);
        registers.write(CONFIGURATION, configuration | ENABLE);
        Some(Self {
            registers,
            hz: FEMTOSECONDS / u64::from(period),
        })
    }

    /// Its ticks in a second.
    pub const fn hz(&self) -> u64 {
        self.hz
    }

    /// The lower half of the counter.
    pub fn count(&mut self) -> u32 {
        self.registers.read(COUNTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::registers::paper::Memory;

    #[test]
    fn a_timer_is_told_to_count_and_tells_its_speed() {
        let mut memory = Memory::default();
        memory
            .values
            .extend([(PERIOD, 69_841_279), (CONFIGURATION, 2), (COUNTER, 7)]);
        let mut hpet = Hpet::new(&mut memory).unwrap();
        assert_eq!((hpet.hz(), hpet.count()), (14_318_179, 7));
        assert_eq!(memory.writes, [(CONFIGURATION, 3)]);
    }

    #[test]
    fn what_is_no_timer_is_left_alone() {
        for period in [0, u32::MAX] {
            let mut memory = Memory::default();
            memory.values.insert(PERIOD, period);
            assert!(Hpet::new(&mut memory).is_none());
            assert!(memory.writes.is_empty());
        }
    }
}
