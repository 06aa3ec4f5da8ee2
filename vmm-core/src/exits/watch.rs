//! The longer road of a VM whose exits are looked at one by one: what each was about.

use intercepts::{ExitCode, IoioInfo};
use ledger::{Detail, Subject};

use super::{Outcome, dispatch};
use crate::host::tsc;
use crate::vm::{Instance, Vcpu};

/// As [`dispatch`], and notes the exit in the books that go into detail.
pub extern "sysv64" fn detailed(instance: &mut Instance) -> Outcome {
    let Some(details) = instance.vm.stats.books.details else {
        return dispatch::<true>(instance);
    };
    let detail = subject(&instance.vcpu);
    let arrived = tsc::now();
    let outcome = dispatch::<true>(instance);
    let cycles = tsc::now().wrapping_sub(arrived);
    if let Some(detail) = detail {
        details.note(detail, cycles);
    }
    outcome
}

/// What an exit is about, if its code does not say that.
fn subject(vcpu: &Vcpu) -> Option<Detail> {
    const IOIO: u64 = ExitCode::Ioio as u64;
    const MSR: u64 = ExitCode::Msr as u64;
    const CPUID: u64 = ExitCode::Cpuid as u64;
    const VMMCALL: u64 = ExitCode::Vmmcall as u64;
    let control = vcpu.control();
    let (subject, number) = match control.exit_code {
        IOIO => {
            let info = IoioInfo(control.exit_info1);
            let subject = if info.is_in() {
                Subject::PortRead
            } else {
                Subject::PortWrite
            };
            (subject, info.port().into())
        }
        MSR if control.exit_info1 & 1 != 0 => (Subject::Wrmsr, vcpu.gprs.rcx as u32),
        MSR => (Subject::Rdmsr, vcpu.gprs.rcx as u32),
        CPUID => (Subject::Leaf, vcpu.save().rax as u32),
        VMMCALL => (Subject::Call, vcpu.save().rax as u32),
        _ => return None,
    };
    Some(Detail { subject, number })
}
