//! A hardware task switch, which the VMM performs for the guest (APM 12.2, 12.3, 15.14.1).
//!
//! SVM tells the selector of the new task, and what caused the switch; nothing has happened yet.
//! `cause` finds out the rest, `switch` goes through with it by the formats of `tss`, and
//! `segments` loads what the new task's selectors name.

mod cause;
mod descriptor;
mod segments;
mod switch;
mod tss;

use intercepts::Event;

use super::{Outcome, exception, interrupt, unexpected};
use crate::svm::carried;
use crate::vm::walk::PageFault;
use crate::vm::{Vcpu, Vm};

/// #TS, #NP, #SS, #GP, #PF.
const TS: u8 = 10;
const NP: u8 = 11;
const SS: u8 = 12;
const GP: u8 = 13;
const PF: u8 = 14;
/// Of an error code that names a selector: an event from outside the program was being delivered.
const EXT: u16 = 1;

/// The exception that a switch ends with: before it has begun, or in the new task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// #PF.
    Page(PageFault),
    /// An exception by its vector, and its error code, without EXT.
    Selector(u8, u16),
}

impl From<PageFault> for Fault {
    fn from(fault: PageFault) -> Fault {
        Fault::Page(fault)
    }
}

/// Performs the task switch that the guest is about to make.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    carried::store(vcpu);
    let outcome = perform(vcpu, vm);
    carried::load(vcpu);
    outcome
}

/// The same, with all of the vCPU in its VMCB.
pub(super) fn perform(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let Some(cause) = cause::find(vcpu, vm) else {
        return unexpected::unreadable(vcpu, vm);
    };
    // An event that came through a task gate is delivered by the switch, not once more.
    vcpu.inject(Event::NONE);
    let switched = switch::perform(vcpu, vm, &cause);
    vcpu.forget_code_page();
    let outcome = match switched {
        Ok(()) => Outcome::Resume,
        Err(Fault::Page(PageFault { linear, error })) => {
            vcpu.set_cr2(linear);
            exception::raise(vcpu, vm, PF, Some(error))
        }
        Err(Fault::Selector(vector, error)) => {
            let external = if cause.is_external() { EXT } else { 0 };
            exception::raise(vcpu, vm, vector, Some((error | external).into()))
        }
    };
    // The new task may have interrupts on.
    interrupt::offer(vcpu, vm);
    outcome
}
