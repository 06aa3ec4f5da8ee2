//! INVD and WBINVD. A guest that drops dirty lines would drop the host's too, so both
//! write back (APM volume 3, INVD).

use super::Outcome;
use crate::svm::instructions;
use crate::vm::{Vcpu, Vm};

/// Writes back and invalidates the caches.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    instructions::wbinvd();
    vcpu.advance(&vm.memory, 2);
    Outcome::Resume
}
