//! INTn that a policy counts: delivered as an injected software interrupt (APM 15.20).
//!
//! The CPU pushes the RIP that the VMCB holds (or nRIP, where it has one), so both are put
//! behind the INTn. If the delivery faults, the guest must find the INTn's own RIP: until the
//! next exit, whichever it is, the faults that a delivery can raise are intercepted.

use intercepts::{Event, EventKind};

use super::{Outcome, pass_on, unexpected};
use crate::decode::Operation;
use crate::policy::Dispatch;
use crate::vm::fault::Fault;
use crate::vm::vcpu::{RFLAGS_RF, RFLAGS_VM};
use crate::vm::{Vcpu, Vm};

/// #TS, #NP, #SS, #GP, #PF.
const FAULTS: u32 = 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14;
const RFLAGS_IOPL: u64 = 3 << 12;

/// A software interrupt on its way into the guest.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// RIP of the INTn.
    rip: u64,
    /// RIP behind it.
    next: u64,
    /// The exceptions that the policy intercepts.
    exceptions: u32,
}

static DELIVERING: Dispatch = Dispatch::all(delivered);

/// Delivers the interrupt that the guest asks for.
pub fn deliver(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let Some(instruction) = vcpu.instruction(&vm.memory) else {
        return unexpected::unreadable(vcpu, vm);
    };
    let vector = match instruction.operation {
        Operation::Int(_) if is_kept_from_vm86(vcpu) => {
            vcpu.raise(Fault::Protection);
            return Outcome::Resume;
        }
        Operation::Int(vector) => vector,
        // QUIRK: QEMU 7.2 exits from INT3 and INTO as from INTn.
        Operation::Int3 => 3,
        Operation::Into => 4,
        _ => return unexpected::unreadable(vcpu, vm),
    };
    let next = vcpu.behind(&instruction);
    vcpu.delivery = Some(Delivery {
        rip: vcpu.save().rip,
        next,
        exceptions: vcpu.control().intercept_exceptions,
    });
    vcpu.save_mut().rip = next;
    vcpu.save_mut().rflags &= !RFLAGS_RF;
    let control = vcpu.control_mut();
    control.next_rip = next;
    control.interrupt_shadow = 0;
    control.intercept_exceptions |= FAULTS;
    vcpu.inject(Event::software(vector));
    vm.dispatch = &DELIVERING;
    Outcome::Resume
}

/// In VM86 mode INTn needs IOPL 3, which an injected one is not asked for.
fn is_kept_from_vm86(vcpu: &Vcpu) -> bool {
    let rflags = vcpu.save().rflags;
    rflags & RFLAGS_VM != 0 && rflags & RFLAGS_IOPL != RFLAGS_IOPL
}

/// The first exit after [`deliver`].
#[cold]
fn delivered(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    vm.dispatch = vm.policy.dispatch;
    let mut exceptions = vcpu.control().intercept_exceptions;
    if let Some(delivery) = vcpu.delivery.take() {
        exceptions = delivery.exceptions;
        let event = vcpu.control().exit_int_info;
        let is_interrupted = event.is_valid() && event.kind() == Some(EventKind::Software);
        if is_interrupted && vcpu.save().rip == delivery.next {
            vcpu.save_mut().rip = delivery.rip;
        }
    }
    vcpu.control_mut().intercept_exceptions = exceptions;
    pass_on(vcpu, vm)
}
