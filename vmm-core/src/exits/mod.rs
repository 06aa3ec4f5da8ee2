//! What happens on a #VMEXIT: one file a family of exits, a plain function a handler.
//!
//! The road is short on purpose: the world switch calls [`dispatch`], which loads the
//! handler from the VM's static table and calls it. A handler changes the vCPU and the VM and
//! says whether the guest may go straight on. What is counted, the world switch counts.
//! [`watch`] stands on that road only in VMs whose exits are looked at one by one.

pub mod cache;
pub mod cpuid;
pub mod cr;
mod debug;
pub mod delivery;
pub mod deny;
pub mod dr;
pub mod exception;
pub mod hlt;
pub mod host_paging;
pub mod icebp;
pub mod inject;
pub mod interrupt;
pub mod invalid;
pub mod invlpg;
pub mod io;
pub mod limit;
pub mod log;
pub mod mmio;
pub mod monitor;
pub mod msr;
pub mod mwait;
pub mod npf;
pub mod pause;
mod remedy;
pub mod shadow;
pub mod step;
pub mod stop;
pub mod svm;
pub mod swint;
pub mod task;
pub mod tsc;
pub mod unexpected;
pub mod vmmcall;
pub mod watch;
pub mod when;
pub mod write_trap;

use intercepts::{Event, EventKind, ExitCode, Finish, by_code, slot, vmcb};

use crate::journal;
use crate::vm::{Instance, Vcpu, Vm};

/// Handles one kind of exit.
pub type Handler = fn(&mut Vcpu, &mut Vm) -> Outcome;

/// What the world switch does after a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Run the guest again at once.
    Resume = 0,
    /// Return to the scheduler: the VM waits, has ended, or the host has work to do.
    Leave = 1,
}

/// Handles the exit that the VMCB describes.
///
/// Called by the world switch with GIF = 0, once for each #VMEXIT; if `COUNTED`, it counts the
/// exit then under the slot that this leaves in [`Stats::slot`](crate::vm::stats::Stats).
pub extern "sysv64" fn dispatch<const COUNTED: bool>(instance: &mut Instance) -> Outcome {
    journal::exit(instance, |instance| {
        if instance.vcpu.control().exit_int_info.is_valid() {
            return redeliver::<COUNTED>(instance);
        }
        handle::<COUNTED>(instance)
    })
}

#[inline(always)]
fn handle<const COUNTED: bool>(instance: &mut Instance) -> Outcome {
    let Instance { vcpu, vm } = instance;
    vcpu.flush_no_tlb();
    let slot = slot(vcpu.control().exit_code);
    if COUNTED {
        vm.stats.slot = slot;
    }
    vm.dispatch.at(slot)(vcpu, vm)
}

/// An exit interrupted the delivery of an event: queue it again (APM 15.7.2).
#[cold]
#[inline(never)]
fn redeliver<const COUNTED: bool>(instance: &mut Instance) -> Outcome {
    let vcpu = &mut instance.vcpu;
    let event = vcpu.control().exit_int_info;
    let vector = event.vector();
    match event.kind() {
        Some(EventKind::Interrupt) => vcpu.inject_interrupt(vector),
        // QUIRK: QEMU 7.2 records an interrupt as an exception.
        Some(EventKind::Exception) if vector > 31 || vcpu.interrupt_under_way() == Some(vector) => {
            vcpu.inject_interrupt(vector);
        }
        _ if is_executed_again(vcpu, event) => {}
        _ => vcpu.inject(event),
    }
    handle::<COUNTED>(instance)
}

/// Whether RIP still points at the INTn, INT3 or INTO that raised the event. One that the VMM gave
/// the guest comes back as #BP or #OF too, but only if it intercepts that.
fn is_executed_again(vcpu: &Vcpu, event: Event) -> bool {
    const BP_AND_OF: u32 = 1 << 3 | 1 << 4;
    match event.kind() {
        Some(EventKind::Software) => true,
        Some(EventKind::Exception) => {
            BP_AND_OF & !vcpu.control().intercept_exceptions & 1 << (event.vector() & 31) != 0
        }
        _ => false,
    }
}

/// Handles an exit that may have come only because the VMM had more exceptions intercepted for
/// a while than the policy wants; those are the guest's, and not counted.
fn pass_on(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let code = vcpu.control().exit_code;
    let is_asked_for = |code: ExitCode| vmcb::intercepts(vcpu.vmcb(), code);
    match by_code(code) {
        Some(exit) if exit.finish == Finish::Reflect && !is_asked_for(exit.code) => {
            vm.stats.forgive();
            exception::reflect(vcpu, vm)
        }
        _ => vm.behind.handler(code)(vcpu, vm),
    }
}

#[cfg(test)]
pub(crate) mod tests;
