//! What an exit says on the log, when the policy asks for it or denies something.

use intercepts::by_code;

use super::remedy;
use crate::vm::denials::Denied;
use crate::vm::{Vcpu, Vm};
use crate::{info, warn};

/// Says that an exit happened, with what the CPU tells about it.
#[cold]
pub fn entry(vcpu: &mut Vcpu, vm: &mut Vm) {
    let control = vcpu.control();
    let name = by_code(control.exit_code).map_or("unknown exit", |exit| exit.name);
    info!(
        "{}: {name} at RIP {:#x}, info {:#x} {:#x}",
        vm.policy.name,
        vcpu.save().rip,
        control.exit_info1,
        control.exit_info2,
    );
}

/// Says, the first time for each exit, that the policy denies it, and how to allow it.
#[cold]
pub(super) fn denied(vcpu: &mut Vcpu, vm: &mut Vm, consequence: &str) {
    let code = vcpu.control().exit_code;
    if !vm.denials.note(Denied::Exit(code)) {
        return;
    }
    let Some(exit) = by_code(code) else { return };
    warn!(
        "{}: {} at RIP {:#x} is denied: {consequence}; {}",
        vm.policy.name,
        exit.apm,
        vcpu.save().rip,
        remedy::OfExit {
            exit,
            npt: vm.policy.npt
        },
    );
}
