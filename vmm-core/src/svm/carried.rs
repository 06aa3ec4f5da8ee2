//! What VMRUN leaves alone and VMLOAD carries: FS, GS, TR, LDTR, and the MSRs of system calls
//! (APM 15.5.2). While a vCPU is loaded it is in the CPU, and its VMCB holds what once was.

use super::instructions::{vmload, vmsave};
use crate::vm::Vcpu;

/// Brings the state of the loaded vCPU into its VMCB.
pub fn store(vcpu: &mut Vcpu) {
    // SAFETY: the address is that of the vCPU's VMCB, which is ours to change.
    unsafe { vmsave(vcpu.vmcb_pa()) };
}

/// Puts what [`store`] brought, with its changes, back into the CPU.
pub fn load(vcpu: &Vcpu) {
    // SAFETY: the VMCB holds such state, and while a vCPU is loaded no gate uses IST.
    unsafe { vmload(vcpu.vmcb_pa()) };
}
