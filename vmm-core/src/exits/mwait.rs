//! MWAIT: as HLT, but it may also end at once (APM volume 3, MWAIT).

use super::{Outcome, hlt};
use crate::vm::vcpu::RFLAGS_IF;
use crate::vm::{Vcpu, Vm};

/// Suspends the guest until an interrupt. A store to the monitored line cannot be seen, so
/// a guest that no interrupt could wake goes on at once, as MWAIT allows.
pub fn wait(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    vcpu.advance(&vm.memory, [0x0f, 0x01, 0xc9]);
    if vcpu.save().rflags & RFLAGS_IF == 0 {
        return Outcome::Resume;
    }
    hlt::suspend(vcpu, vm)
}
