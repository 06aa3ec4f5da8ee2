//! RDMSR and WRMSR.

use super::*;

static RULES: VmPolicy = VmPolicy {
    msrs: &[
        MsrRule {
            first: 0x200,
            last: 0x20f,
            read: MsrAction::Ignore,
            write: MsrAction::Deny,
        },
        MsrRule {
            first: 0x300,
            last: 0x300,
            read: MsrAction::Stop,
            write: MsrAction::Stop,
        },
    ],
    ..QUIET
};

const EFER: u64 = 0xc000_0080;
const GP: Event = Event::exception_with_error(13, 0);

fn rdmsr(policy: &'static VmPolicy, msr: u64) -> Instance {
    let mut instance = guest(policy, &[0x0f, 0x32]);
    instance.vcpu.gprs.rcx = msr;
    let Instance { vcpu, vm } = &mut instance;
    msr::by_rules(vcpu, vm);
    instance
}

fn wrmsr(policy: &'static VmPolicy, msr: u64, value: u64) -> Instance {
    let mut instance = guest(policy, &[0x0f, 0x30]);
    let vcpu = &mut instance.vcpu;
    vcpu.gprs.rcx = msr;
    vcpu.gprs.rdx = value >> 32;
    vcpu.save_mut().rax = value & 0xffff_ffff;
    vcpu.control_mut().exit_info1 = 1;
    let Instance { vcpu, vm } = &mut instance;
    msr::by_rules(vcpu, vm);
    instance
}

#[test]
fn efer_shows_no_svme_and_keeps_it() {
    assert_eq!(rdmsr(&QUIET, EFER).vcpu.save().rax, 0);
    let after = wrmsr(&QUIET, EFER, 0x901);
    assert_eq!(after.vcpu.save().efer, 0x1901);
    assert_eq!(after.vcpu.save().rip, CODE + 2);
}

/// Only a CPU with RDTSCP has TSC_AUX, and its upper half is reserved.
#[test]
fn tsc_aux_is_there_with_rdtscp_alone() {
    const TSC_AUX: u64 = 0xc000_0103;
    let wide = wrmsr(&QUIET, TSC_AUX, 1 << 32);
    assert_eq!(wide.vcpu.control().event_injection, GP);
    let Instance { mut vcpu, mut vm } = guest(&QUIET, &[0x0f, 0x32]);
    vm.cpuid = CpuidModel::minimal(|_| [0; 4]);
    vcpu.gprs.rcx = TSC_AUX;
    msr::emulate(&mut vcpu, &mut vm);
    assert_eq!(vcpu.control().event_injection, GP);
}

#[test]
fn the_short_road_reads_efer_alike() {
    let Instance { mut vcpu, mut vm } = guest(&QUIET, &[0x0f, 0x32]);
    vcpu.gprs.rcx = EFER;
    vcpu.save_mut().efer = 0x1901;
    msr::emulate(&mut vcpu, &mut vm);
    assert_eq!((vcpu.save().rax, vcpu.gprs.rdx), (0x901, 0));
}

#[test]
fn efer_bits_that_the_model_lacks_are_refused() {
    for value in [1 << 12, 1 << 13, 1 << 63] {
        let after = wrmsr(&QUIET, EFER, value);
        assert_eq!(after.vcpu.control().event_injection, GP, "{value:#x}");
        assert_eq!(after.vcpu.save().efer, 1 << 12);
    }
}

#[test]
fn an_unknown_msr_is_gp() {
    for after in [rdmsr(&QUIET, 0x1234), wrmsr(&QUIET, 0x1234, 0)] {
        assert_eq!(after.vcpu.control().event_injection, GP);
        assert_eq!(after.vcpu.save().rip, CODE);
        assert_eq!(after.vm.denials.iter().count(), 1);
    }
}

#[test]
fn writing_the_tsc_moves_the_guest_s_alone() {
    let after = wrmsr(&QUIET, 0x10, 1000);
    assert_ne!(after.vcpu.control().tsc_offset, 0);
}

#[test]
fn a_rule_goes_before_the_model() {
    assert_eq!(rdmsr(&RULES, 0x205).vcpu.save().rip, CODE + 2);
    assert_eq!(wrmsr(&RULES, 0x205, 0).vcpu.control().event_injection, GP);
    assert_eq!(end(&rdmsr(&RULES, 0x300).vm), Some(How::Stopped));
}

#[test]
fn an_illegal_pat_is_refused() {
    assert_eq!(wrmsr(&QUIET, 0x277, 2).vcpu.control().event_injection, GP);
    assert_eq!(wrmsr(&QUIET, 0x277, 6).vcpu.save().g_pat, 6);
}

static WITH_CLOCK: VmPolicy = VmPolicy {
    devices: DeviceSet::PVCLOCK,
    ..QUIET
};

/// Linux, Documentation/virt/kvm/x86/msr.rst: the two structures, and the MSRs that read back.
#[test]
fn a_paravirtual_clock_is_kept_where_the_guest_wants_it() {
    let mut instance = guest(&WITH_CLOCK, &[0x0f, 0x30]);
    let (wall, system) = (0x4b56_4d00, 0x4b56_4d01);
    for (msr, value) in [(wall, 0x9000u64), (system, 0xa001)] {
        instance.vcpu.save_mut().rip = CODE;
        instance.vcpu.control_mut().exit_info1 = 1;
        instance.vcpu.gprs.rcx = msr;
        instance.vcpu.gprs.rdx = 0;
        instance.vcpu.set_rax(value);
        msr::emulate(&mut instance.vcpu, &mut instance.vm);
        instance.vcpu.save_mut().rip = CODE;
        instance.vm.memory.write(Gpa(CODE), &[0x0f, 0x32]).unwrap();
        instance.vcpu.control_mut().exit_info1 = 0;
        msr::emulate(&mut instance.vcpu, &mut instance.vm);
        assert_eq!(instance.vcpu.save().rax, value);
        instance.vm.memory.write(Gpa(CODE), &[0x0f, 0x30]).unwrap();
    }
    let memory = &instance.vm.memory;
    let word = |at: u64| memory.read_u32(Gpa(at)).unwrap();
    assert_eq!((word(0x9000) & 1, word(0x9004)), (0, 0x1234_5678));
    assert_eq!(word(0xa000) & 1, 0, "it is whole");
    // The TSC of these tests counts nanoseconds.
    assert_eq!((word(0xa018), word(0xa01c)), (1 << 31, 1 | 1 << 8));
    let at = |at: u64| memory.read_u64(Gpa(at)).unwrap();
    assert!(at(0xa010) <= instance.vm.clock.now().0);
    assert!(at(0xa008) <= crate::host::tsc::now());
}

#[test]
fn a_vm_without_that_clock_has_no_such_msrs() {
    let mut instance = guest(&QUIET, &[0x0f, 0x32]);
    instance.vcpu.gprs.rcx = 0x4b56_4d01;
    msr::emulate(&mut instance.vcpu, &mut instance.vm);
    let event = instance.vcpu.control().event_injection;
    assert_eq!(event, Event::exception_with_error(13, 0));
}

/// LME alone may cost the host its paging; what stands before the answers stays there while they
/// change.
#[test]
fn the_host_s_paging_is_looked_after_while_lme_is_set() {
    static OTHER: Dispatch = Dispatch::empty();
    let mut instance = guest(&QUIET, &[]);
    let Instance { vcpu, vm } = &mut instance;
    let is_direct = |vm: &Vm| core::ptr::eq(vm.dispatch, vm.behind);
    for (lme, direct) in [(0, true), (1 << 8, false), (0, true)] {
        vcpu.save_mut().efer = 1 << 12 | lme;
        host_paging::watch(vcpu, vm);
        assert_eq!(is_direct(vm), direct);
        vm.answer_by(&OTHER);
        assert_eq!(is_direct(vm), direct);
        vm.answer_by(&DISPATCH);
    }
    vcpu.save_mut().efer |= 1 << 8;
    host_paging::watch(vcpu, vm);
    instance.vcpu.control_mut().exit_code = ExitCode::Cpuid as u64;
    assert_eq!(dispatch::<true>(&mut instance), Outcome::Resume);
}
