//! Turns, shares and sleep, played through.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const QUANTUM: u64 = 1_000_000;

/// A scheduler of so many VMs, all of which can run.
fn busy(count: usize) -> Scheduler {
    let mut scheduler = Scheduler::new(QUANTUM);
    (0..count).for_each(|index| scheduler.set_runnable(index, true));
    scheduler
}

/// The next so many turns, of a quantum each.
fn turns(scheduler: &mut Scheduler, count: usize, hurry: Option<usize>) -> Vec<usize> {
    let turn = |_| {
        let turn = scheduler.pick(hurry, false).expect("somebody can run");
        scheduler.charge(turn, QUANTUM, 1);
        turn
    };
    (0..count).map(turn).collect()
}

#[test]
fn everyone_runnable_gets_a_turn() {
    assert_eq!(turns(&mut busy(3), 6, None), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_quantum_is_kept_until_the_vm_waits() {
    let mut scheduler = busy(2);
    assert_eq!(turns(&mut scheduler, 1, None), [0]);
    assert_eq!(scheduler.pick(None, true), Some(0));
    scheduler.set_runnable(0, false);
    assert_eq!(scheduler.pick(None, true), Some(1));
}

#[test]
fn who_is_typed_to_has_the_next_turn_even_if_another_s_has_not_ended() {
    let mut scheduler = busy(4);
    assert_eq!(scheduler.pick(None, false), Some(0));
    assert_eq!(scheduler.pick(Some(3), true), Some(3));
    assert_eq!(scheduler.pick(None, true), Some(3));
    scheduler.set_runnable(2, false);
    assert_eq!(scheduler.pick(Some(2), true), Some(3));
    assert_eq!(scheduler.pick(Some(MAX_VMS), true), Some(3));
}

#[test]
fn nobody_runnable_is_nobody_s_turn() {
    let mut scheduler = busy(1);
    assert!(!scheduler.is_contended(Some(0)) && scheduler.is_contended(None));
    scheduler.set_runnable(0, false);
    assert_eq!(scheduler.pick(None, true), None);
    assert_eq!(scheduler.pick(Some(0), false), None);
    assert!(!scheduler.is_contended(None));
}

#[test]
fn time_without_end_and_vms_that_cannot_be_overflow_nothing() {
    let mut scheduler = Scheduler::new(u64::MAX);
    (0..=MAX_VMS).for_each(|index| scheduler.set_runnable(index, true));
    for round in 0..200 {
        let turn = scheduler.pick(Some(round % 3), false).expect("all can run");
        scheduler.charge(turn, u64::MAX, 0);
        scheduler.set_runnable(round % MAX_VMS, round % 5 == 0);
    }
    scheduler.charge(MAX_VMS, 1, 1);
}

/// The same by walking over all VMs each time, in numbers that have no end.
struct Walk {
    lead: [i128; MAX_VMS],
    runnable: [bool; MAX_VMS],
    last: Option<usize>,
    floor: i128,
    credit: i128,
}

impl Walk {
    fn pick(&mut self, hurry: Option<usize>, stay: bool) -> Option<usize> {
        let hurry = hurry.filter(|vm| self.runnable[*vm]);
        let stays = self.last.filter(|vm| stay && self.runnable[*vm]);
        if hurry.is_none() && stays.is_some() {
            return stays;
        }
        let behind = (0..MAX_VMS)
            .filter(|vm| self.runnable[*vm])
            .min_by_key(|vm| self.lead[*vm])?;
        let least = self.lead[behind];
        self.floor = self.floor.max(least);
        let hurry = hurry.filter(|vm| self.lead[*vm] - least <= self.credit);
        self.last = hurry.or(stays).or(Some(behind));
        self.last
    }
}

proptest! {
    /// However long it goes on: leads are brought back many times.
    #[test]
    fn every_choice_is_that_of_a_walk_over_all_vms(
        quantum in 1u64..1 << 48,
        steps in prop::collection::vec(
            (0usize..12, any::<bool>(), prop::option::of(0usize..12), any::<bool>(), 0u64..1 << 50, 1u32..9),
            1..300,
        ),
    ) {
        let mut scheduler = Scheduler::new(quantum);
        let mut walk = Walk {
            lead: [0; MAX_VMS],
            runnable: [false; MAX_VMS],
            last: None,
            floor: 0,
            credit: scaled(quantum, 1).into(),
        };
        for (vm, can_run, hurry, stay, ticks, weight) in steps {
            scheduler.set_runnable(vm, can_run);
            if can_run && !walk.runnable[vm] {
                walk.lead[vm] = walk.lead[vm].max(walk.floor - walk.credit);
            }
            walk.runnable[vm] = can_run;
            let turn = scheduler.pick(hurry, stay);
            prop_assert_eq!(turn, walk.pick(hurry, stay));
            let others = (0..MAX_VMS).any(|other| walk.runnable[other] && Some(other) != turn);
            prop_assert_eq!(scheduler.is_contended(turn), others);
            if let Some(turn) = turn {
                scheduler.charge(turn, ticks, weight);
                walk.lead[turn] += i128::from(scaled(ticks, weight));
            }
        }
    }

    #[test]
    fn busy_vms_share_by_weight_within_2_percent(
        weights in prop::collection::vec(1u32..20, 2..9),
        lengths in prop::collection::vec(QUANTUM / 2..QUANTUM * 5 / 4, 20_000),
    ) {
        let mut scheduler = busy(weights.len());
        let mut had = vec![0u64; weights.len()];
        for length in lengths {
            let turn = scheduler.pick(None, false).expect("all can run");
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
        let mut scheduler = busy(others);
        turns(&mut scheduler, asleep, None);
        scheduler.set_runnable(others, true);
        let turns = turns(&mut scheduler, others + 1, None);
        prop_assert!(turns.contains(&others), "{turns:?}");
    }

    /// Whoever types without end takes no more than a quantum or two from the others.
    #[test]
    fn typing_does_not_starve_the_others(count in 2usize..8, length in 50usize..500) {
        let turns = turns(&mut busy(count), length, Some(0));
        let had = |vm: usize| turns.iter().filter(|turn| **turn == vm).count();
        let fewest = (0..count).map(had).min();
        prop_assert!(fewest.is_some_and(|fewest| had(0) <= fewest + 3), "{turns:?}");
    }

    /// Sleep saves up no more than a quantum: then the others have their turns again.
    #[test]
    fn a_long_sleep_gives_no_long_turn(asleep in 10usize..2000) {
        let mut scheduler = busy(1);
        turns(&mut scheduler, asleep, None);
        scheduler.set_runnable(1, true);
        let turns = turns(&mut scheduler, 6, None);
        prop_assert!(turns.iter().filter(|turn| **turn == 0).count() >= 2, "{turns:?}");
    }
}
