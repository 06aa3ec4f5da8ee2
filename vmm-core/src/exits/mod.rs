//! What happens on a #VMEXIT: one file a family of exits, a plain function a handler.
//!
//! The road is short on purpose: the world switch calls [`dispatch`], which loads the
//! handler from the VM's static table, calls it and counts. A handler changes the vCPU and
//! the VM and says whether the guest may go straight on.

pub mod cache;
pub mod cpuid;
pub mod cr;
pub mod delivery;
pub mod deny;
pub mod dr;
pub mod exception;
pub mod hlt;
pub mod icebp;
pub mod inject;
pub mod interrupt;
pub mod invalid;
pub mod invlpg;
pub mod io;
pub mod limit;
pub mod log;
pub mod monitor;
pub mod msr;
pub mod mwait;
pub mod npf;
pub mod pause;
pub mod shadow;
pub mod step;
pub mod stop;
pub mod svm;
pub mod swint;
pub mod tsc;
pub mod unexpected;
pub mod vmmcall;
pub mod when;
pub mod write_trap;

use intercepts::vmcb::control::tlb;
use intercepts::{Event, EventKind, ExitCode, Finish, by_code, slot, vmcb};

use crate::host::tsc as host_tsc;
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

/// Handles the exit that the VMCB describes, and counts it with the cycles it took.
///
/// Called by the world switch with GIF = 0, once for each #VMEXIT.
pub extern "sysv64" fn dispatch(instance: &mut Instance) -> Outcome {
    let Instance { vcpu, vm } = instance;
    if vcpu.control().exit_int_info.is_valid() {
        redeliver(vcpu);
    }
    let arrived = host_tsc::now();
    vcpu.control_mut().tlb_control = tlb::NOTHING;
    let code = vcpu.control().exit_code;
    let outcome = vm.dispatch.handler(code)(vcpu, vm);
    vm.stats
        .add(slot(code), host_tsc::now().wrapping_sub(arrived));
    outcome
}

/// An exit interrupted the delivery of an event: queue it again (APM 15.7.2).
#[cold]
#[inline(never)]
fn redeliver(vcpu: &mut Vcpu) {
    let event = vcpu.control().exit_int_info;
    // QUIRK: QEMU 7.2 records an interrupted external interrupt as an exception; vectors
    // from 32 on cannot be exceptions, and injecting them as such is refused.
    let event = match event.kind() {
        Some(EventKind::Exception) if event.vector() > 31 => Event::interrupt(event.vector()),
        _ => event,
    };
    // A software interrupt's RIP still points at INTn: the guest executes it again.
    if event.kind() != Some(EventKind::Software) {
        vcpu.inject(event);
    }
}

/// Handles an exit that may have come only because the VMM had more exceptions intercepted for
/// a while than the policy wants; those are the guest's, and not counted.
fn pass_on(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let code = vcpu.control().exit_code;
    let is_asked_for = |code: ExitCode| vmcb::intercepts(vcpu.vmcb(), code);
    match by_code(code) {
        Some(exit) if exit.finish == Finish::Reflect && !is_asked_for(exit.code) => {
            vm.stats.forgive(code);
            exception::reflect(vcpu, vm)
        }
        _ => vm.behind.handler(code)(vcpu, vm),
    }
}

#[cfg(test)]
pub(crate) mod tests;
