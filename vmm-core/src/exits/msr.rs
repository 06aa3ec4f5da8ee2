//! RDMSR and WRMSR: the VMM's model of the MSRs, and the policy's rules over it (APM 15.11).
//!
//! EFER is always virtual: the guest never sees SVME, and cannot clear it. What VMLOAD and
//! VMSAVE carry is in the CPU while the guest runs, so it can be read and written there.

use intercepts::Msr;
use intercepts::vmcb::registers::{cr0, efer};
use intercepts::{Carrier, Event, msr_by_number};

use super::{Outcome, host_paging, remedy};
use crate::host::tsc;
use crate::policy::MsrAction;
use crate::svm::instructions;
use crate::vm::denials::Denied;
use crate::vm::pvclock;
use crate::vm::walk::EFER_LMA;
use crate::vm::{How, Vcpu, Vm};
use crate::warn;

const TSC: u32 = Msr::TSC.number;
const APIC_BASE: u32 = Msr::APIC_BASE.number;
const TSC_DEADLINE: u32 = 0x6e0;
const MICROCODE_LEVEL: u32 = 0x8b;
const MCG_CAP: u32 = Msr::MCG_CAP.number;
const PAT: u32 = Msr::PAT.number;
const EFER: u32 = Msr::EFER.number;
/// What a kernel reads and mends on a CPU of AMD's, in the words of its processor manuals: all
/// zero, nothing to be mended, and what is written has no effect.
const SYSCFG: u32 = Msr::SYSCFG.number;
const HWCR: u32 = Msr::HWCR.number;
const INTERRUPT_PENDING: u32 = 0xc001_0055;
const DE_CFG: u32 = 0xc001_1029;
const TSC_AUX: u32 = Msr::TSC_AUX.number;

const EFER_SCE: u64 = efer::SCE;
/// What is written to these has no effect.
const EFER_READ_AS_ZERO: u64 = 0xfe;
const EFER_LME: u64 = efer::LME;
const EFER_NXE: u64 = efer::NXE;
const EFER_SVME: u64 = efer::SVME;
const EFER_FFXSR: u64 = efer::FFXSR;
const CR0_PG: u64 = cr0::PG;

/// Reads or writes the MSR in ECX by the VMM's model, for a VM without rules over MSRs.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let is_write = vcpu.control().exit_info1 & 1 != 0;
    if is_write {
        return by_model(vcpu, vm, is_write);
    }
    let value = match vcpu.gprs.rcx as u32 {
        EFER => vcpu.save().efer & !EFER_SVME,
        TSC => tsc::now().wrapping_add(vcpu.control().tsc_offset),
        _ => return by_model(vcpu, vm, is_write),
    };
    answer(vcpu, value);
    advance(vcpu, vm, is_write);
    Outcome::Resume
}

/// Reads or writes the MSR in ECX as the policy's rule for it says, else by the model.
pub fn by_rules(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let is_write = vcpu.control().exit_info1 & 1 != 0;
    let msr = vcpu.gprs.rcx as u32;
    let action = vm.policy.msr_rule(msr).map_or(MsrAction::Emulate, |rule| {
        if is_write { rule.write } else { rule.read }
    });
    match action {
        MsrAction::Emulate | MsrAction::Pass => return by_model(vcpu, vm, is_write),
        MsrAction::Ignore => {
            if !is_write {
                answer(vcpu, 0);
            }
            advance(vcpu, vm, is_write);
        }
        MsrAction::Deny => refuse(vcpu, vm, msr, is_write),
        MsrAction::Stop => {
            let rip = vcpu.save().rip;
            let name = if is_write { "WRMSR" } else { "RDMSR" };
            return vm.finish(
                How::Stopped,
                format_args!(
                    "{name} of {msr:#x} at RIP {rip:#x}, which the policy answers with stop"
                ),
            );
        }
    }
    Outcome::Resume
}

/// As the VMM's model has it; #GP(0) where it has nothing.
#[inline(never)]
fn by_model(vcpu: &mut Vcpu, vm: &mut Vm, is_write: bool) -> Outcome {
    let msr = vcpu.gprs.rcx as u32;
    let done = if is_write {
        let value = (vcpu.save().rax & 0xffff_ffff) | (vcpu.gprs.rdx << 32);
        write(vcpu, vm, msr, value)
    } else {
        read(vcpu, vm, msr).map(|value| answer(vcpu, value))
    };
    match done {
        Some(()) => advance(vcpu, vm, is_write),
        None => refuse(vcpu, vm, msr, is_write),
    }
    // A timer has moved, or is off.
    if is_write && matches!(msr, TSC_DEADLINE | APIC_BASE | TSC) {
        Outcome::Leave
    } else {
        Outcome::Resume
    }
}

/// Passes RDMSR (0F 32) or WRMSR (0F 30).
#[inline(always)]
fn advance(vcpu: &mut Vcpu, vm: &Vm, is_write: bool) {
    vcpu.advance(&vm.memory, [0x0f, if is_write { 0x30 } else { 0x32 }]);
}

/// EDX:EAX = `value`.
#[inline(always)]
fn answer(vcpu: &mut Vcpu, value: u64) {
    vcpu.set_rax(value & 0xffff_ffff);
    vcpu.gprs.rdx = value >> 32;
}

/// What the model holds; `None`: there is no such MSR.
fn read(vcpu: &Vcpu, vm: &Vm, msr: u32) -> Option<u64> {
    match msr {
        EFER => Some(vcpu.save().efer & !EFER_SVME),
        TSC => Some(tsc::now().wrapping_add(vcpu.control().tsc_offset)),
        PAT => Some(vcpu.save().g_pat),
        APIC_BASE => vm.devices.apic_base(),
        TSC_DEADLINE => vm.devices.tsc_deadline(),
        pvclock::WALL_CLOCK | pvclock::SYSTEM_TIME => {
            vm.pvclock.as_ref().map(|clock| clock.register(msr))
        }
        // Kernels read these two before they look at CPUID; 0 is "nothing there".
        MICROCODE_LEVEL | MCG_CAP => Some(0),
        _ if is_carried(msr) => Some(instructions::rdmsr(msr)),
        TSC_AUX if has_rdtscp(vm) => Some(instructions::rdmsr(msr)),
        SYSCFG | HWCR | INTERRUPT_PENDING | DE_CFG if vm.cpuid.is_amd() => Some(0),
        _ => None,
    }
}

/// Changes the model; `None`: the guest gets #GP(0).
fn write(vcpu: &mut Vcpu, vm: &mut Vm, msr: u32, value: u64) -> Option<()> {
    match msr {
        EFER => write_efer(vcpu, vm, value),
        TSC => {
            vcpu.control_mut().tsc_offset = value.wrapping_sub(tsc::now());
            pvclock::publish(vcpu, vm);
            let deadline = vm.devices.tsc_deadline().filter(|deadline| *deadline != 0);
            deadline.map_or(Some(()), |deadline| write_tsc_deadline(vcpu, vm, deadline))
        }
        PAT => {
            let is_legal = value
                .to_le_bytes()
                .iter()
                .all(|t| matches!(t, 0 | 1 | 4..=7));
            is_legal.then(|| vcpu.save_mut().g_pat = value)
        }
        MICROCODE_LEVEL => Some(()),
        APIC_BASE => vm.devices.write_apic_base(value),
        TSC_DEADLINE => write_tsc_deadline(vcpu, vm, value),
        pvclock::WALL_CLOCK | pvclock::SYSTEM_TIME => pvclock::write(vcpu, vm, msr, value),
        SYSCFG | HWCR | INTERRUPT_PENDING | DE_CFG if vm.cpuid.is_amd() => Some(()),
        _ if is_carried(msr) && is_canonical(value) => {
            instructions::wrmsr(msr, value);
            Some(())
        }
        // The upper half is reserved (APM volume 3, RDTSCP).
        TSC_AUX if has_rdtscp(vm) && value >> 32 == 0 => {
            instructions::wrmsr(msr, value);
            Some(())
        }
        _ => None,
    }
}

/// The local APIC's timer is to wait until the guest's TSC is at `value`.
fn write_tsc_deadline(vcpu: &Vcpu, vm: &mut Vm, value: u64) -> Option<()> {
    let guest_tsc = tsc::now().wrapping_add(vcpu.control().tsc_offset);
    let due = vm.clock.in_ticks(value.saturating_sub(guest_tsc));
    vm.devices.write_tsc_deadline(value, due)
}

/// EFER as the guest's CPU has it: bits that its CPUID offers, LME fixed while paging is on, and
/// LMA the CPU's own, to be written as it is (APM 3.1.7, 14.6.2).
fn write_efer(vcpu: &mut Vcpu, vm: &mut Vm, value: u64) -> Option<()> {
    let allowed = EFER_LMA
        | [
            (11, EFER_SCE),
            (29, EFER_LME),
            (20, EFER_NXE),
            (25, EFER_FFXSR),
        ]
        .into_iter()
        .filter(|(bit, _)| vm.cpuid.has_extended_edx(*bit))
        .fold(0, |bits, (_, bit)| bits | bit);
    let value = value & !EFER_READ_AS_ZERO;
    let save = vcpu.save_mut();
    let changed = value ^ save.efer;
    let changes_lme = changed & EFER_LME != 0;
    if value & !allowed != 0 || changed & EFER_LMA != 0 || changes_lme && save.cr0 & CR0_PG != 0 {
        return None;
    }
    save.efer = value | EFER_SVME;
    if changes_lme {
        host_paging::watch(vcpu, vm);
    }
    Some(())
}

/// #GP(0), and a message the first time.
#[cold]
fn refuse(vcpu: &mut Vcpu, vm: &mut Vm, msr: u32, is_write: bool) {
    let (denied, name) = if is_write {
        (Denied::Wrmsr(msr), "WRMSR")
    } else {
        (Denied::Rdmsr(msr), "RDMSR")
    };
    if vm.denials.note(denied) {
        warn!(
            "{}: {name} of {msr:#x} at RIP {:#x} is denied: the guest gets #GP(0); {}",
            vm.policy.name,
            vcpu.save().rip,
            remedy::OfMsr { vm, msr },
        );
    }
    vcpu.inject(Event::exception_with_error(13, 0));
}

/// Whether the guest's CPU has TSC_AUX; the vCPU switch carries it then.
fn has_rdtscp(vm: &Vm) -> bool {
    const RDTSCP: u8 = 27;
    vm.cpuid.has_extended_edx(RDTSCP)
}

fn is_carried(msr: u32) -> bool {
    msr_by_number(msr).is_some_and(|msr| msr.carrier == Carrier::Vmload)
}

/// Whether bits 63:47 are all alike: what WRMSR asks of an address (APM 5.3.1).
fn is_canonical(value: u64) -> bool {
    ((value as i64) << 16) >> 16 == value as i64
}
