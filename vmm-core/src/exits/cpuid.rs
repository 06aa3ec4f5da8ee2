//! CPUID: the guest sees a model of a CPU, never the host's (APM volume 3, appendix E).

use super::Outcome;
use crate::vm::cpuid::Leaf;
use crate::vm::{Vcpu, Vm};

/// Answers from the VM's CPUID model and the leaves that the policy adds to it.
pub fn by_rules(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let (leaf, subleaf) = (vcpu.save().rax as u32, vcpu.gprs.rcx as u32);
    match vm.cpuid.added(leaf, subleaf) {
        Some(registers) => answer(vcpu, vm, registers),
        None => emulate(vcpu, vm),
    }
}

/// Answers from the VM's CPUID model.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let leaf = vcpu.save().rax as u32;
    answer(vcpu, vm, vm.cpuid.leaf(leaf))
}

#[inline(always)]
fn answer(vcpu: &mut Vcpu, vm: &Vm, [eax, ebx, ecx, edx]: Leaf) -> Outcome {
    vcpu.set_rax(eax.into());
    vcpu.gprs.rbx = ebx.into();
    vcpu.gprs.rcx = ecx.into();
    vcpu.gprs.rdx = edx.into();
    vcpu.advance(&vm.memory, [0x0f, 0xa2]);
    Outcome::Resume
}
