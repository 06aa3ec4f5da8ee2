//! INVD and WBINVD. A guest that drops dirty lines would drop the host's too, so both
//! write back (APM volume 3, INVD).

use super::Outcome;
use crate::svm::instructions;
use crate::vm::{Vcpu, Vm};

/// Writes back and invalidates the caches.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    instructions::wbinvd();
    // WBINVD is 0F 09; INVD, one byte away, is as long.
    vcpu.advance(&vm.memory, [0x0f, 0x09]);
    Outcome::Resume
}
