//! Refusing an instruction with the fault that it has by nature.

use super::{Outcome, log};
use crate::vm::{Vcpu, Vm};

/// #UD: for the guest's CPU, the instruction does not exist.
pub fn ud(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    log::denied(vcpu, vm, "the guest gets #UD");
    vcpu.inject_ud();
    Outcome::Resume
}

/// #GP(0): the guest has no right to it.
pub fn gp(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    log::denied(vcpu, vm, "the guest gets #GP(0)");
    vcpu.inject_gp();
    Outcome::Resume
}
