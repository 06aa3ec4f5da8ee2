//! VMs that sleep until a time that they know, soonest first: how many there are costs nothing
//! to whoever runs meanwhile.

use heapless::Vec;

use super::{MAX_VMS, VmSet};

/// The sleeping VMs, and when each is to wake, in ns.
#[derive(Debug, Default)]
pub struct Sleepers {
    /// Who wakes soonest is last.
    queue: Vec<Sleeper, MAX_VMS>,
    /// All of the queue.
    asleep: VmSet,
}

#[derive(Clone, Copy, Debug)]
struct Sleeper {
    wakes: u64,
    index: usize,
}

impl Sleepers {
    /// VM `index` sleeps until then; with `None` it does not, or knows no time.
    #[inline]
    pub fn set(&mut self, index: usize, wakes: Option<u64>) {
        if self.asleep.contains(index) {
            self.queue.retain(|sleeper| sleeper.index != index);
            self.asleep.remove(index);
        }
        if let Some(wakes) = wakes {
            self.insert(Sleeper { wakes, index });
        }
    }

    fn insert(&mut self, sleeper: Sleeper) {
        let place = self
            .queue
            .partition_point(|other| other.wakes > sleeper.wakes);
        // Each VM is in it once at most, so there is room for those that there may be.
        if sleeper.index < MAX_VMS && self.queue.insert(place, sleeper).is_ok() {
            self.asleep.insert(sleeper.index);
        }
    }

    /// When the next one is to wake.
    #[inline]
    pub fn next(&self) -> Option<u64> {
        self.queue.last().map(|sleeper| sleeper.wakes)
    }

    /// Those whose time has come; they sleep no more.
    #[inline]
    pub fn wake(&mut self, now: u64) -> VmSet {
        let mut woken = VmSet::NONE;
        while self.next().is_some_and(|wakes| wakes <= now) {
            if let Some(sleeper) = self.queue.pop() {
                woken.insert(sleeper.index);
                self.asleep.remove(sleeper.index);
            }
        }
        woken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        /// The queue against a walk over all VMs.
        #[test]
        fn who_wakes_and_when_is_what_a_walk_over_all_finds(
            steps in prop::collection::vec((0..MAX_VMS, prop::option::of(0u64..50), 0u64..50), 0..200),
        ) {
            let mut sleepers = Sleepers::default();
            let mut all = [None; MAX_VMS];
            for (index, wakes, now) in steps {
                sleepers.set(index, wakes);
                all[index] = wakes;
                prop_assert_eq!(sleepers.next(), all.iter().flatten().min().copied());
                let due: Vec<_> = (0..MAX_VMS).filter(|vm| all[*vm].is_some_and(|wakes| wakes <= now)).collect();
                let mut woken = sleepers.wake(now);
                prop_assert!(core::iter::from_fn(|| woken.pop()).eq(due.iter().copied()));
                due.into_iter().for_each(|vm| all[vm] = None);
            }
        }
    }

    #[test]
    fn a_vm_that_cannot_be_sleeps_not() {
        let mut sleepers = Sleepers::default();
        sleepers.set(MAX_VMS, Some(1));
        assert_eq!(sleepers.next(), None);
    }
}
