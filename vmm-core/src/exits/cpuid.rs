//! CPUID: the guest sees a model of a CPU, never the host's (APM volume 3, appendix E).

use super::Outcome;
use crate::vm::{Vcpu, Vm};

/// Answers from the VM's CPUID model.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let leaf = vcpu.save().rax as u32;
    let [eax, ebx, ecx, edx] = vm.cpuid.leaf(leaf);
    vcpu.save_mut().rax = eax.into();
    vcpu.gprs.rbx = ebx.into();
    vcpu.gprs.rcx = ecx.into();
    vcpu.gprs.rdx = edx.into();
    vcpu.advance(&vm.memory, [0x0f, 0xa2]);
    Outcome::Resume
}
