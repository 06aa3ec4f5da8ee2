//! ICEBP (INT1, F1h): a trap-class #DB that leaves DR6 alone (APM volume 3, INT1).

use intercepts::Event;

use super::Outcome;
use crate::vm::{Vcpu, Vm};

/// Delivers #DB behind the instruction.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    vcpu.advance(&vm.memory, [0xf1]);
    vcpu.inject(Event::exception(1));
    Outcome::Resume
}
