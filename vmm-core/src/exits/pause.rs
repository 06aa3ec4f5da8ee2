//! PAUSE: a hint, so passing over it is all there is to do.

use super::Outcome;
use crate::vm::{Vcpu, Vm};

/// Passes over the instruction: F3 is its prefix, 90 its opcode.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    vcpu.advance(&vm.memory, [0x90]);
    Outcome::Resume
}
