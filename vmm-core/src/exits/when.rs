//! What the conditions of a policy's `when` look at, each as the CPU tells it on an exit.
//!
//! Only the exits that have a value are asked for it: the policy's checks see to that.

use intercepts::IoioInfo;

use crate::decode::Operation;
use crate::vm::{Vcpu, Vm};

/// The port of IN, OUT, INS or OUTS.
pub fn port(vcpu: &Vcpu) -> u64 {
    IoioInfo(vcpu.control().exit_info1).port().into()
}

/// Whether a port is written: OUT or OUTS.
pub fn is_out(vcpu: &Vcpu) -> bool {
    !IoioInfo(vcpu.control().exit_info1).is_in()
}

/// The MSR of RDMSR or WRMSR.
pub fn msr(vcpu: &Vcpu) -> u64 {
    vcpu.gprs.rcx & 0xffff_ffff
}

/// Whether an MSR is written: WRMSR.
pub fn is_wrmsr(vcpu: &Vcpu) -> bool {
    vcpu.control().exit_info1 & 1 != 0
}

/// The leaf of CPUID.
pub fn leaf(vcpu: &Vcpu) -> u64 {
    vcpu.save().rax & 0xffff_ffff
}

/// The subleaf of CPUID.
pub fn subleaf(vcpu: &Vcpu) -> u64 {
    vcpu.gprs.rcx & 0xffff_ffff
}

/// The vector of INTn, INT3 or INTO. What cannot be read or is none of them has no vector that
/// a condition could name.
pub fn int(vcpu: &Vcpu, vm: &Vm) -> u64 {
    match vcpu.instruction(&vm.memory).map(|found| found.operation) {
        Some(Operation::Int(vector)) => vector.into(),
        Some(Operation::Int3) => 3,
        Some(Operation::Into) => 4,
        _ => u64::MAX,
    }
}

/// The number of a hypercall.
pub fn number(vcpu: &Vcpu) -> u64 {
    vcpu.save().rax & 0xffff_ffff
}

/// The error code of an exception.
pub fn error_code(vcpu: &Vcpu) -> u64 {
    vcpu.control().exit_info1 & 0xffff_ffff
}

/// The linear address of a page fault.
pub fn address(vcpu: &Vcpu) -> u64 {
    vcpu.control().exit_info2
}

/// The guest's privilege level.
pub fn cpl(vcpu: &Vcpu) -> u64 {
    vcpu.save().cpl.into()
}

/// The guest's RIP.
pub fn rip(vcpu: &Vcpu) -> u64 {
    vcpu.save().rip
}
