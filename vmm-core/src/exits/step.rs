//! Stepping the guest over an instruction that a policy counts: the guest executes it itself,
//! so every effect, check and fault is the CPU's (APM 13.1.4, 15.12).
//!
//! That intercept is off and TF is on; every exception is intercepted, so that the step ends
//! with #DB, or with the fault that the instruction raises. TF is then made what it would have
//! been, in RFLAGS, in the image that PUSHF pushed, and DR6 too. Interrupts wait meanwhile.
//! While a step is in progress the VM has another dispatch table, whose one handler is here.

use intercepts::ExitCode;
use intercepts::vmcb::set_intercept;

use super::{Outcome, debug, interrupt, pass_on};
use crate::decode::Segment;
use crate::policy::Dispatch;
use crate::vm::operand;
use crate::vm::vcpu::{CodeSize, DR6_BREAKPOINTS, DR6_BS, RFLAGS_TF};
use crate::vm::{Vcpu, Vm, walk};

/// The limit of SS is one of 32 bits.
const ATTRIBUTE_B: u16 = 1 << 10;

/// An instruction that the guest is being stepped over.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The exit whose intercept is off.
    code: ExitCode,
    /// The exceptions that the policy intercepts.
    exceptions: u32,
    /// RFLAGS.TF before the instruction.
    trap_flag: u64,
    /// DR6 before the instruction.
    dr6: u64,
}

static STEPPING: Dispatch = Dispatch::all(stepping);

/// Begins the step: the guest is about to execute the intercepted instruction.
pub fn begin(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let Some(exit) = intercepts::by_code(vcpu.control().exit_code) else {
        return super::unexpected::stop(vcpu, vm);
    };
    // An event that is to be delivered first leads away from the instruction, and back to it.
    if vcpu.control().event_injection.is_valid() {
        return Outcome::Resume;
    }
    vcpu.step = Some(Step {
        code: exit.code,
        exceptions: vcpu.control().intercept_exceptions,
        trap_flag: vcpu.save().rflags & RFLAGS_TF,
        dr6: vcpu.save().dr6,
    });
    vcpu.silence_bell();
    let control = vcpu.control_mut();
    control.intercept_exceptions = u32::MAX;
    set_intercept(control, exit.code, false);
    let save = vcpu.save_mut();
    save.rflags |= RFLAGS_TF;
    save.dr6 &= !(DR6_BS | DR6_BREAKPOINTS);
    vm.answer_by(&STEPPING);
    Outcome::Resume
}

/// Any exit during a step.
#[cold]
fn stepping(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    const DB: u64 = ExitCode::ExceptionDb as u64;
    const INTR: u64 = ExitCode::Intr as u64;
    const NMI: u64 = ExitCode::Nmi as u64;
    const SMI: u64 = ExitCode::Smi as u64;
    let code = vcpu.control().exit_code;
    if code == DB {
        debug::complete_cause(vcpu, vm);
    }
    match code {
        // The host's interrupts come before the instruction, which is still to be executed.
        INTR | NMI | SMI => vm.policy.dispatch.handler(code)(vcpu, vm),
        DB if vcpu.save().dr6 & DR6_BS != 0 => completed(vcpu, vm),
        _ => interrupted(vcpu, vm),
    }
}

/// Puts the intercepts back.
fn leave(vcpu: &mut Vcpu, vm: &mut Vm) -> Option<Step> {
    vm.answer_by(vm.policy.dispatch);
    let step = vcpu.step.take()?;
    let control = vcpu.control_mut();
    control.intercept_exceptions = step.exceptions;
    set_intercept(control, step.code, true);
    Some(step)
}

/// The instruction has been executed.
fn completed(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let Some(step) = leave(vcpu, vm) else {
        return pass_on(vcpu, vm);
    };
    match step.code {
        // They have loaded TF.
        ExitCode::Popf | ExitCode::Iret => {}
        code => {
            if code == ExitCode::Pushf && step.trap_flag == 0 {
                clear_pushed_trap_flag(vcpu, vm);
            }
            restore_trap_flag(vcpu, step);
        }
    }
    // QUIRK: QEMU 7.2 says again of a data breakpoint that it was hit, until it is armed anew.
    let told = core::mem::take(&mut vcpu.breakpoints_told);
    if !is_debug_register_write(step.code) {
        vcpu.breakpoints_told = told;
    }
    let save = vcpu.save_mut();
    // One on execution is of the instruction to come, which raises it by itself.
    let hit = save.dr6 & debug::data_breakpoints(save.dr7) & !told;
    if step.trap_flag == 0 && hit == 0 {
        save.dr6 = step.dr6;
        vm.stats.forgive();
        interrupt::offer(vcpu, vm);
        return Outcome::Resume;
    }
    // The guest itself had this #DB coming.
    let single_stepped = if step.trap_flag != 0 { DR6_BS } else { 0 };
    save.dr6 = save.dr6 & !DR6_BS | single_stepped | step.dr6 & (DR6_BS | DR6_BREAKPOINTS);
    let outcome = pass_on(vcpu, vm);
    interrupt::offer(vcpu, vm);
    outcome
}

/// The instruction has not been executed: it faulted, or met another intercept.
fn interrupted(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    if let Some(step) = leave(vcpu, vm) {
        restore_trap_flag(vcpu, step);
        vcpu.save_mut().dr6 |= step.dr6 & (DR6_BS | DR6_BREAKPOINTS);
    }
    let outcome = pass_on(vcpu, vm);
    interrupt::offer(vcpu, vm);
    outcome
}

fn restore_trap_flag(vcpu: &mut Vcpu, step: Step) {
    let rflags = &mut vcpu.save_mut().rflags;
    *rflags = *rflags & !RFLAGS_TF | step.trap_flag;
}

fn is_debug_register_write(code: ExitCode) -> bool {
    (ExitCode::Dr0Write..=ExitCode::Dr7Write).contains(&code)
}

/// Clears TF in the flags that PUSHF has just pushed: bit 0 of their second byte.
fn clear_pushed_trap_flag(vcpu: &Vcpu, vm: &mut Vm) {
    let save = vcpu.save();
    let mask = match vcpu.code_size() {
        CodeSize::Bits64 => u64::MAX,
        _ if vcpu.is_protected() && save.ss.attributes & ATTRIBUTE_B != 0 => 0xffff_ffff,
        _ => 0xffff,
    };
    let offset = save.rsp.wrapping_add(1) & mask;
    let linear = operand::linear(vcpu, Segment::Ss, offset);
    // The push has just gone there, so the page is mapped, and it is memory.
    if let Ok(gpa) = walk::translate(save, &vm.memory, linear)
        && let Some(byte) = vm.memory.read_u8(gpa)
    {
        let _ = vm.memory.write(gpa, &[byte & !1]);
    }
}
