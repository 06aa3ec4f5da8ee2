//! MONITOR: nothing is armed, since MWAIT waits for interrupts only.

use super::Outcome;
use crate::vm::{Vcpu, Vm};

/// Passes over the instruction.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    vcpu.advance(&vm.memory, [0x0f, 0x01, 0xc8]);
    Outcome::Resume
}
