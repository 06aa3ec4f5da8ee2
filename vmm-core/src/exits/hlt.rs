//! HLT: the guest waits for its next interrupt, and costs nothing meanwhile (APM 15.9).

use super::{Outcome, interrupt};
use crate::vm::vcpu::RFLAGS_IF;
use crate::vm::{How, State, Vcpu, Vm};

/// Suspends the guest until an interrupt. With interrupts off nothing can wake it: the VM
/// has *halted*, which the policy counts as a good end or as a crash.
pub fn wait(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    vcpu.advance(&vm.memory, [0xf4]);
    suspend(vcpu, vm)
}

/// The guest has executed an instruction that waits for an interrupt.
pub(super) fn suspend(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    if vcpu.control().event_injection.is_valid() {
        return Outcome::Resume;
    }
    if vm.devices.interrupt_pending() && vcpu.can_take_interrupt() {
        interrupt::offer(vcpu, vm);
        return Outcome::Resume;
    }
    if vcpu.save().rflags & RFLAGS_IF == 0 {
        let how = if vm.policy.halted_is_crash {
            How::Crashed
        } else {
            How::Halted
        };
        let rip = vcpu.save().rip;
        return vm.finish(
            how,
            format_args!("HLT with interrupts off, before RIP {rip:#x}"),
        );
    }
    vm.state = State::Waiting;
    Outcome::Leave
}
