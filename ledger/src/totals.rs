//! How often each exit came, and what it cost in all.

use intercepts::SLOTS;

use crate::{Book, Number};

/// One exit.
#[derive(Debug)]
#[repr(C)]
pub struct Total {
    /// How often.
    pub count: Number,
    /// TSC ticks between #VMEXIT and VMRUN, summed.
    pub cycles: Number,
}

/// All exits of a VM, by slot.
#[derive(Debug)]
#[repr(C)]
pub struct Totals([Total; SLOTS]);

impl Totals {
    /// Nothing came yet.
    pub const fn new() -> Totals {
        Totals(
            [const {
                Total {
                    count: Number::new(0),
                    cycles: Number::new(0),
                }
            }; SLOTS],
        )
    }

    /// Notes an exit that took `cycles`.
    #[inline(always)]
    pub fn note(&self, slot: u8, cycles: u64) {
        let total = self.of(slot);
        total.count.add(1);
        total.cycles.add(cycles);
    }

    /// One exit's.
    #[inline(always)]
    pub fn of(&self, slot: u8) -> &Total {
        &self.0[usize::from(slot)]
    }

    /// Each slot's, from 0.
    pub fn iter(&self) -> impl Iterator<Item = &Total> {
        self.0.iter()
    }
}

// SAFETY: all of it is numbers.
unsafe impl Book for Totals {
    fn open(&self) {}
}

impl Default for Totals {
    fn default() -> Self {
        Totals::new()
    }
}
