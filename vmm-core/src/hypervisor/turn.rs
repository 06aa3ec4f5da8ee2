//! A vCPU's turn: into the CPU, as far as it is not there yet, to the guest, and back.
//!
//! All of a vCPU changes with it, the x87 and SSE registers included: to save and load them costs
//! two instructions, and less than a tenth of the exit that it would take to wait until the guest
//! touches them (CR0.TS and #NM). `cargo bench-exits` measures both.

use intercepts::ExitCode;

use super::{Hypervisor, RETRY_NS};
use crate::host::tsc;
use crate::journal::{self, Happening};
use crate::svm::instructions::{load_cr2, vmload, vmsave};
use crate::svm::switch;
use crate::vm::refusal;

impl Hypervisor {
    /// Charges who had the last turn for all the time that has passed since, what the VMM did
    /// between the turns included: a VM that keeps it busy pays for that, and none pays for what
    /// is done after this and for a person: orders of the console, and the screen.
    pub(super) fn charge(&mut self) {
        if let Some((index, began)) = self.turn.take() {
            let ticks = tsc::now().wrapping_sub(began);
            self.scheduler.charge(index, ticks);
        }
    }

    /// Lets a VM run until an exit wants the VMM.
    pub(super) fn turn(&mut self, index: usize) {
        self.begin_turn(index);
        let Some(life) = &mut self.guests[index].life else {
            return;
        };
        let instance = &mut *life.instance;
        let started = tsc::now();
        // SAFETY: SVM is enabled with a host save area, GIF is 0 and IF 1 since `new`; the
        // instance is loaded, which also put aside the gates with IST; its VMCB passed
        // `validate`.
        unsafe { switch::run(instance) };
        let ticks = tsc::now().wrapping_sub(started);
        // QUIRK: QEMU 7.2 writes VMEXIT_INVALID as 32 bits.
        if instance.vcpu.control().exit_code as u32 == ExitCode::Invalid as u64 as u32 {
            let max_physical = self.svm.max_physical;
            let name = instance.vm.policy.name;
            refusal::tell_refused(name, &instance.vcpu, &life.entered, max_physical);
        }
        instance.vm.stats.run_cycles += ticks;
        self.quit |= instance.vm.is_marked;
        let retry_soon = instance.vm.retry_soon;
        let is_full = instance.vm.stats.is_full();
        self.guests[index].account.run_cycles.add(ticks);
        if is_full {
            self.stream(index);
        }
        if journal::is_full() {
            self.send_journal(index);
        }
        if retry_soon {
            self.retry();
        }
    }

    /// Brings a vCPU as far as to its VMRUN.
    pub(super) fn begin_turn(&mut self, index: usize) {
        self.turn = Some((index, tsc::now()));
        self.news.insert(index);
        self.load(index);
        let guest = &mut *self.guests[index];
        guest.begin_turn();
        let Some(life) = &mut guest.life else {
            return;
        };
        let instance = &mut *life.instance;
        instance.happens(Happening::Turn);
        let retry_soon = instance.vm.retry_soon;
        life.entered.remember(&instance.vcpu);
        if retry_soon {
            self.retry();
        }
    }

    /// Has the timer interrupt very soon.
    fn retry(&mut self) {
        self.machine.timer.arm(RETRY_NS);
        self.armed = None;
    }

    /// Puts a VM's vCPU into the CPU, if it is not there already.
    pub(super) fn load(&mut self, index: usize) {
        if self.loaded == Some(index) {
            return;
        }
        self.store_loaded();
        self.machine.cpu.use_ist(false);
        let Some(life) = &self.guests[index].life else {
            return;
        };
        life.fpu.restore();
        life.debug.load();
        life.tsc_aux.load();
        load_cr2(life.instance.vcpu.save().cr2);
        // SAFETY: the address is that of the vCPU's VMCB, and no gate uses IST any more.
        unsafe { vmload(life.instance.vcpu.vmcb_pa()) };
        self.loaded = Some(index);
    }

    /// Takes the vCPU that is in the CPU out of it; the host's own state comes back.
    pub(super) fn unload(&mut self) {
        if self.loaded.is_none() {
            return;
        }
        self.store_loaded();
        // SAFETY: `host_state` holds what VMSAVE stored when the VMM began.
        unsafe { vmload(self.host_state) };
        self.machine.cpu.use_ist(true);
    }

    fn store_loaded(&mut self) {
        let loaded = self.loaded.take();
        let guest = loaded.and_then(|index| self.guests.get_mut(index));
        if let Some(life) = guest.and_then(|guest| guest.life.as_mut()) {
            life.fpu.save();
            life.debug.store();
            life.tsc_aux.store();
            // SAFETY: the address is that of the vCPU's VMCB.
            unsafe { vmsave(life.instance.vcpu.vmcb_pa()) };
        }
    }
}
