//! How long each exit took: the shortest, the longest, and how they are spread.

use intercepts::SLOTS;

use crate::{Book, Number};

/// Buckets of a histogram: one for each power of two that a `u64` can reach.
pub const BUCKETS: usize = 64;

/// The bucket of a time: bucket n holds 2^n up to, not including, 2^(n+1); the first also 0.
#[inline(always)]
pub const fn bucket(cycles: u64) -> usize {
    (cycles | 1).ilog2() as usize
}

/// One exit.
#[derive(Debug)]
#[repr(C)]
pub struct Time {
    /// The fewest TSC ticks; `u64::MAX` before the first exit.
    pub least: Number,
    /// The most.
    pub most: Number,
    /// How many exits took so long, by [`bucket`].
    pub buckets: [Number; BUCKETS],
}

/// All exits of a VM, by slot.
#[derive(Debug)]
#[repr(C)]
pub struct Times([Time; SLOTS]);

impl Times {
    /// Nothing came yet.
    pub const fn new() -> Times {
        Times(
            [const {
                Time {
                    least: Number::new(u64::MAX),
                    most: Number::new(0),
                    buckets: [const { Number::new(0) }; BUCKETS],
                }
            }; SLOTS],
        )
    }

    /// Notes an exit that took `cycles`.
    #[inline(always)]
    pub fn note(&self, slot: u8, cycles: u64) {
        let time = self.of(slot);
        if cycles < time.least.get() {
            time.least.set(cycles);
        }
        if cycles > time.most.get() {
            time.most.set(cycles);
        }
        time.buckets[bucket(cycles)].add(1);
    }

    /// One exit's.
    #[inline(always)]
    pub fn of(&self, slot: u8) -> &Time {
        &self.0[usize::from(slot)]
    }
}

// SAFETY: all of it is numbers.
unsafe impl Book for Times {
    fn open(&self) {
        for time in &self.0 {
            time.least.set(u64::MAX);
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Times::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_at_its_power_of_two() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        for power in 1..64 {
            let first = 1u64 << power;
            assert_eq!(bucket(first), power);
            assert_eq!(bucket(first - 1), power - 1);
        }
    }

    #[test]
    fn least_and_most_and_buckets_follow_what_came() {
        static TIMES: Times = Times::new();
        for cycles in [700, 3, 90, 64] {
            TIMES.note(0x72, cycles);
        }
        let time = TIMES.of(0x72);
        assert_eq!((time.least.get(), time.most.get()), (3, 700));
        let in_bucket = |power: usize| time.buckets[power].get();
        assert_eq!((in_bucket(1), in_bucket(6), in_bucket(9)), (1, 2, 1));
        assert_eq!(TIMES.of(0x73).most.get(), 0);
    }
}
