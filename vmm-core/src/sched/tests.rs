//! Turns, shares and sleep, played through.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const QUANTUM: u64 = 1_000_000;

/// A scheduler of VMs of these weights, all of which can run.
fn busy(weights: &[u32]) -> Scheduler {
    let mut scheduler = Scheduler::new(QUANTUM, weights.iter().copied());
    (0..weights.len()).for_each(|index| scheduler.set_runnable(index, true));
    scheduler
}

/// The next so many turns, each as long as it may be.
fn turns(scheduler: &mut Scheduler, count: usize, hurry: Option<usize>) -> Vec<usize> {
    let turn = |_| {
        let (vm, turn) = scheduler.pick(hurry, false).expect("somebody can run");
        scheduler.charge(vm, turn.length(QUANTUM).expect("a new turn"));
        vm
    };
    (0..count).map(turn).collect()
}

#[test]
fn everyone_runnable_gets_a_turn() {
    assert_eq!(turns(&mut busy(&[1; 3]), 6, None), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_quantum_is_kept_until_the_vm_waits() {
    let mut scheduler = busy(&[1; 2]);
    assert_eq!(turns(&mut scheduler, 1, None), [0]);
    assert_eq!(scheduler.pick(None, true), Some((0, Turn::GoesOn)));
    scheduler.set_runnable(0, false);
    assert_eq!(scheduler.pick(None, true), Some((1, Turn::Whole)));
}

#[test]
fn who_is_typed_to_has_the_next_turn_even_if_another_s_has_not_ended() {
    let mut scheduler = busy(&[1; 4]);
    assert_eq!(scheduler.pick(None, false), Some((0, Turn::Whole)));
    assert_eq!(scheduler.pick(Some(3), true), Some((3, Turn::Short)));
    assert_eq!(scheduler.pick(None, true), Some((3, Turn::GoesOn)));
    assert_eq!(scheduler.pick(Some(3), true), Some((3, Turn::GoesOn)));
    scheduler.set_runnable(2, false);
    for nobody in [2, MAX_VMS] {
        assert_eq!(scheduler.pick(Some(nobody), true), Some((3, Turn::GoesOn)));
    }
}

/// It is its turn anyway, if it has slept until a person typed.
#[test]
fn who_wakes_for_a_key_has_a_whole_turn() {
    let mut scheduler = busy(&[1, 5]);
    turns(&mut scheduler, 12, None);
    scheduler.set_runnable(2, true);
    assert_eq!(scheduler.pick(Some(2), true), Some((2, Turn::Whole)));
}

#[test]
fn nobody_runnable_is_nobody_s_turn() {
    let mut scheduler = busy(&[1]);
    assert!(!scheduler.is_contended(Some(0)) && scheduler.is_contended(None));
    scheduler.set_runnable(0, false);
    assert_eq!(scheduler.pick(None, true), None);
    assert_eq!(scheduler.pick(Some(0), false), None);
    assert!(!scheduler.is_contended(None));
}

#[test]
fn time_without_end_and_vms_that_cannot_be_overflow_nothing() {
    let mut scheduler = Scheduler::new(u64::MAX, [0; MAX_VMS + 1]);
    (0..=MAX_VMS).for_each(|index| scheduler.set_runnable(index, true));
    for round in 0..200 {
        let (turn, _) = scheduler.pick(Some(round % 3), false).expect("all can run");
        scheduler.charge(turn, u64::MAX);
        scheduler.set_runnable(round % MAX_VMS, round % 5 == 0);
    }
    scheduler.charge(MAX_VMS, 1);
}

/// The same by walking over all VMs each time, in numbers that have no end.
struct Walk {
    lead: [i128; MAX_VMS],
    quantum: [i128; MAX_VMS],
    runnable: [bool; MAX_VMS],
    last: Option<usize>,
    floor: i128,
}

impl Walk {
    fn set_runnable(&mut self, vm: usize, can_run: bool) {
        if can_run && !self.runnable[vm] {
            self.lead[vm] = self.lead[vm].max(self.floor - self.quantum[vm]);
        }
        self.runnable[vm] = can_run;
    }

    fn pick(&mut self, hurry: Option<usize>, stay: bool) -> Option<(usize, Turn)> {
        let hurry = hurry.filter(|vm| self.runnable[*vm]);
        let stays = self.last.filter(|vm| stay && self.runnable[*vm]);
        let goes_on = stays.map(|vm| (vm, Turn::GoesOn));
        if goes_on.is_some() && (hurry.is_none() || hurry == stays) {
            return goes_on;
        }
        let behind = (0..MAX_VMS)
            .filter(|vm| self.runnable[*vm])
            .min_by_key(|vm| self.lead[*vm])?;
        self.floor = self.floor.max(self.lead[behind]);
        let whole = (behind, Turn::Whole);
        let hurry = hurry.filter(|vm| self.lead[*vm] - self.floor <= 2 * self.quantum[*vm]);
        let next = match hurry {
            Some(vm) if vm == behind => whole,
            Some(vm) => (vm, Turn::Short),
            None => goes_on.unwrap_or(whole),
        };
        self.last = Some(next.0);
        Some(next)
    }
}

/// VMs that are busy, and time that passes for them.
struct Play {
    scheduler: Scheduler,
    /// How long the turn still lasts.
    left: u64,
    /// By how much a turn is too long: the timer comes late, and the VMM has its work.
    overshoot: u64,
    had: Vec<u64>,
}

impl Play {
    fn new(weights: &[u32], overshoot: u64) -> Play {
        Play {
            scheduler: busy(weights),
            left: 0,
            overshoot,
            had: vec![0; weights.len()],
        }
    }

    /// Whose turn it is; `typed_to`: there is a key.
    fn pick(&mut self, typed_to: Option<usize>) -> usize {
        let (vm, turn) = self
            .scheduler
            .pick(typed_to, self.left > 0)
            .expect("all can run");
        if let Some(length) = turn.length(QUANTUM) {
            self.left = length + self.overshoot;
        }
        vm
    }

    /// So much time passes.
    fn pass(&mut self, mut ticks: u64) {
        while ticks > 0 {
            let vm = self.pick(None);
            let run = self.left.min(ticks);
            self.scheduler.charge(vm, run);
            self.had[vm] += run;
            self.left -= run;
            ticks -= run;
        }
    }
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(prop_oneof![1u32..5, 1u32..=1000], 2..9)
}

proptest! {
    /// However long it goes on: leads are brought back many times.
    #[test]
    fn every_choice_is_that_of_a_walk_over_all_vms(
        quantum in 1u64..1 << 48,
        weights in prop::collection::vec(1u32..=1000, 12),
        steps in prop::collection::vec(
            (0usize..12, any::<bool>(), prop::option::of(0usize..12), any::<bool>(), 0u64..1 << 50),
            1..300,
        ),
    ) {
        let mut scheduler = Scheduler::new(quantum, weights);
        let lead = |vm: usize, ticks: u64| i128::from(scheduler.scaled(vm, ticks));
        let mut walk = Walk {
            lead: [0; MAX_VMS],
            quantum: core::array::from_fn(|vm| lead(vm, quantum)),
            runnable: [false; MAX_VMS],
            last: None,
            floor: 0,
        };
        for (vm, can_run, hurry, stay, ticks) in steps {
            scheduler.set_runnable(vm, can_run);
            walk.set_runnable(vm, can_run);
            let next = scheduler.pick(hurry, stay);
            prop_assert_eq!(next, walk.pick(hurry, stay));
            let turn = next.map(|(vm, _)| vm);
            let others = (0..MAX_VMS).any(|other| walk.runnable[other] && Some(other) != turn);
            prop_assert_eq!(scheduler.is_contended(turn), others);
            if let Some(turn) = turn {
                scheduler.charge(turn, ticks);
                walk.lead[turn] += i128::from(scheduler.scaled(turn, ticks));
            }
        }
    }

    #[test]
    fn busy_vms_share_by_weight_within_2_percent(
        weights in prop::collection::vec(1u32..20, 2..9),
        lengths in prop::collection::vec(QUANTUM / 2..QUANTUM * 5 / 4, 20_000),
    ) {
        let mut scheduler = busy(&weights);
        let mut had = vec![0u64; weights.len()];
        for length in lengths {
            let (turn, _) = scheduler.pick(None, false).expect("all can run");
            scheduler.charge(turn, length);
            had[turn] += length;
        }
        let (all, sum) = (had.iter().sum::<u64>() as f64, weights.iter().sum::<u32>());
        for (had, weight) in had.iter().zip(&weights) {
            let (is, should) = (*had as f64 / all, f64::from(*weight) / f64::from(sum));
            prop_assert!((is / should - 1.0).abs() < 0.02, "{is} instead of {should}");
        }
    }

    /// However busy it is itself, and whoever wakes meanwhile; unless it is typed to for more than
    /// its share: then a short turn for each key is more than it may have.
    #[test]
    fn a_key_to_a_busy_vm_waits_for_nobody(
        weights in weights(),
        focus in any::<prop::sample::Index>(),
        overshoot in 0..QUANTUM / 50,
        pauses in prop::collection::vec((0.0..2.0, 0usize..9, any::<bool>()), 1..20),
    ) {
        let focus = focus.index(weights.len());
        let sum: u32 = weights.iter().sum();
        let round = weights.len().max(sum.div_ceil(weights[focus]) as usize);
        let short = Turn::Short.length(QUANTUM).expect("a length") + overshoot;
        let mut play = Play::new(&weights, overshoot);
        for (pause, other, is_busy) in pauses {
            play.pass((short as f64 * round as f64 * (1.0 + pause)) as u64);
            if other != focus && other < weights.len() {
                play.scheduler.set_runnable(other, is_busy);
            }
            prop_assert_eq!(play.pick(Some(focus)), focus);
        }
    }

    /// Whoever types without end takes no more from the others than two quanta.
    #[test]
    fn typing_does_not_starve_the_others(
        weights in weights(),
        focus in any::<prop::sample::Index>(),
        pauses in prop::collection::vec(1..QUANTUM / 8, 100..1000),
    ) {
        let focus = focus.index(weights.len());
        let mut play = Play::new(&weights, 0);
        for pause in pauses {
            play.pick(Some(focus));
            play.pass(pause);
            let each = |vm: usize| play.had[vm] as f64 / f64::from(weights[vm]);
            let least = (0..weights.len()).map(each).fold(f64::MAX, f64::min);
            let ahead = (each(focus) - least) * f64::from(weights[focus]) / QUANTUM as f64;
            prop_assert!(ahead <= 2.126, "{ahead} quanta");
        }
    }

    /// One that wakes has a turn before anyone has a second one.
    #[test]
    fn who_wakes_waits_for_no_second_turn(weights in weights(), asleep in 0usize..2000) {
        let sleeper = weights.len() - 1;
        let mut scheduler = Scheduler::new(QUANTUM, weights.clone());
        (0..sleeper).for_each(|vm| scheduler.set_runnable(vm, true));
        turns(&mut scheduler, asleep, None);
        scheduler.set_runnable(sleeper, true);
        let turns = turns(&mut scheduler, sleeper + 1, None);
        prop_assert!(turns.contains(&sleeper), "{turns:?}");
    }

    /// Sleep saves up no more than a quantum: that, the turn that is next anyway, and what the
    /// others are ahead by, if they are of less weight.
    #[test]
    fn a_long_sleep_gives_no_long_turn(weights in weights(), asleep in 0usize..2000) {
        let sleeper = weights.len() - 1;
        let mut scheduler = Scheduler::new(QUANTUM, weights.clone());
        (0..sleeper).for_each(|vm| scheduler.set_runnable(vm, true));
        turns(&mut scheduler, asleep, None);
        scheduler.set_runnable(sleeper, true);
        let lightest = weights[..sleeper].iter().copied().min().unwrap_or(1);
        let most = 2 + weights[sleeper].div_ceil(lightest) as usize;
        let turns = turns(&mut scheduler, most + 1, None);
        prop_assert!(turns.iter().any(|turn| *turn != sleeper), "{turns:?}");
    }
}
