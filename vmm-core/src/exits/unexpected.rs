//! Exits that cannot be handled: one that the policy did not ask for, which only an emulator's
//! quirk can cause, and one whose instruction cannot be made out.

use intercepts::by_code;

use super::Outcome;
use crate::decode::LONGEST;
use crate::vm::{How, Vcpu, Vm};

/// Ends the VM, naming the stanza that would have let it run.
#[cold]
pub fn stop(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let code = vcpu.control().exit_code;
    let rip = vcpu.save().rip;
    match by_code(code) {
        Some(exit) => match exit.continuation() {
            Some(action) => vm.finish(
                How::Stopped,
                format_args!(
                    "{} at RIP {rip:#x}, which the policy does not mention; to allow it, add \
                     `\"{}\" = \"{}\"` to the VM's intercept set",
                    exit.apm,
                    exit.name,
                    action.name()
                ),
            ),
            None => vm.finish(
                How::Stopped,
                format_args!(
                    "{} at RIP {rip:#x}, which the policy does not mention and the VMM has no way \
                     to finish",
                    exit.apm
                ),
            ),
        },
        None => vm.finish(
            How::Stopped,
            format_args!("unknown exit code {code:#x} at RIP {rip:#x}"),
        ),
    }
}

/// Ends the VM: the bytes at RIP are not an instruction that causes this exit. The guest has
/// changed its code, or its page tables, since the CPU fetched it.
#[cold]
pub fn unreadable(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let code = vcpu.control().exit_code;
    let name = by_code(code).map_or("an exit", |exit| exit.apm);
    let rip = vcpu.save().rip;
    let mut bytes = [0; LONGEST];
    let fetched = vcpu.fetch(&vm.memory, &mut bytes);
    vm.finish(
        How::Crashed,
        format_args!(
            "{name} at RIP {rip:#x}, but the code there does not cause it: {:02x?}",
            &bytes[..fetched]
        ),
    )
}
