//! Interrupts: the host's own, which a guest must not take, and the guest's virtual ones.
//!
//! V_INTR_MASKING is on, so physical interrupts stop the guest whatever its IF says and
//! belong to the host. The guest's interrupts come from its virtual PIC, by EVENTINJ. While
//! it cannot take one, the virtual-interrupt mechanism serves as a bell (APM 15.21).
//!
//! QUIRK: QEMU 7.2 does not forget what it has injected by EVENTINJ until its next exception,
//! interrupt or #VMEXIT. If its loop pauses before that, for a timer or its monitor, it delivers
//! the interrupt once more, whatever the guest's IF says. There the interrupt itself goes by V_IRQ,
//! which VMRUN has the guest take first of all.

use intercepts::ExitCode;

use super::Outcome;
use crate::vm::{Vcpu, Vm};

/// INTR, NMI, SMI, VINTR, and the legacy x87 error line.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    const VINTR: u64 = ExitCode::Vintr as u64;
    const FERR_FREEZE: u64 = ExitCode::FerrFreeze as u64;
    match vcpu.control().exit_code {
        VINTR => {
            vcpu.silence_bell();
            offer(vcpu, vm);
            Outcome::Resume
        }
        FERR_FREEZE => {
            // The PC's wiring: FERR# is interrupt line 13 (APM 15.14.2).
            vm.devices.pulse(13);
            offer(vcpu, vm);
            Outcome::Resume
        }
        // The pending event is taken by the host as soon as GIF is 1 again.
        _ => {
            vcpu.keep_shadow(&vm.memory);
            Outcome::Leave
        }
    }
}

/// Gives the guest its pending interrupt if it can take one now; otherwise arranges to be
/// told when it can.
#[inline(never)]
pub fn offer(vcpu: &mut Vcpu, vm: &mut Vm) {
    vm.devices.set_cr8(vcpu.cr8());
    if vcpu.interrupt_under_way().is_some() {
        return;
    }
    // An instruction that is stepped over comes first; its end offers again.
    if !vm.devices.interrupt_pending() || vcpu.step.is_some() {
        if let Some(class) = vm.devices.held_back_by_cr8() {
            vcpu.ring_bell_above(class);
        }
        return;
    }
    if vcpu.can_take_interrupt() {
        let vector = vm.devices.acknowledge();
        vcpu.inject_interrupt(vector);
        if !vm.devices.interrupt_pending() {
            return;
        }
    }
    if vcpu.interrupt_under_way().is_some() {
        // The bell is taken.
        vm.retry_soon = true;
    } else if vcpu.in_shadow() {
        // QUIRK: QEMU 7.2 forgets the shadow on VMRUN, so that a bell would ring in it. Try again
        // after the next instruction, unless that tells by itself.
        vcpu.silence_bell();
        vm.retry_soon = !vcpu.halts_in_shadow();
    } else {
        vcpu.ring_bell();
    }
}
