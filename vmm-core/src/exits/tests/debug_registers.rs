//! Debug registers, as the CPU would have read and written them.

use super::registers::{EFER_LMA, LONG, UD, at, is_refused};
use super::*;

const CR4_DE: u64 = 1 << 3;
const DR7_GD: u64 = 1 << 13;

fn emulated(code: &[u8], exit: ExitCode, prepare: impl Fn(&mut Vcpu)) -> Instance {
    let mut instance = at(code, exit);
    instance.vcpu.save_mut().dr6 = 0xffff_0ff0;
    instance.vcpu.save_mut().dr7 = 0x400;
    prepare(&mut instance.vcpu);
    dr::emulate(&mut instance.vcpu, &mut instance.vm);
    instance
}

#[test]
fn dr4_and_dr5_are_other_names_of_dr6_and_dr7_unless_cr4_de_takes_them_away() {
    let dr4 = [0x0f, 0x21, 0xe0];
    let read = emulated(&dr4, ExitCode::Dr4Read, |_| ());
    assert_eq!(read.vcpu.save().rax, 0xffff_0ff0);
    let dr5 = [0x0f, 0x21, 0xe8];
    let read = emulated(&dr5, ExitCode::Dr5Read, |_| ());
    assert_eq!(read.vcpu.save().rax, 0x400);
    let gone = emulated(&dr5, ExitCode::Dr5Read, |vcpu| {
        vcpu.save_mut().cr4 = CR4_DE;
    });
    assert_eq!(gone.vcpu.control().event_injection, UD);
}

#[test]
fn dr6_keeps_its_constant_bits() {
    let written = emulated(&[0x0f, 0x23, 0xf0], ExitCode::Dr6Write, |vcpu| {
        vcpu.save_mut().rax = 0x4001;
    });
    assert_eq!(written.vcpu.save().dr6, 0xffff_4ff1);
    assert_eq!(written.vcpu.save().rip, CODE + 3);
}

#[test]
fn upper_bits_of_dr6_are_gp() {
    let refused = emulated(&[0x0f, 0x23, 0xf0], ExitCode::Dr6Write, |vcpu| {
        let save = vcpu.save_mut();
        save.efer |= EFER_LMA;
        save.cs.attributes = LONG;
        save.rax = 1 << 32;
    });
    assert!(is_refused(&refused));
}

#[test]
fn a_protected_debug_register_is_db_once() {
    let protected = emulated(&[0x0f, 0x21, 0xf0], ExitCode::Dr6Read, |vcpu| {
        vcpu.save_mut().dr7 |= DR7_GD;
    });
    let Instance { vcpu, .. } = protected;
    assert_eq!(vcpu.control().event_injection, Event::exception(1));
    assert_eq!(vcpu.save().dr6 >> 13 & 1, 1, "DR6.BD");
    assert_eq!(vcpu.save().dr7, 0x400, "the handler may use them");
    assert_eq!(vcpu.save().rip, CODE);
}

#[test]
fn a_debug_register_is_of_ring_0() {
    let refused = emulated(&[0x0f, 0x21, 0xf8], ExitCode::Dr7Read, |vcpu| {
        vcpu.save_mut().cpl = 3;
    });
    assert!(is_refused(&refused));
}

#[test]
fn a_debug_register_that_no_cpu_has_is_ud() {
    let instance = emulated(&[0x0f, 0x21, 0xf8], ExitCode::Dr15Read, |_| ());
    assert_eq!(instance.vcpu.control().event_injection, UD);
}

/// QUIRK: QEMU 7.2 arms breakpoints only for a guest that executes the MOV itself.
#[test]
fn breakpoints_are_armed_by_the_guest_itself() {
    let instance = emulated(&[0x0f, 0x23, 0xf8], ExitCode::Dr7Write, |_| ());
    assert!(instance.vcpu.step.is_some());
    assert_eq!(instance.vcpu.save().rip, CODE);
}
