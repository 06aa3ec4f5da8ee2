//! Instructions that the VMM executes for the guest.

use super::*;

#[test]
fn cpuid_answers_from_the_model_and_moves_on() {
    let Instance { mut vcpu, mut vm } = guest(&QUIET, &[0x0f, 0xa2]);
    vcpu.save_mut().rax = 0x8000_0001;
    assert_eq!(cpuid::emulate(&mut vcpu, &mut vm), Outcome::Resume);
    assert_eq!(vcpu.gprs.rcx >> 2 & 1, 0, "no SVM");
    assert_eq!(vcpu.save().rip, CODE + 2);
}

#[test]
fn prefixes_count_to_the_instruction() {
    let code = [0x66, 0x2e, 0x0f, 0xa2, 0x0f, 0xa2];
    let Instance { mut vcpu, mut vm } = guest(&QUIET, &code);
    cpuid::emulate(&mut vcpu, &mut vm);
    assert_eq!(vcpu.save().rip, CODE + 4);
    cpuid::emulate(&mut vcpu, &mut vm);
    assert_eq!(vcpu.save().rip, CODE + 6);
}

#[test]
fn nrip_is_believed_where_the_cpu_saves_it() {
    let Instance { vm, .. } = guest(&QUIET, &[]);
    let mut vcpu = Vcpu::new(true);
    vcpu.control_mut().next_rip = 0x1234;
    vcpu.advance(&vm.memory, [0x0f, 0xa2]);
    assert_eq!(vcpu.save().rip, 0x1234);
}

#[test]
fn a_single_stepped_instruction_ends_in_db() {
    let Instance { mut vcpu, mut vm } = guest(&QUIET, &[0x0f, 0xa2]);
    vcpu.save_mut().rflags |= 1 << 8;
    cpuid::emulate(&mut vcpu, &mut vm);
    assert_eq!(vcpu.control().event_injection, Event::exception(1));
    assert_eq!(vcpu.save().dr6 >> 14 & 1, 1, "DR6.BS");
}

#[test]
fn completing_an_instruction_ends_the_interrupt_shadow() {
    let Instance { mut vcpu, mut vm } = guest(&QUIET, &[0x0f, 0xa2]);
    vcpu.control_mut().interrupt_shadow = shadow::INTERRUPT_SHADOW;
    cpuid::emulate(&mut vcpu, &mut vm);
    assert!(!vcpu.in_shadow());
}

#[test]
fn a_hypercall_is_answered_in_ring_0_alone() {
    let Instance { mut vcpu, mut vm } = guest(&QUIET, &[0x0f, 0x01, 0xd9]);
    vmmcall::hypercall(&mut vcpu, &mut vm);
    assert_eq!(vcpu.save().rax as u32, vmmcall::SIGNATURE);
    assert_eq!(vcpu.save().rip, CODE + 3);
    vcpu.save_mut().cpl = 3;
    vmmcall::hypercall(&mut vcpu, &mut vm);
    assert_eq!(vcpu.control().event_injection, Event::exception(6));
    assert_eq!(vcpu.save().rip, CODE + 3);
}

#[test]
fn an_unknown_hypercall_says_so() {
    let Instance { mut vcpu, mut vm } = guest(&QUIET, &[0x0f, 0x01, 0xd9]);
    vcpu.save_mut().rax = 77;
    vmmcall::hypercall(&mut vcpu, &mut vm);
    assert_eq!(vcpu.save().rax as u32, vmmcall::UNKNOWN);
}

/// QUIRK: QEMU 7.2 exits from RDTSCP as from RDTSC.
#[test]
fn rdtsc_and_rdtscp_are_told_apart_by_their_bytes() {
    for (code, length) in [
        (&[0x0f, 0x31, 0x0f, 0x01, 0xf9][..], 2),
        (&[0x66, 0x0f, 0x31], 3),
    ] {
        let Instance { mut vcpu, mut vm } = guest(&QUIET, code);
        vcpu.control_mut().exit_code = ExitCode::Rdtsc as u64;
        tsc::emulate(&mut vcpu, &mut vm);
        assert_eq!(vcpu.save().rip, CODE + length);
    }
}
