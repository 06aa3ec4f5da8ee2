//! MOV to and from debug registers (APM 13.1.1, volume 3 MOV DRn).
//!
//! DR6 and DR7 are in the VMCB. DR0 to DR3 stay in the CPU while the vCPU is loaded.

use super::{Outcome, step, unexpected};
use crate::decode::Operation;
use crate::svm::debug_registers::DebugRegisters;
use crate::vm::fault::Fault;
use crate::vm::vcpu::CodeSize;
use crate::vm::{Vcpu, Vm};
use intercepts::vmcb::registers::{cr4, dr6, dr7};

const CR4_DE: u64 = cr4::DE;
const DR6_BD: u64 = dr6::BD;
const DR7_GD: u64 = dr7::GD;
/// B0 to B3, BD, BS and BT; and the bits that are always 1.
const DR6_WRITABLE: u64 = 0xe00f;
const DR6_ONES: u64 = 0xffff_0ff0;

/// Performs the read or write that the exit code names. DR4 and DR5 are other names of DR6
/// and DR7 unless CR4.DE takes them away.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let code = vcpu.control().exit_code;
    let (number, is_write) = (code as u8 & 0xf, code & 0x10 != 0);
    if let Err(fault) = check(vcpu, number) {
        vcpu.raise(fault);
        return Outcome::Resume;
    }
    let register = number | (number & 4) >> 1;
    // QUIRK: QEMU 7.2 arms and moves breakpoints when the guest itself executes MOV to a debug
    // register, and not when VMRUN loads DR7: so the guest executes it.
    if is_write && register != 6 {
        return step::begin(vcpu, vm);
    }
    let Some(instruction) = vcpu.instruction(&vm.memory) else {
        return unexpected::unreadable(vcpu, vm);
    };
    let next = vcpu.behind(&instruction);
    let is_64_bit = vcpu.code_size() == CodeSize::Bits64;
    let mask = if is_64_bit { u64::MAX } else { 0xffff_ffff };
    match (instruction.operation, is_write) {
        (Operation::MovFromDr { dr, gpr }, false) if dr == number => {
            let value = match register {
                6 => vcpu.save().dr6,
                7 => vcpu.save().dr7,
                breakpoint => DebugRegisters::of_cpu(breakpoint),
            };
            vcpu.set_gpr(gpr, value & mask);
        }
        (Operation::MovToDr { dr, gpr }, true) if dr == number => {
            let value = vcpu.gpr(gpr) & mask;
            if value >> 32 != 0 {
                vcpu.raise(Fault::Protection);
                return Outcome::Resume;
            }
            vcpu.save_mut().dr6 = value & DR6_WRITABLE | DR6_ONES;
        }
        _ => return unexpected::unreadable(vcpu, vm),
    }
    vcpu.complete_with_rf(next);
    Outcome::Resume
}

/// What keeps a guest from a debug register; #DB by DR7.GD says so in DR6 and ends GD.
fn check(vcpu: &mut Vcpu, number: u8) -> Result<(), Fault> {
    let save = vcpu.save_mut();
    if number > 7 {
        return Err(Fault::UndefinedOpcode);
    }
    if save.cpl != 0 {
        return Err(Fault::Protection);
    }
    if matches!(number, 4 | 5) && save.cr4 & CR4_DE != 0 {
        return Err(Fault::UndefinedOpcode);
    }
    if save.dr7 & DR7_GD != 0 {
        save.dr7 &= !DR7_GD;
        save.dr6 |= DR6_BD;
        return Err(Fault::Debug);
    }
    Ok(())
}
