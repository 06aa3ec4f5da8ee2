//! Writes to EFER and control registers that are seen after they happened (APM 15.35.10).

use super::Outcome;
use crate::vm::{Vcpu, Vm};

/// Nothing is left to do: the guest has done it.
pub fn emulate(_vcpu: &mut Vcpu, _vm: &mut Vm) -> Outcome {
    Outcome::Resume
}
