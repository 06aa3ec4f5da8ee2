//! Who runs next: round robin among the VMs that can run, a quantum each.

/// The scheduler's memory: who had the last turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scheduler {
    last: Option<usize>,
}

impl Scheduler {
    /// Chooses among `count` VMs the next one, after the last, that `is_runnable`.
    ///
    /// With `stay` the VM that had the last turn keeps it while it can run: its quantum has
    /// not ended.
    pub fn pick(
        &mut self,
        count: usize,
        stay: bool,
        is_runnable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let first = match self.last {
            Some(last) if stay => last,
            Some(last) => last + 1,
            None => 0,
        };
        let next = (0..count)
            .map(|step| (first + step) % count)
            .find(|index| is_runnable(*index));
        self.last = next.or(self.last);
        next
    }

    /// Who had the last turn.
    pub fn last(&self) -> Option<usize> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_runnable_gets_a_turn() {
        let mut scheduler = Scheduler::default();
        let turns: Vec<_> = (0..6).map(|_| scheduler.pick(3, false, |_| true)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2].map(Some));
    }

    #[test]
    fn a_quantum_is_kept_until_the_vm_waits() {
        let mut scheduler = Scheduler::default();
        assert_eq!(scheduler.pick(2, false, |_| true), Some(0));
        assert_eq!(scheduler.pick(2, true, |_| true), Some(0));
        assert_eq!(scheduler.pick(2, true, |index| index == 1), Some(1));
    }

    #[test]
    fn nobody_runnable_is_nobody_s_turn() {
        let mut scheduler = Scheduler::default();
        assert_eq!(scheduler.pick(0, false, |_| true), None);
        assert_eq!(scheduler.pick(3, true, |_| false), None);
    }
}
