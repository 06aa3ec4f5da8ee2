//! RDTSC and RDTSCP: the host's TSC, shifted by TSC_OFFSET (APM 15.30.5).

use intercepts::ExitCode;

use super::Outcome;
use crate::decode::Operation;
use crate::host::tsc;
use crate::svm::instructions;
use crate::vm::{Vcpu, Vm};

const RDTSC: [u8; 2] = [0x0f, 0x31];
const RDTSCP: [u8; 3] = [0x0f, 0x01, 0xf9];

/// Reads the guest's TSC as the CPU would have.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let now = tsc::now().wrapping_add(vcpu.control().tsc_offset);
    vcpu.set_rax(now & 0xffff_ffff);
    vcpu.gprs.rdx = now >> 32;
    if is_rdtscp(vcpu, vm) {
        vcpu.gprs.rcx = instructions::read_tsc_aux().into();
        vcpu.advance(&vm.memory, RDTSCP);
    } else {
        vcpu.advance(&vm.memory, RDTSC);
    }
    Outcome::Resume
}

/// QUIRK: QEMU 7.2 exits from RDTSCP (0F 01 F9) with the code of RDTSC (0F 31), so the code
/// alone does not tell.
fn is_rdtscp(vcpu: &Vcpu, vm: &Vm) -> bool {
    if vcpu.control().exit_code == ExitCode::Rdtscp as u64 {
        return true;
    }
    if vcpu.is_at(RDTSC) {
        return false;
    }
    vcpu.instruction(&vm.memory)
        .is_some_and(|instruction| instruction.operation == Operation::Rdtscp)
}
