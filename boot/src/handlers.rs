//! Your own exit handlers.
//!
//! Every `pub fn` here can answer an exit: `rdtsc = { handler = "coarse_tsc" }` in `vm.toml`.
//! A handler does what the guest tried, or something else; it moves RIP past an instruction
//! that it has dealt with, and says whether the guest may go straight on. The VMM's own
//! handlers, which it may call, are in [`vmm_core::exits`], a file a family.

use vmm_core::exits::{self, Outcome};
use vmm_core::vm::{Vcpu, Vm};

/// RDTSC and RDTSCP with the low 12 bits clear: too coarse to time a cache miss with.
pub fn coarse_tsc(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let outcome = exits::tsc::emulate(vcpu, vm);
    vcpu.save_mut().rax &= !0xfff;
    outcome
}
