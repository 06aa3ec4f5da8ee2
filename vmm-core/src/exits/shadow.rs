//! Exits of a VM under shadow paging: its handlers see the registers that the guest believes
//! in, and a page fault only if it is the guest's own (APM 15.12.15).
//!
//! One handler stands before all others of such a VM; a VM with nested paging has none of this.

use intercepts::vmcb::control::tlb;
use intercepts::{EventKind, ExitCode};

use super::Outcome;
use crate::policy::Dispatch;
use crate::svm::shadow::{Access, Registers, Shadow, Stop, Verdict};
use crate::svm::tlb::Flush;
use crate::vm::{How, Vcpu, Vm};

static SHADOWED: Dispatch = Dispatch::all(exit);

/// Has the guest, which has not run yet, run on `shadow`.
pub fn begin(vcpu: &mut Vcpu, vm: &mut Vm, mut shadow: Shadow) {
    let found = shadow.activate(&vm.memory, Registers::of(vcpu.save()));
    shadow.hardware().put(vcpu.save_mut());
    vm.shadow = Some(shadow);
    vm.dispatch = &SHADOWED;
    if let Err(stop) = found {
        outside(vcpu, vm, stop);
    }
}

fn exit(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    const PF: u64 = ExitCode::ExceptionPf as u64;
    let code = vcpu.control().exit_code;
    let Some(shadow) = &mut vm.shadow else {
        return vm.behind.handler(code)(vcpu, vm);
    };
    if !shadow.follow(&Registers::of(vcpu.save())) {
        return task_switched(vcpu, vm);
    }
    let guest = shadow.guest();
    if code == PF {
        let control = vcpu.control();
        let (error, linear) = (control.exit_info1 as u32, control.exit_info2);
        match shadow.fault(&mut vm.memory, linear, Access::of(error)) {
            Verdict::Mapped => {
                shadow.hidden_faults += 1;
                vm.stats.forgive(code);
                return resume(vcpu, vm);
            }
            Verdict::Stopped(Stop::Fault(fault)) => {
                let control = vcpu.control_mut();
                control.exit_info1 = fault.error.into();
                control.exit_info2 = fault.linear;
            }
            Verdict::Stopped(stop) => return outside(vcpu, vm, stop),
        }
    }
    guest.put(vcpu.save_mut());
    vm.memory.take_written();
    let outcome = vm.behind.handler(code)(vcpu, vm);
    settle(vcpu, vm, guest, outcome)
}

/// After a page fault that the guest is not to know of.
fn resume(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let event = vcpu.control().exit_int_info;
    // An INTn of the guest's own is executed again; one that the VMM delivers is not there.
    let is_delivered = event.is_valid() && event.kind() == Some(EventKind::Software);
    if is_delivered && vcpu.delivery.is_some() {
        vcpu.inject(event);
    }
    enter(vcpu, vm);
    Outcome::Resume
}

/// After a handler, which may have changed the guest's registers or memory.
fn settle(vcpu: &mut Vcpu, vm: &mut Vm, before: Registers, outcome: Outcome) -> Outcome {
    let guest = Registers::of(vcpu.save());
    let is_flushed = vcpu.control().tlb_control != tlb::NOTHING;
    let is_written = vm.memory.take_written();
    let Some(shadow) = &mut vm.shadow else {
        return outcome;
    };
    let mut found = Ok(());
    if is_written {
        // Mirrored tables may be among it.
        shadow.forget();
    }
    if is_written || is_flushed || guest != before {
        found = shadow.activate(&vm.memory, guest);
    }
    enter(vcpu, vm);
    match found {
        Ok(()) => outcome,
        Err(stop) => outside(vcpu, vm, stop),
    }
}

/// Gives the CPU its own registers back, and has it forget what is gone.
#[inline(always)]
fn enter(vcpu: &mut Vcpu, vm: &mut Vm) {
    let Some(shadow) = &mut vm.shadow else { return };
    shadow.hardware().put(vcpu.save_mut());
    if shadow.take_stale() {
        vcpu.flush_tlb(Flush::All);
    }
}

/// Ends the VM: it is where no memory is.
#[cold]
fn outside(vcpu: &mut Vcpu, vm: &mut Vm, stop: Stop) -> Outcome {
    let Stop::Outside { gpa, is_table } = stop else {
        return Outcome::Resume;
    };
    let tried = if is_table {
        "its page tables lead"
    } else {
        "it reaches"
    };
    let rip = vcpu.save().rip;
    let end = vm.memory.bytes();
    vm.finish(
        How::Crashed,
        format_args!(
            "{tried} to guest-physical {gpa} at RIP {rip:#x}, but its memory ends at {end:#x}; \
             raise `memory` in vm.toml if that is too little"
        ),
    )
}

/// Ends the VM: it is no longer on the tables that it was given.
///
/// QUIRK: QEMU 7.2 has no exit for a hardware task switch, which loads CR3 from the guest's TSS.
#[cold]
fn task_switched(vcpu: &Vcpu, vm: &mut Vm) -> Outcome {
    let rip = vcpu.save().rip;
    vm.finish(
        How::Stopped,
        format_args!(
            "a hardware task switch before RIP {rip:#x}, which shadow paging does not take; \
             write `npt = true`"
        ),
    )
}
