//! INVLPG under shadow paging (APM 5.5.2, volume 3).

use super::{Outcome, unexpected};
use crate::decode::glance::{self, Glance};
use crate::decode::{Operation, Segment};
use crate::svm::tlb::Flush;
use crate::vm::fault::Fault;
use crate::vm::{Vcpu, Vm, assists, operand};

/// Drops the translation of the page that the instruction names.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let Some((linear, next)) = operand(vcpu, vm) else {
        return unexpected::unreadable(vcpu, vm);
    };
    if vcpu.save().cpl != 0 {
        vcpu.raise(Fault::Protection);
        return Outcome::Resume;
    }
    match &mut vm.shadow {
        Some(shadow) => {
            shadow.invalidate(&vm.memory, linear);
            vcpu.forget_code_page_at(linear);
        }
        None => vcpu.flush_tlb(Flush::All),
    }
    vcpu.complete_with_rf(next);
    Outcome::Resume
}

/// The linear address, and the RIP behind the instruction.
fn operand(vcpu: &mut Vcpu, vm: &Vm) -> Option<(u64, u64)> {
    if vcpu.has_decode_assists
        && let Some(told) = assists::invlpg(vcpu.control(), vcpu.save().rip)
    {
        return Some(told);
    }
    if let Some(Glance::Invlpg(gpr)) = vcpu.glance(&vm.memory) {
        let linear = operand::linear(vcpu, Segment::Ds, vcpu.gpr(gpr));
        return Some((linear, vcpu.save().rip.wrapping_add(glance::LENGTH)));
    }
    let instruction = vcpu.instruction(&vm.memory)?;
    let Operation::Invlpg(address) = instruction.operation else {
        return None;
    };
    let next = vcpu.behind(&instruction);
    let offset = address.offset(|gpr| vcpu.gpr(gpr), next);
    Some((operand::linear(vcpu, address.segment, offset), next))
}
