//! VMEXIT_INVALID and its kind: VMRUN refused the VMCB (APM 15.5.1, appendix C).

use super::Outcome;
use crate::vm::{How, Vcpu, Vm};

/// Ends the VM. `vmcb::validate` refuses, and names, what the CPU would: getting here means
/// that the two disagree, or that a device of the CPU is in an unforeseen state.
///
/// Both emulators write host state into the save area on the way out, so it says nothing.
#[cold]
pub fn stop(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let code = vcpu.control().exit_code;
    vm.finish(
        How::Crashed,
        format_args!("VMRUN refused the VMCB (exit code {code:#x})"),
    )
}
