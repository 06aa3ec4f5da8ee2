//! Who runs next: a weighted fair share for those that can run, a quantum at a time.
//!
//! Each VM has a lead: how much CPU time, divided by its weight, it has had beyond its share.
//! The VM with the least lead is next. A VM that sleeps costs nothing and falls behind, but
//! not far: it wakes to run soon, not to make up for all that it missed.

/// Most VMs that there may be.
pub const MAX_VMS: usize = 64;

/// A VM of weight 1 gets this much lead for each tick; the heaviest gets at least one.
const SCALE: i64 = 1024;

/// The scheduler's memory.
#[derive(Clone, Copy, Debug)]
pub struct Scheduler {
    lead: [i64; MAX_VMS],
    last: Option<usize>,
    /// How far behind a sleeper falls.
    credit: i64,
}

impl Scheduler {
    /// For a quantum of so many ticks of the TSC.
    pub fn new(quantum: u64) -> Self {
        Scheduler {
            lead: [0; MAX_VMS],
            last: None,
            credit: scaled(quantum, 1),
        }
    }

    /// Chooses among the first `count` VMs one that `is_runnable`: the one in a `hurry`, since a
    /// person has just typed to it, unless it has had more than a quantum beyond what another
    /// one has; with `stay` the one that had the last turn, since its quantum has not ended; else
    /// the one furthest behind.
    pub fn pick(
        &mut self,
        count: usize,
        hurry: Option<usize>,
        stay: bool,
        is_runnable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if let Some(first) =
            hurry.filter(|first| *first < count.min(MAX_VMS) && is_runnable(*first))
        {
            let others = (0..count.min(MAX_VMS)).filter(|index| is_runnable(*index));
            let least = others.map(|index| self.lead[index]).min();
            if least.is_none_or(|least| self.lead[first].saturating_sub(least) <= self.credit) {
                self.last = Some(first);
                return self.last;
            }
        }
        if let Some(last) = self.last.filter(|last| stay && is_runnable(*last)) {
            return Some(last);
        }
        let count = count.min(MAX_VMS);
        let first = self.last.map_or(0, |last| last + 1);
        // Of several equally far behind, the next one in turn.
        let next = (first..count)
            .chain(0..first.min(count))
            .filter(|index| is_runnable(*index))
            .min_by_key(|index| self.lead[*index])?;
        self.last = Some(next);
        let least = self.lead[next];
        if least > 0 {
            for lead in &mut self.lead[..count] {
                *lead = (*lead - least).max(-self.credit);
            }
        }
        Some(next)
    }

    /// A VM of `weight` has run for so many `ticks` of the TSC.
    pub fn charge(&mut self, index: usize, ticks: u64, weight: u32) {
        if let Some(lead) = self.lead.get_mut(index) {
            *lead = lead.saturating_add(scaled(ticks, weight));
        }
    }

    /// Who had the last turn.
    pub fn last(&self) -> Option<usize> {
        self.last
    }
}

fn scaled(ticks: u64, weight: u32) -> i64 {
    let most = i64::MAX / SCALE / 4;
    let ticks = i64::try_from(ticks).unwrap_or(most).min(most);
    ticks * SCALE / i64::from(weight.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUANTUM: u64 = 1_000_000;

    #[test]
    fn everyone_runnable_gets_a_turn() {
        let mut scheduler = Scheduler::new(QUANTUM);
        let turns: Vec<_> = (0..6)
            .map(|_| {
                let turn = scheduler.pick(3, None, false, |_| true);
                scheduler.charge(turn.unwrap(), QUANTUM, 1);
                turn
            })
            .collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2].map(Some));
    }

    #[test]
    fn a_quantum_is_kept_until_the_vm_waits() {
        let mut scheduler = Scheduler::new(QUANTUM);
        assert_eq!(scheduler.pick(2, None, false, |_| true), Some(0));
        scheduler.charge(0, QUANTUM, 1);
        assert_eq!(scheduler.pick(2, None, true, |_| true), Some(0));
        assert_eq!(scheduler.pick(2, None, true, |index| index == 1), Some(1));
    }

    #[test]
    fn who_is_typed_to_has_the_next_turn_even_if_another_s_has_not_ended() {
        let mut scheduler = Scheduler::new(QUANTUM);
        assert_eq!(scheduler.pick(4, None, false, |_| true), Some(0));
        assert_eq!(scheduler.pick(4, Some(3), true, |_| true), Some(3));
        assert_eq!(scheduler.pick(4, None, true, |_| true), Some(3));
        assert_eq!(
            scheduler.pick(4, Some(2), true, |index| index != 2),
            Some(3)
        );
        assert_eq!(scheduler.pick(4, Some(64), true, |_| true), Some(3));
    }

    #[test]
    fn nobody_runnable_is_nobody_s_turn() {
        let mut scheduler = Scheduler::new(QUANTUM);
        assert_eq!(scheduler.pick(0, None, false, |_| true), None);
        assert_eq!(scheduler.pick(3, None, true, |_| false), None);
    }

    #[test]
    fn time_without_end_overflows_nothing() {
        let mut scheduler = Scheduler::new(u64::MAX);
        for _ in 0..20 {
            let turn = scheduler.pick(MAX_VMS + 1, None, false, |_| true).unwrap();
            scheduler.charge(turn, u64::MAX, 0);
        }
        scheduler.charge(MAX_VMS, 1, 1);
    }

    proptest! {
        #[test]
        fn busy_vms_share_by_weight_within_2_percent(
            weights in prop::collection::vec(1u32..20, 2..9),
            lengths in prop::collection::vec(QUANTUM / 2..QUANTUM * 5 / 4, 20_000),
        ) {
            let mut scheduler = Scheduler::new(QUANTUM);
            let mut had = vec![0u64; weights.len()];
            for length in lengths {
                let turn = scheduler.pick(weights.len(), None, false, |_| true).unwrap();
                scheduler.charge(turn, length, weights[turn]);
                had[turn] += length;
            }
            let (all, sum) = (had.iter().sum::<u64>() as f64, weights.iter().sum::<u32>());
            for (had, weight) in had.iter().zip(&weights) {
                let (is, should) = (*had as f64 / all, f64::from(*weight) / f64::from(sum));
                prop_assert!((is / should - 1.0).abs() < 0.02, "{is} instead of {should}");
            }
        }

        /// Of VMs of one weight, one that wakes has a turn before anyone has a second one.
        #[test]
        fn who_wakes_waits_for_no_second_turn(others in 1usize..8, asleep in 0usize..200) {
            let mut scheduler = Scheduler::new(QUANTUM);
            let sleeper = others;
            for _ in 0..asleep {
                let turn = scheduler.pick(others + 1, None, false, |index| index != sleeper).unwrap();
                scheduler.charge(turn, QUANTUM, 1);
            }
            let mut turns = 0;
            while scheduler.pick(others + 1, None, false, |_| true) != Some(sleeper) {
                scheduler.charge(scheduler.last().unwrap(), QUANTUM, 1);
                turns += 1;
                prop_assert!(turns <= others);
            }
        }

        /// Whoever types without end takes no more than a quantum or two from the others.
        #[test]
        fn typing_does_not_starve_the_others(count in 2usize..8, turns in 50usize..500) {
            let mut scheduler = Scheduler::new(QUANTUM);
            let mut had = vec![0u64; count];
            for _ in 0..turns {
                let turn = scheduler.pick(count, Some(0), false, |_| true).unwrap();
                scheduler.charge(turn, QUANTUM, 1);
                had[turn] += 1;
            }
            let fewest = had.iter().min().unwrap();
            prop_assert!(had[0] <= fewest + 3, "{had:?}");
        }

        /// Sleep saves up no more than a quantum: then the others have their turns again.
        #[test]
        fn a_long_sleep_gives_no_long_turn(asleep in 10usize..2000) {
            let mut scheduler = Scheduler::new(QUANTUM);
            for _ in 0..asleep {
                scheduler.pick(2, None, false, |index| index == 0);
                scheduler.charge(0, QUANTUM, 1);
            }
            let turns: Vec<_> = (0..6).map(|_| {
                let turn = scheduler.pick(2, None, false, |_| true).unwrap();
                scheduler.charge(turn, QUANTUM, 1);
                turn
            }).collect();
            prop_assert!(turns.iter().filter(|turn| **turn == 0).count() >= 2, "{turns:?}");
        }
    }
}
