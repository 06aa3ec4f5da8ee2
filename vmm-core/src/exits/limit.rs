//! The end of a policy's `limit`: an exit that has been answered often enough.

use intercepts::{ExitCode, vmcb};

use super::Outcome;
use crate::vm::{How, Vcpu, Vm};

/// Whether exits of this code have been answered `limit` times.
pub fn is_past(vm: &Vm, code: ExitCode, limit: u64) -> bool {
    vm.stats.count(code) >= limit
}

/// Ends the VM.
#[cold]
pub fn stop(vcpu: &mut Vcpu, vm: &mut Vm, code: ExitCode, limit: u64) -> Outcome {
    let exit = code.exit();
    let rip = vcpu.save().rip;
    vm.finish(
        How::Stopped,
        format_args!(
            "{} at RIP {rip:#x} after {limit} of them, the policy's limit for `{}`",
            exit.apm, exit.name
        ),
    )
}

/// Takes the intercept off: the guest does this one and all later ones by itself.
#[cold]
pub fn pass(vcpu: &mut Vcpu, code: ExitCode) -> Outcome {
    vmcb::set_intercept(vcpu.control_mut(), code, false);
    Outcome::Resume
}
