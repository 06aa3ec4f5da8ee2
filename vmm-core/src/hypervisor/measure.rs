//! What the VMM measures of itself when its command line asks for it, for `cargo bench-exits`.

use super::Hypervisor;
use crate::host::{record, tsc};
use crate::svm::floor;

impl Hypervisor {
    /// What a change of vCPU costs, as a record: to decide who runs next, to arm the timer, and to
    /// change the CPU's state, the FPU's included, which is measured by itself as well; and the
    /// whole way from the end of one VM's turn to the beginning of another's. A frame is overdue
    /// meanwhile, so the timer's interrupt comes each time, as it does when a turn ends.
    pub(super) fn measure_switches(&mut self) {
        const ROUNDS: u64 = 1_000;
        let now = self.look_around();
        let switches = ticks_of(ROUNDS, || {
            if let Some(index) = self.next_turn(now) {
                self.load(index);
                self.turn_is_over(index);
            }
        });
        let ways = ticks_of(ROUNDS, || {
            let now = self.look_around();
            if let Some(index) = self.next_turn(now) {
                self.begin_turn(index);
                self.turn_is_over(index);
            }
        });
        let fpu = self.measure_fpu(ROUNDS);
        self.turn = None;
        record::send("switches", |record| {
            record.number("rounds", ROUNDS);
            record.number("ticks", switches);
            record.number("way_ticks", ways);
            record.number("fpu_ticks", fpu);
        });
    }

    /// As if this VM had used up its turn.
    fn turn_is_over(&mut self, index: usize) {
        self.turn = Some((index, tsc::now()));
        self.turn_ends = 0;
    }

    /// Ticks that it takes to save the x87 and SSE registers, and to load them, so often.
    fn measure_fpu(&mut self, rounds: u64) -> u64 {
        let loaded = self.loaded.and_then(|index| self.guests.get_mut(index));
        let Some(life) = loaded.and_then(|guest| guest.life.as_mut()) else {
            return 0;
        };
        ticks_of(rounds, || {
            life.fpu.save();
            life.fpu.restore();
        })
    }

    /// What VMRUN and #VMEXIT cost bare, in the same run as everything else, as a record.
    pub(super) fn measure_floor(&mut self) {
        const ROUNDS: u64 = 10_000;
        self.load(0);
        let Some(life) = &mut self.guests[0].life else {
            return;
        };
        // SAFETY: as in `turn`; the VMs are new.
        let ticks = unsafe { floor::measure(life.instance, ROUNDS) };
        record::send("floor", |record| {
            record.number("rounds", ROUNDS);
            record.number("ticks", ticks.unwrap_or(0));
        });
    }
}

/// How many ticks of the TSC it takes to do something so often.
fn ticks_of(rounds: u64, mut something: impl FnMut()) -> u64 {
    let started = tsc::now();
    (0..rounds).for_each(|_| something());
    tsc::now().wrapping_sub(started)
}
