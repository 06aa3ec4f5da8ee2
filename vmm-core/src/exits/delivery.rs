//! Injected events on their way into the guest: what must be known if their delivery faults.
//!
//! Until the next exit, whichever it is, the faults that a delivery can raise are intercepted.
//! An INTn that faults gets its RIP back, and two exceptions combine as they should.

use intercepts::EventKind;

use super::{Outcome, pass_on};
use crate::policy::Dispatch;
use crate::vm::{Vcpu, Vm};

/// #TS, #NP, #SS, #GP, #PF.
const FAULTS: u32 = 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14;

/// An event that is being delivered.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// RIP of the INTn, if it is one.
    rip: u64,
    /// The RIP that the delivery pushes.
    pushed: u64,
    /// The exceptions that the policy intercepts.
    exceptions: u32,
}

impl Delivery {
    /// Whether what the exit has interrupted is the INTn that the VMM delivers, and not one that the
    /// guest has executed since.
    pub(super) fn is_interrupted(&self, vcpu: &Vcpu) -> bool {
        let event = vcpu.control().exit_int_info;
        let is_of_int_n = self.rip != self.pushed;
        is_of_int_n
            && event.is_valid()
            && event.kind() == Some(EventKind::Software)
            && vcpu.save().rip == self.pushed
    }
}

static DELIVERING: Dispatch = Dispatch::all(delivered);

/// Watches the delivery of the event that has just been queued. `rip` is where the guest is to
/// be if a software interrupt does not arrive.
pub(super) fn watch(vcpu: &mut Vcpu, vm: &mut Vm, rip: u64) {
    vcpu.delivery = Some(Delivery {
        rip,
        pushed: vcpu.save().rip,
        exceptions: vcpu.control().intercept_exceptions,
    });
    vcpu.control_mut().intercept_exceptions |= FAULTS;
    vm.answer_by(&DELIVERING);
}

/// Ends the watch: the event has been delivered, or has come back.
pub(super) fn end(vcpu: &mut Vcpu, vm: &mut Vm) -> Option<Delivery> {
    vm.answer_by(vm.policy.dispatch);
    let delivery = vcpu.delivery.take()?;
    vcpu.control_mut().intercept_exceptions = delivery.exceptions;
    Some(delivery)
}

/// The first exit after [`watch`].
#[cold]
fn delivered(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    if let Some(delivery) = end(vcpu, vm)
        && delivery.is_interrupted(vcpu)
    {
        vcpu.save_mut().rip = delivery.rip;
    }
    pass_on(vcpu, vm)
}
