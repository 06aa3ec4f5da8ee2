//! Why #DB came, where the CPU leaves that out of DR6 (APM 13.1.1.3).

use intercepts::vmcb::registers::dr6;

use crate::svm::debug_registers::DebugRegisters;
use crate::vm::vcpu::{DR6_BREAKPOINTS, DR6_BS, RFLAGS_TF};
use crate::vm::{Vcpu, Vm, walk};

/// What may have been the cause, beside the breakpoints.
const OTHERS: u64 = dr6::BD | dr6::BS | dr6::BT;
const ICEBP: u8 = 0xf1;
/// What a breakpoint is for, in DR7.
const EXECUTION: u64 = 0b00;
const WRITES: u64 = 0b01;
const READS_AND_WRITES: u64 = 0b11;

/// Completes DR6 after VMEXIT_EXCP1.
///
/// QUIRK: Bochs 2.7 takes the exit before it writes DR6, and forgets the cause. If DR6 names
/// none, it is what could have been one; of several breakpoints on data, all.
pub(super) fn complete_cause(vcpu: &mut Vcpu, vm: &Vm) {
    let save = vcpu.save();
    if save.dr6 & (DR6_BREAKPOINTS | OTHERS) != 0 {
        return;
    }
    let cause = if vcpu.step.is_some() || save.rflags & RFLAGS_TF != 0 {
        DR6_BS
    } else {
        let rip = vcpu.linear_rip();
        let executed = armed(save.dr7, |number, kind| {
            kind == EXECUTION && DebugRegisters::of_cpu(number) == rip
        });
        match executed {
            0 if is_behind_icebp(vcpu, vm) => 0,
            0 => data_breakpoints(save.dr7),
            executed => executed,
        }
    };
    if cause != 0 {
        vcpu.save_mut().dr6 |= cause;
    }
}

/// A bit for each breakpoint on data that DR7 arms.
pub(super) fn data_breakpoints(dr7: u64) -> u64 {
    armed(dr7, |_, kind| matches!(kind, WRITES | READS_AND_WRITES))
}

/// A bit for each breakpoint that DR7 arms and whose number and kind are meant.
fn armed(dr7: u64, is_meant: impl Fn(u8, u64) -> bool) -> u64 {
    (0..4_u8)
        .filter(|number| {
            let is_armed = dr7 >> (2 * number) & 0b11 != 0;
            is_armed && is_meant(*number, dr7 >> (16 + 4 * number) & 0b11)
        })
        .fold(0, |bits, number| bits | 1 << number)
}

/// ICEBP raises #DB without a word in DR6.
fn is_behind_icebp(vcpu: &Vcpu, vm: &Vm) -> bool {
    let before = vcpu.linear_rip().wrapping_sub(1);
    walk::translate(vcpu.save(), &vm.memory, before)
        .ok()
        .and_then(|gpa| vm.memory.read_u8(gpa))
        == Some(ICEBP)
}
