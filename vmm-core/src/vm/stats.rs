//! How often a VM stopped, for what, and how long the VMM took over it.

use intercepts::{EXITS, Exit, ExitCode, SLOTS, slot};

/// One exit's count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How often.
    pub count: u64,
    /// TSC ticks between #VMEXIT and VMRUN, summed.
    pub cycles: u64,
}

/// The counts of one VM, by slot.
pub struct Stats {
    counts: [Count; SLOTS],
    /// TSC ticks from the first VMRUN to the end, minus what others ran.
    pub run_cycles: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            counts: [Count::default(); SLOTS],
            run_cycles: 0,
        }
    }
}

impl Stats {
    /// Counts an exit that took `cycles`.
    #[inline(always)]
    pub fn add(&mut self, slot: u8, cycles: u64) {
        let count = &mut self.counts[usize::from(slot)];
        count.count = count.count.wrapping_add(1);
        count.cycles = count.cycles.wrapping_add(cycles);
    }

    /// How many exits of this code have been handled.
    pub fn count(&self, code: ExitCode) -> u64 {
        self.counts[usize::from(slot(code as u64))].count
    }

    /// Takes back the count of the exit that is being handled: it serves the VMM alone, and
    /// [`Stats::add`] is still to come.
    pub fn forgive(&mut self, code: u64) {
        let count = &mut self.counts[usize::from(slot(code))].count;
        *count = count.wrapping_sub(1);
    }

    /// Each exit that happened, in the order of the codes.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Exit, Count)> + '_ {
        EXITS
            .iter()
            .map(|exit| (exit, self.counts[usize::from(slot(exit.code as u64))]))
            .filter(|(_, count)| count.count != 0)
    }

    /// Adds the counts of an earlier life.
    pub fn add_all(&mut self, other: &Stats) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            count.count = count.count.wrapping_add(more.count);
            count.cycles = count.cycles.wrapping_add(more.cycles);
        }
        self.run_cycles = self.run_cycles.wrapping_add(other.run_cycles);
    }

    /// All exits.
    pub fn total(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.wrapping_add(count.count))
    }

    /// TSC ticks that the VMM took, over all exits.
    pub fn vmm_cycles(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.wrapping_add(count.cycles))
    }
}
