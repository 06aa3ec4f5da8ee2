//! Exits of a VM under shadow paging: its handlers see the registers that the guest believes
//! in, and a page fault only if it is the guest's own (APM 15.12.15).
//!
//! One handler stands before all others of such a VM; a VM with nested paging has none of this.

use intercepts::vmcb::control::tlb;
use intercepts::{EventKind, ExitCode, NptFault, slot};

use super::{Outcome, delivery};
use crate::policy::Dispatch;
use crate::svm::shadow::{Access, Registers, Shadow, Stop, Verdict};
use crate::svm::tlb::Flush;
use crate::vm::{How, Vcpu, Vm};

const NPF: u64 = ExitCode::Npf as u64;

static SHADOWED: Dispatch = Dispatch::all(exit);

/// Has the guest, which has not run yet, run on `shadow`.
pub fn begin(vcpu: &mut Vcpu, vm: &mut Vm, mut shadow: Shadow) {
    shadow.activate(&vm.memory, Registers::of(vcpu.save()));
    shadow.hardware().put(vcpu.save_mut());
    vm.shadow = Some(shadow);
    vm.dispatch = &SHADOWED;
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
        let control = vcpu.control_mut();
        let (error, linear) = (control.exit_info1 as u32, control.exit_info2);
        let access = Access::of(error);
        let verdict = shadow.fault(&mut vm.memory, linear, access);
        match verdict {
            Verdict::Mapped => {
                shadow.hidden_faults += 1;
                vm.stats.forgive();
                return resume(vcpu, vm);
            }
            Verdict::Stopped(Stop::Fault(fault)) => {
                control.exit_info1 = fault.error.into();
                control.exit_info2 = fault.linear;
            }
            Verdict::Stopped(Stop::Outside { gpa, is_table }) => {
                control.exit_code = NPF;
                control.exit_info1 = nested_error(access, is_table).bits();
                control.exit_info2 = gpa.0;
                vm.stats.slot = slot(NPF);
            }
        }
    }
    let code = vcpu.control().exit_code;
    guest.put(vcpu.save_mut());
    let outcome = vm.behind.handler(code)(vcpu, vm);
    settle(vcpu, vm, guest);
    outcome
}

/// The guest reaches for what is not its memory: as nested paging would have it told
/// (APM 15.25.6).
#[cold]
fn nested_error(access: Access, is_table: bool) -> NptFault {
    let when = |holds: bool, bits: NptFault| if holds { bits } else { NptFault::empty() };
    NptFault::USER
        | if is_table {
            NptFault::TABLE_WALK | NptFault::WRITE
        } else {
            NptFault::FINAL
                | when(access.write, NptFault::WRITE)
                | when(access.fetch, NptFault::FETCH)
        }
}

/// After a page fault that the guest is not to know of.
fn resume(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    if let Some(delivery) = vcpu.delivery {
        let event = vcpu.control().exit_int_info;
        if delivery.is_interrupted(vcpu) {
            vcpu.inject(event);
        } else if !event.is_valid() || event.kind() == Some(EventKind::Software) {
            // It has been delivered; an INTn of the guest's own is executed again.
            delivery::end(vcpu, vm);
        }
    }
    let Some(shadow) = &mut vm.shadow else {
        return Outcome::Resume;
    };
    match shadow.take_flush() {
        Flush::Nothing => vcpu.flush_no_tlb(),
        flush => {
            // The root may be another.
            shadow.hardware().put(vcpu.save_mut());
            vcpu.flush_tlb(flush);
        }
    }
    Outcome::Resume
}

/// After a handler, which may have changed the guest's registers or memory: gives the CPU its own
/// registers back, and has it forget what is gone.
fn settle(vcpu: &mut Vcpu, vm: &mut Vm, before: Registers) {
    let guest = Registers::of(vcpu.save());
    let written = vm.memory.take_written();
    let Some(shadow) = &mut vm.shadow else { return };
    let is_kept = written.is_none_or(|written| shadow.wrote(&vm.memory, written));
    let is_flushed = vcpu.control().tlb_control != tlb::NOTHING;
    if !is_kept || is_flushed || guest != before {
        shadow.activate(&vm.memory, guest);
        vcpu.forget_code_page();
    }
    shadow.hardware().put(vcpu.save_mut());
    // What the guest flushed for its own tables says nothing of these.
    match shadow.take_flush() {
        Flush::Nothing => vcpu.flush_no_tlb(),
        flush => vcpu.flush_tlb(flush),
    }
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
