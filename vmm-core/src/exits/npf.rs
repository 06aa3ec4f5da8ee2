//! #NPF: the guest reached for guest-physical memory that it does not have (APM 15.25.6).
//!
//! All of a VM's memory is mapped before it starts, so a nested page fault is never about a
//! page that is still to come. It may be about a device's.

use intercepts::NptFault;

use super::{Outcome, mmio};
use crate::addr::Gpa;
use crate::vm::{How, Vcpu, Vm};

/// Performs an access to a device, and ends the VM for any other.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let control = vcpu.control();
    let fault = NptFault::from_bits_retain(control.exit_info1);
    let gpa = Gpa(control.exit_info2);
    let is_operand = !fault.intersects(NptFault::TABLE_WALK | NptFault::FETCH)
        && !control.exit_int_info.is_valid();
    if !vm.devices.has_memory_at(gpa) {
        return beyond_memory(vcpu, vm);
    }
    let done = is_operand.then(|| mmio::emulate(vcpu, vm, gpa)).flatten();
    done.unwrap_or_else(|| {
        let rip = vcpu.save().rip;
        vm.finish(
            How::Crashed,
            format_args!(
                "the instruction at RIP {rip:#x} reaches for the device at guest-physical {:#x} in \
                 a way that the VMM does not know",
                gpa.0
            ),
        )
    })
}

/// Ends the VM with what it tried, and where its memory ends.
#[cold]
fn beyond_memory(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
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
