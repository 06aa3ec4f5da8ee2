//! An exit that the policy did not ask for: only an emulator's quirk can cause one.

use intercepts::by_code;

use super::Outcome;
use crate::vm::{How, Vcpu, Vm};

/// Ends the VM, naming the stanza that would have let it run.
#[cold]
pub fn stop(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let code = vcpu.control().exit_code;
    let rip = vcpu.save().rip;
    match by_code(code) {
        Some(exit) => vm.finish(
            How::Stopped,
            format_args!(
                "{} at RIP {rip:#x}, which the policy does not mention; to allow it, add \
                 `\"{}\" = \"count\"` to the VM's intercept set",
                exit.apm, exit.name
            ),
        ),
        None => vm.finish(
            How::Stopped,
            format_args!("unknown exit code {code:#x} at RIP {rip:#x}"),
        ),
    }
}
