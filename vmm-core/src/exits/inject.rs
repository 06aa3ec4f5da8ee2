//! Giving the guest an exception in place of what it tried.

use super::{Outcome, exception};
use crate::vm::{Vcpu, Vm};

/// Queues exception `vector`, with `error` for the vectors that push one.
pub fn exception(vcpu: &mut Vcpu, vm: &mut Vm, vector: u8, error: Option<u32>) -> Outcome {
    exception::raise(vcpu, vm, vector, error)
}
