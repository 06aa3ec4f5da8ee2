//! #NPF: the guest reached for guest-physical memory that it does not have (APM 15.25.6).
//!
//! All of a VM's memory is mapped before it starts, so a nested page fault is never about a
//! page that is still to come.

use intercepts::NptFault;

use super::Outcome;
use crate::vm::{How, Vcpu, Vm};

/// Ends the VM with what it tried, and where its memory ends.
#[cold]
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let control = vcpu.control();
    let fault = NptFault::from_bits_retain(control.exit_info1);
    let gpa = control.exit_info2;
    let rip = vcpu.save().rip;
    let tried = if fault.contains(NptFault::TABLE_WALK) {
        "its page tables lead"
    } else if fault.contains(NptFault::FETCH) {
        "it jumps"
    } else if fault.contains(NptFault::WRITE) {
        "it writes"
    } else {
        "it reads"
    };
    let end = vm.memory.bytes();
    vm.finish(
        How::Crashed,
        format_args!(
            "{tried} to guest-physical {gpa:#x} at RIP {rip:#x}, but its memory ends at {end:#x}; \
             raise `memory` in vm.toml if that is too little"
        ),
    )
}
