//! Exits of a VM with nested paging whose EFER.LME is set: the host's paging may be off.
//!
//! QUIRK: QEMU 7.2 loads the host's CR0 at #VMEXIT while EFER and CR4 are still the guest's. After a
//! guest with LME, but neither PAE nor PG, it takes PG for an error and leaves CR0 as it is. The VMM
//! goes on unpaged, which its memory, mapped one to one, does not show; but the next VMRUN would
//! have no nested paging either, and the guest all of the machine's memory.
//!
//! One handler stands before all others of such a VM. Under shadow paging PG is always on.

use intercepts::vmcb::registers::efer;

use super::Outcome;
use crate::policy::Dispatch;
use crate::svm::instructions;
use crate::vm::{Vcpu, Vm};

static PAGED: Dispatch = Dispatch::all(exit);

/// Has the host's paging looked at after each exit from now on, or no more, as the guest's EFER has
/// it.
pub fn watch(vcpu: &Vcpu, vm: &mut Vm) {
    if vm.shadow.is_some() {
        return;
    }
    vm.dispatch = if vcpu.save().efer & efer::LME != 0 {
        &PAGED
    } else {
        vm.behind
    };
}

fn exit(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    instructions::keep_paging();
    let code = vcpu.control().exit_code;
    vm.behind.handler(code)(vcpu, vm)
}
