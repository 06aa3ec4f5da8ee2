//! Giving the guest an exception in place of what it tried.

use intercepts::Event;

use super::Outcome;
use crate::vm::{Vcpu, Vm};

/// Queues exception `vector`, with `error` for the vectors that push one.
pub fn exception(vcpu: &mut Vcpu, _vm: &mut Vm, vector: u8, error: Option<u32>) -> Outcome {
    vcpu.inject(match error {
        Some(error) => Event::exception_with_error(vector, error),
        None => Event::exception(vector),
    });
    Outcome::Resume
}
