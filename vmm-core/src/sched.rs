//! Who runs next: a weighted fair share for those that can run, a quantum at a time.
//!
//! Each VM has a lead: how much CPU time, divided by its weight, it has had beyond its share.
//! The VM with the least lead is next. A VM that sleeps costs nothing and falls behind, but
//! not far: it wakes to run soon, not to make up for all that it missed.
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
    runnable: VmSet,
    last: Option<usize>,
    /// The least lead of those that could run when it was last looked for. It only grows.
    floor: i64,
    /// How far behind that a sleeper falls.
    credit: i64,
}

impl Scheduler {
    /// For a quantum of so many ticks of the TSC; nobody can run yet.
    pub fn new(quantum: u64) -> Self {
        Scheduler {
            lead: [0; MAX_VMS],
            runnable: VmSet::NONE,
            last: None,
            floor: 0,
            credit: scaled(quantum, 1),
        }
    }

    /// A VM can run from now on, or cannot.
    #[inline]
    pub fn set_runnable(&mut self, index: usize, can_run: bool) {
        if !can_run {
            self.runnable.remove(index);
        } else if !self.runnable.contains(index)
            && let Some(lead) = self.lead.get_mut(index)
        {
            *lead = (*lead).max(self.floor - self.credit);
            self.runnable.insert(index);
        }
    }

    /// Chooses a VM that can run: the one in a `hurry`, since a person has just typed to it,
    /// unless it has had more than a quantum beyond what another one has; with `stay` the one that
    /// had the last turn, since its quantum has not ended; else the one furthest behind.
    #[inline]
    pub fn pick(&mut self, hurry: Option<usize>, stay: bool) -> Option<usize> {
        let hurry = hurry.filter(|first| self.runnable.contains(*first));
        let stays = self
            .last
            .filter(|last| stay && self.runnable.contains(*last));
        if hurry.is_none() && stays.is_some() {
            return stays;
        }
        let behind = self.furthest_behind()?;
        let least = self.lead[behind];
        self.floor = self.floor.max(least);
        let may_hurry = |first: &usize| self.lead[*first].saturating_sub(least) <= self.credit;
        self.last = hurry.filter(may_hurry).or(stays).or(Some(behind));
        if self.floor > FAR {
            self.come_back();
        }
        self.last
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

    /// A VM of `weight` has run for so many `ticks` of the TSC.
    #[inline]
    pub fn charge(&mut self, index: usize, ticks: u64, weight: u32) {
        if let Some(lead) = self.lead.get_mut(index) {
            *lead = lead.saturating_add(scaled(ticks, weight));
        }
    }

    /// Who had the last turn.
    #[inline]
    pub fn last(&self) -> Option<usize> {
        self.last
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

fn scaled(ticks: u64, weight: u32) -> i64 {
    let most = i64::MAX / SCALE / 4;
    let ticks = i64::try_from(ticks).unwrap_or(most).min(most);
    ticks * SCALE / i64::from(weight.max(1))
}

#[cfg(test)]
mod tests;
