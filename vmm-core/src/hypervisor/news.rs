//! What has happened: on the machine's lines, and to which VMs.
//!
//! Only those VMs are looked at, so the others cost nothing: neither those that sleep nor those
//! that wait for their turn. A VM is news when it has had a turn, when its time to wake has come,
//! when a person or one of the machine's lines has something for it, and when it has been started.

use super::ends::starts_again;
use super::{Hypervisor, LINE_NS, accounts};
use crate::host::irq::{self, LineSet};
use crate::host::serial::COM1;
use crate::host::tsc;
use crate::journal::Happening;
use crate::vm::State;
use crate::warn;

impl Hypervisor {
    /// Passes on what came over the machine's interrupt lines.
    pub(super) fn serve(&mut self, lines: LineSet) {
        if lines.contains(irq::TIMER) {
            self.armed = None;
        }
        if lines.contains(irq::KEYBOARD) {
            while let Some(byte) = self.machine.keyboard.read() {
                self.pressed(byte);
            }
        }
        if lines.contains(irq::COM1) || lines.contains(irq::COM2) {
            loop {
                let Some(byte) = COM1.lock().read() else {
                    break;
                };
                self.typed(byte);
            }
        }
        if self.routes.concern(lines) {
            let controller = &mut *irq::controller();
            let told = self
                .routes
                .serve(lines, self.focus, &mut self.guests, controller);
            self.news |= told;
        }
        if irq::take_nmi() {
            warn!(
                "a non-maskable interrupt: the machine reports a fault, or somebody pressed its button"
            );
        }
    }

    /// Sees to the VMs that something has happened to.
    pub(super) fn see_to_news(&mut self, now: u64) {
        self.ledger.now.set(tsc::now());
        self.news |= self.sleepers.wake(now);
        while let Some(index) = self.news.pop() {
            self.see_to(index, now);
        }
    }

    /// Gives a VM what was typed, sends the line that it does not go on with, wakes it if an
    /// interrupt waits for it, buries it if it has ended, and has the scheduler know how it stands.
    fn see_to(&mut self, index: usize, now: u64) {
        let patience = self.machine.tsc.ticks(LINE_NS);
        let Some(guest) = self.guests.get_mut(index) else {
            return;
        };
        guest.give_input();
        if let Some(instance) = guest.instance() {
            let run = instance.vm.stats.run_cycles;
            instance.happens(Happening::Rest { run, patience });
            if instance.vm.state == State::Waiting && !instance.vm.paused {
                instance.happens(Happening::Now);
            }
            if let Some(end) = instance.vm.end.take() {
                self.bury(index, &end);
                if starts_again(self.guests[index], end.how) {
                    self.start_vm(index);
                }
            }
        }
        let guest = &*self.guests[index];
        guest.account.state.set(accounts::shown(guest) as u64);
        self.scheduler.set_runnable(index, guest.is_runnable());
        self.sleepers.set(index, guest.wakes(now));
        if guest.life.is_some() {
            self.on.insert(index);
        } else {
            self.on.remove(index);
        }
    }

    /// Arms the host timer for what is due first while `running` has its turn: its own timer, the
    /// line that it sends, and its turn's end, if others wait for that or will.
    pub(super) fn arm(&mut self, now: u64, running: usize) {
        let mut due = u64::MAX;
        if let Some(instance) = self.guests[running].instance() {
            instance.happens(Happening::Now);
            let vm = &instance.vm;
            if !vm.line.is_empty() {
                due = now + LINE_NS;
            }
            if let Some(deadline) = vm.devices.next_deadline() {
                due = due.min(now + deadline.0.saturating_sub(vm.clock.now().0));
            }
        }
        if self.scheduler.is_contended(Some(running)) {
            due = due.min(self.turn_ends);
        } else if let Some(wakes) = self.sleepers.next() {
            // Whoever wakes earlier waits for the end of the turn all the same.
            due = due.min(wakes.max(self.turn_ends));
        }
        self.arm_for(now, Some(due));
    }

    /// Arms the host timer for `due`, or for the next frame if that comes first.
    pub(super) fn arm_for(&mut self, now: u64, due: Option<u64>) {
        let due = due.map_or(self.paint_at, |due| due.min(self.paint_at));
        if self.armed.is_none_or(|armed| due < armed) {
            self.machine.timer.arm(due.saturating_sub(now));
            self.armed = Some(due);
        }
    }
}
