//! INVLPG under shadow paging (APM 5.5.2, volume 3).

use super::{Outcome, unexpected};
use crate::decode::Operation;
use crate::svm::tlb::Flush;
use crate::vm::fault::Fault;
use crate::vm::{Vcpu, Vm, operand};

/// Drops the translation of the page that the instruction names.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let Some(instruction) = vcpu.instruction(&vm.memory) else {
        return unexpected::unreadable(vcpu, vm);
    };
    let Operation::Invlpg(address) = instruction.operation else {
        return unexpected::unreadable(vcpu, vm);
    };
    if vcpu.save().cpl != 0 {
        vcpu.raise(Fault::Protection);
        return Outcome::Resume;
    }
    let next = vcpu.behind(&instruction);
    let offset = address.offset(|gpr| vcpu.gpr(gpr), next);
    let linear = operand::linear(vcpu, address.segment, offset);
    match &mut vm.shadow {
        Some(shadow) => shadow.invalidate(&vm.memory, linear),
        None => vcpu.flush_tlb(Flush::All),
    }
    vcpu.complete_with_rf(next);
    Outcome::Resume
}
