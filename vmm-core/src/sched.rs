//! Who runs next: a weighted fair share for those that can run, a quantum at a time.
//!
//! Each VM has a lead: how much CPU time, divided by its weight, it has had beyond its share.
//! The VM with the least lead is next. A VM that sleeps costs nothing and falls behind, but
//! not far: it wakes to run soon, not to make up for all that it missed.
//!
//! What a person types does not wait for that order: its VM has a short turn at once. That is
//! charged like any other, so typing takes nothing from the others in the end; a VM that is
//! typed to for more than its share waits for the share again.
//!
//! Told when a VM begins or ceases to be able to run, it walks over those that can, and over
//! nobody else.

mod sleepers;
mod vm_set;

pub use sleepers::Sleepers;
pub use vm_set::VmSet;

/// Most VMs that there may be.
pub const MAX_VMS: usize = 64;

/// A VM of weight 1 gets this much lead for each tick; the heaviest gets at least one.
const SCALE: i64 = 1024;

/// Leads are brought back near zero when they have come this far.
const FAR: i64 = i64::MAX / 4;

/// The scheduler's memory.
#[derive(Clone, Copy, Debug)]
pub struct Scheduler {
    lead: [i64; MAX_VMS],
    weights: [u32; MAX_VMS],
    /// Ticks of the TSC.
    quantum: u64,
    runnable: VmSet,
    last: Option<usize>,
    /// The least lead of those that could run when it was last looked for. It only grows.
    floor: i64,
}

/// A VM's turn, as far as it has been decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The one that it has already.
    GoesOn,
    /// A quantum.
    Whole,
    /// A part of one, before another whose turn it is: enough to take what was typed.
    Short,
}

impl Turn {
    /// How long it lasts from now on, by the length of a quantum; `None`: as was said before.
    #[inline]
    pub fn length(self, quantum: u64) -> Option<u64> {
        const SHORT_IN_A_QUANTUM: u64 = 8;
        match self {
            Turn::GoesOn => None,
            Turn::Whole => Some(quantum),
            Turn::Short => Some(quantum / SHORT_IN_A_QUANTUM),
        }
    }
}

impl Scheduler {
    /// For a quantum of so many ticks of the TSC, and VMs of these weights; nobody can run yet.
    pub fn new(quantum: u64, weights: impl IntoIterator<Item = u32>) -> Self {
        let mut scheduler = Scheduler {
            lead: [0; MAX_VMS],
            weights: [1; MAX_VMS],
            quantum,
            runnable: VmSet::NONE,
            last: None,
            floor: 0,
        };
        for (place, weight) in scheduler.weights.iter_mut().zip(weights) {
            *place = weight;
        }
        scheduler
    }

    /// A VM can run from now on, or cannot. While it slept it fell behind by a quantum at most.
    #[inline]
    pub fn set_runnable(&mut self, index: usize, can_run: bool) {
        if !can_run {
            self.runnable.remove(index);
        } else if index < MAX_VMS && !self.runnable.contains(index) {
            let credit = self.scaled(index, self.quantum);
            self.lead[index] = self.lead[index].max(self.floor - credit);
            self.runnable.insert(index);
        }
    }

    /// Chooses a VM that can run: the one in a `hurry`, since a person has just typed to it,
    /// unless it is more than two quanta ahead of the floor (one is its own last turn); with
    /// `stay` the one that had the last turn, since that has not ended; else the one furthest
    /// behind.
    #[inline]
    pub fn pick(&mut self, hurry: Option<usize>, stay: bool) -> Option<(usize, Turn)> {
        let hurry = hurry.filter(|first| self.runnable.contains(*first));
        let stays = self
            .last
            .filter(|last| stay && self.runnable.contains(*last));
        if let Some(last) = stays
            && hurry.is_none_or(|first| first == last)
        {
            return Some((last, Turn::GoesOn));
        }
        let behind = self.furthest_behind()?;
        self.floor = self.floor.max(self.lead[behind]);
        let may_hurry = |first: &usize| {
            let ahead = self.lead[*first].saturating_sub(self.floor);
            ahead <= 2 * self.scaled(*first, self.quantum)
        };
        let (next, turn) = match (hurry.filter(may_hurry), stays) {
            (Some(first), _) if first != behind => (first, Turn::Short),
            (None, Some(last)) => (last, Turn::GoesOn),
            _ => (behind, Turn::Whole),
        };
        self.last = Some(next);
        if self.floor > FAR {
            self.come_back();
        }
        Some((next, turn))
    }

    /// Who can run and has the least lead. Of several it is the first, whose lead then grows.
    #[inline]
    fn furthest_behind(&self) -> Option<usize> {
        let mut runnable = self.runnable;
        let mut behind = runnable.pop()?;
        while let Some(other) = runnable.pop() {
            if self.lead[other] < self.lead[behind] {
                behind = other;
            }
        }
        Some(behind)
    }

    /// Takes the same from all leads, which changes nothing between them.
    #[cold]
    fn come_back(&mut self) {
        for lead in &mut self.lead {
            *lead = lead.saturating_sub(self.floor);
        }
        self.floor = 0;
    }

    /// A VM has run for so many `ticks` of the TSC.
    #[inline]
    pub fn charge(&mut self, index: usize, ticks: u64) {
        if index < MAX_VMS {
            let more = self.scaled(index, ticks);
            self.lead[index] = self.lead[index].saturating_add(more);
        }
    }

    /// The lead that so many ticks are to a VM.
    #[inline]
    fn scaled(&self, index: usize, ticks: u64) -> i64 {
        let most = i64::MAX / SCALE / 4;
        let ticks = i64::try_from(ticks).unwrap_or(most).min(most);
        ticks * SCALE / i64::from(self.weights[index].max(1))
    }

    /// Whether a VM waits for the turn of `running` to end.
    #[inline]
    pub fn is_contended(&self, running: Option<usize>) -> bool {
        let mut others = self.runnable;
        if let Some(running) = running {
            others.remove(running);
        }
        !others.is_empty()
    }
}

#[cfg(test)]
mod tests;
