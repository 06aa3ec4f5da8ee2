//! The last exits of a VM, one by one: a ring.

use crate::{Book, Number};

/// One exit.
#[derive(Debug)]
#[repr(C)]
pub struct Entry {
    /// The TSC at #VMEXIT.
    pub time: Number,
    /// Bits 31:0: TSC ticks until VMRUN; 39:32: the slot under which it was counted; 47:40: 1 if
    /// the VMM had more to do than to answer; 63:48: the low bits of EXITCODE.
    pub answer: Number,
    /// The guest's RIP.
    pub rip: Number,
    /// EXITINFO1.
    pub info1: Number,
    /// EXITINFO2.
    pub info2: Number,
    /// The guest's RAX.
    pub rax: Number,
    /// The guest's RCX.
    pub rcx: Number,
    /// EVENTINJ at VMRUN: the event that the guest is given.
    pub event: Number,
}

// SAFETY: all of it is numbers.
unsafe impl Book for Entry {
    fn open(&self) {}
}

/// Where a ring is written and read.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Progress {
    /// Exits that were written, ever; the next goes to this number modulo the ring's length.
    pub written: Number,
    /// Exits that were sent on, ever.
    pub sent: Number,
}

// SAFETY: all of it is numbers.
unsafe impl Book for Progress {
    fn open(&self) {}
}

/// A VM's ring.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    progress: &'static Progress,
    entries: &'static [Entry],
}

impl Ring {
    /// A ring over these entries; `None` unless their number is a power of two.
    pub fn new(progress: &'static Progress, entries: &'static [Entry]) -> Option<Ring> {
        let ring = Ring { progress, entries };
        entries.len().is_power_of_two().then_some(ring)
    }

    /// Where it is written and read.
    pub fn progress(&self) -> &'static Progress {
        self.progress
    }

    /// Its entries.
    pub fn entries(&self) -> &'static [Entry] {
        self.entries
    }

    /// The entry with this number, or the one that has taken its place.
    pub fn entry(&self, number: u64) -> Option<&'static Entry> {
        self.entries
            .get(number as usize & self.entries.len().wrapping_sub(1))
    }

    /// The number of the exit to come.
    pub fn next(&self) -> u64 {
        self.progress.written.get()
    }

    /// How many exits wait to be sent.
    pub fn waiting(&self) -> u64 {
        self.next().wrapping_sub(self.progress.sent.get())
    }

    /// The numbers of those that wait and are still there.
    pub fn kept(&self) -> core::ops::Range<u64> {
        let next = self.next();
        let kept = self.waiting().min(self.entries.len() as u64);
        next.wrapping_sub(kept)..next
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::boxed::Box;
    use std::vec::Vec;

    use super::*;

    fn ring(length: usize) -> Option<Ring> {
        let entry = || Entry {
            time: Number::new(0),
            answer: Number::new(0),
            rip: Number::new(0),
            info1: Number::new(0),
            info2: Number::new(0),
            rax: Number::new(0),
            rcx: Number::new(0),
            event: Number::new(0),
        };
        let entries: Vec<_> = (0..length).map(|_| entry()).collect();
        Ring::new(Box::leak(Box::default()), entries.leak())
    }

    #[test]
    fn a_ring_keeps_the_last_exits_and_knows_how_many_are_lost() {
        let ring = ring(8).unwrap();
        for number in 0..21 {
            let entry = ring.entry(ring.next()).unwrap();
            entry.rip.set(number);
            ring.progress().written.add(1);
        }
        assert_eq!((ring.waiting(), ring.kept()), (21, 13..21));
        let rips: Vec<_> = ring
            .kept()
            .map(|number| ring.entry(number).unwrap().rip.get())
            .collect();
        assert_eq!(rips, (13..21).collect::<Vec<_>>());
        ring.progress().sent.set(21);
        assert_eq!(ring.kept(), 21..21);
    }

    #[test]
    fn a_length_that_is_no_power_of_two_makes_no_ring() {
        assert!(ring(0).is_none() && ring(12).is_none() && ring(1).is_some());
    }
}
