//! INTn that a policy counts: delivered as an injected software interrupt (APM 15.20).
//!
//! The CPU pushes the RIP that the VMCB holds (or nRIP, where it has one), so both are put
//! behind the INTn. If the delivery faults, the guest must find the INTn's own RIP: so the
//! delivery is watched.

use intercepts::Event;
use intercepts::vmcb::registers::rflags;

use super::{Outcome, delivery, unexpected};
use crate::decode::Operation;
use crate::vm::fault::Fault;
use crate::vm::vcpu::{RFLAGS_RF, RFLAGS_VM};
use crate::vm::{Vcpu, Vm};

const RFLAGS_IOPL: u64 = rflags::IOPL;

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
    let rip = vcpu.save().rip;
    vcpu.save_mut().rip = next;
    vcpu.save_mut().rflags &= !RFLAGS_RF;
    let control = vcpu.control_mut();
    control.next_rip = next;
    control.interrupt_shadow = 0;
    vcpu.inject(Event::software(vector));
    delivery::watch(vcpu, vm, rip);
    Outcome::Resume
}

/// In VM86 mode INTn needs IOPL 3, which an injected one is not asked for.
fn is_kept_from_vm86(vcpu: &Vcpu) -> bool {
    let rflags = vcpu.save().rflags;
    rflags & RFLAGS_VM != 0 && rflags & RFLAGS_IOPL != RFLAGS_IOPL
}
