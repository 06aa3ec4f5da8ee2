//! What a policy's rules look at and do: conditions, limits, a CPU model of one's own.

use super::*;
use crate::policy::CpuidRule;

#[test]
fn a_condition_sees_what_the_cpu_tells() {
    let Instance { mut vcpu, .. } = guest(&QUIET, &[]);
    vcpu.gprs.rcx = 0xffff_ffff_c000_0080;
    let save = vcpu.save_mut();
    (save.rax, save.cpl, save.rip) = (0xffff_ffff_0000_0007, 3, 0x1234);
    let control = vcpu.control_mut();
    // OUT of a byte to port 60h.
    control.exit_info1 = 0x60 << 16 | 1 << 4;
    control.exit_info2 = 0xdead_beef_0000;
    assert_eq!((when::port(&vcpu), when::is_out(&vcpu)), (0x60, true));
    assert_eq!(when::msr(&vcpu), 0xc000_0080);
    assert_eq!((when::leaf(&vcpu), when::subleaf(&vcpu)), (7, 0xc000_0080));
    assert_eq!(when::number(&vcpu), 7);
    assert_eq!(when::address(&vcpu), 0xdead_beef_0000);
    assert_eq!((when::cpl(&vcpu), when::rip(&vcpu)), (3, 0x1234));
    vcpu.control_mut().exit_info1 = 1;
    assert!(!when::is_out(&vcpu) && when::is_wrmsr(&vcpu));
    assert_eq!(when::error_code(&vcpu), 1);
    vcpu.control_mut().exit_info1 = 0;
    assert!(!when::is_wrmsr(&vcpu));
}

#[test]
fn a_condition_reads_the_vector_from_the_instruction() {
    for (code, vector) in [
        (&[0xcd, 0x80, 0x90][..], 0x80),
        (&[0xcc, 0x90], 3),
        (&[0xce, 0x90], 4),
        (&[0x90, 0x90], u64::MAX),
    ] {
        let Instance { vcpu, vm } = guest(&QUIET, code);
        assert_eq!(when::int(&vcpu, &vm), vector, "{code:x?}");
    }
}

#[test]
fn a_limit_of_three_lets_three_exits_be_answered() {
    let Instance { mut vcpu, mut vm } = guest(&QUIET, &[]);
    for _ in 0..3 {
        assert!(!limit::is_past(&vm, ExitCode::Rdtsc, 3));
        count(&vm, slot(ExitCode::Rdtsc as u64));
    }
    assert!(limit::is_past(&vm, ExitCode::Rdtsc, 3));
    assert!(!limit::is_past(&vm, ExitCode::Rdtscp, 3));
    let outcome = limit::stop(&mut vcpu, &mut vm, ExitCode::Rdtsc, 3);
    assert_eq!(outcome, Outcome::Leave);
    let end = vm.end.expect("an end");
    assert_eq!(end.how, How::Stopped);
    assert!(end.reason.contains("limit for `rdtsc`"), "{}", end.reason);
}

#[test]
fn a_limit_that_passes_takes_its_own_intercept_off() {
    let Instance { mut vcpu, .. } = guest(&QUIET, &[]);
    vcpu.control_mut().intercept_misc1 = u32::MAX;
    let outcome = limit::pass(&mut vcpu, ExitCode::Rdtsc);
    assert_eq!(outcome, Outcome::Resume);
    assert_eq!(vcpu.control().intercept_misc1, !(1 << 14));
    assert_eq!(vcpu.save().rip, CODE, "the guest does it by itself");
}

const NOTHING: CpuidRule = CpuidRule {
    leaf: 0,
    subleaf: 0,
    keep: [u32::MAX; 4],
    host: [0; 4],
    set: [0; 4],
};

/// A guest with CPUID at RIP, on a host that answers everything with ones.
fn with_model(rules: &[CpuidRule]) -> Instance {
    let mut instance = guest(&QUIET, &[0x0f, 0xa2, 0x90, 0x90]);
    let model = CpuidModel::minimal(|_| [u32::MAX; 4]);
    instance.vm.cpuid = model.with(rules, |_, _| [u32::MAX; 4]);
    instance
}

fn cpuid_of(instance: &mut Instance, leaf: u32, subleaf: u32) -> [u32; 4] {
    let Instance { vcpu, vm } = instance;
    vcpu.save_mut().rip = CODE;
    vcpu.save_mut().rax = leaf.into();
    vcpu.gprs.rcx = subleaf.into();
    assert_eq!(cpuid::by_rules(vcpu, vm), Outcome::Resume);
    assert_eq!(vcpu.save().rip, CODE + 2);
    [vcpu.save().rax, vcpu.gprs.rbx, vcpu.gprs.rcx, vcpu.gprs.rdx].map(|register| register as u32)
}

#[test]
fn a_policy_hides_shows_and_sets_bits_of_a_leaf() {
    let before = cpuid_of(&mut with_model(&[]), 1, 0);
    let rule = CpuidRule {
        leaf: 1,
        keep: [u32::MAX, u32::MAX, !(1 << 0 | 1 << 25 | 1 << 31), u32::MAX],
        host: [0, 0, 1 << 25, 0],
        set: [0, 0, 1 << 31, 0],
        ..NOTHING
    };
    let after = cpuid_of(&mut with_model(&[rule]), 1, 0);
    assert_eq!((before[2] & 1, before[2] >> 31), (1, 0));
    assert_eq!(after[2], before[2] & !1 | 1 << 25 | 1 << 31);
    assert_eq!((after[0], after[3]), (before[0], before[3]));
}

#[test]
fn a_leaf_that_a_policy_adds_is_found_and_announced() {
    let invented = CpuidRule {
        leaf: 0x4000_0000,
        set: [1, 2, 3, 4],
        ..NOTHING
    };
    let subleaf = CpuidRule {
        leaf: 7,
        subleaf: 1,
        set: [5, 6, 7, 8],
        ..NOTHING
    };
    let mut instance = with_model(&[subleaf, invented]);
    assert_eq!(cpuid_of(&mut instance, 0x4000_0000, 9), [1, 2, 3, 4]);
    assert_eq!(cpuid_of(&mut instance, 7, 1), [5, 6, 7, 8]);
    assert_eq!(cpuid_of(&mut instance, 7, 0), [0; 4]);
    assert_eq!(cpuid_of(&mut instance, 0, 0)[0], 7, "the largest leaf");
    assert_eq!(cpuid_of(&mut instance, 0x8000_0000, 0)[0], 0x8000_0008);
}

#[test]
fn a_policy_that_sets_the_largest_leaf_itself_is_believed() {
    let largest = CpuidRule {
        keep: [0, u32::MAX, u32::MAX, u32::MAX],
        set: [1, 0, 0, 0],
        ..NOTHING
    };
    let added = CpuidRule { leaf: 7, ..NOTHING };
    assert_eq!(cpuid_of(&mut with_model(&[largest, added]), 0, 0)[0], 1);
}
