//! Ending a VM because the policy, or the floor, says so.

use intercepts::{ExitCode, by_code};

use super::Outcome;
use crate::vm::{How, Vcpu, Vm};

/// Ends the VM: crashed when the guest brought it upon itself (shutdown), else stopped.
#[cold]
pub fn stop(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let control = vcpu.control();
    let (code, info1, info2) = (control.exit_code, control.exit_info1, control.exit_info2);
    let rip = vcpu.save().rip;
    match by_code(code) {
        Some(exit) if exit.code == ExitCode::Shutdown => vm.finish(
            How::Crashed,
            format_args!("triple fault (shutdown) at RIP {rip:#x}"),
        ),
        Some(exit) => vm.finish(
            How::Stopped,
            format_args!(
                "{} at RIP {rip:#x}: {}; the policy's action for `{}` is stop",
                exit.apm, exit.trigger, exit.name
            ),
        ),
        None => vm.finish(
            How::Stopped,
            format_args!("exit {code:#x} (info {info1:#x}, {info2:#x}) at RIP {rip:#x}"),
        ),
    }
}
