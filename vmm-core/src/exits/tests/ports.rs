//! IN and OUT.

use super::*;

static RULES: VmPolicy = VmPolicy {
    io: &[
        IoRule {
            first: 0xf0,
            last: 0xf0,
            action: IoAction::Ignore,
        },
        IoRule {
            first: 0xf4,
            last: 0xf4,
            action: IoAction::Exit,
        },
        IoRule {
            first: 0x100,
            last: 0x1ff,
            action: IoAction::Stop,
        },
    ],
    ..QUIET
};

const IN: u64 = 1;
const STRING: u64 = 1 << 2;
const REP: u64 = 1 << 3;

/// EXITINFO1 for an access of `bytes` bytes at `port`.
fn info(port: u16, bytes: u64, flags: u64) -> u64 {
    u64::from(port) << 16 | bytes << 4 | flags
}

fn access(instance: &mut Instance, info1: u64) -> Outcome {
    let next = instance.vcpu.save().rip + 2;
    let control = instance.vcpu.control_mut();
    control.exit_info1 = info1;
    control.exit_info2 = next;
    io::emulate(&mut instance.vcpu, &mut instance.vm)
}

#[test]
fn a_denied_port_reads_all_ones_and_is_told_once() {
    let mut instance = guest(&RULES, &[]);
    for (bytes, expected) in [(1, 0x1122_33ff), (2, 0x1122_ffff), (4, 0xffff_ffff)] {
        instance.vcpu.save_mut().rax = 0x1122_3344;
        access(&mut instance, info(0x300, bytes, IN));
        assert_eq!(instance.vcpu.save().rax, expected);
    }
    assert_eq!(instance.vm.denials.iter().count(), 1);
    assert_eq!(instance.vcpu.save().rip, CODE + 6);
}

#[test]
fn an_ignored_port_is_not_told() {
    let mut instance = guest(&RULES, &[]);
    access(&mut instance, info(0xf0, 1, 0));
    access(&mut instance, info(0xf0, 1, IN));
    assert_eq!(instance.vm.denials.iter().count(), 0);
    assert_eq!(instance.vcpu.save().rax, 0xff);
}

#[test]
fn a_write_to_an_exit_port_ends_the_vm_by_its_value() {
    for (value, how) in [(0, How::PowerOff), (1, How::Crashed)] {
        let mut instance = guest(&RULES, &[]);
        instance.vcpu.save_mut().rax = value;
        assert_eq!(access(&mut instance, info(0xf4, 1, 0)), Outcome::Leave);
        assert_eq!(end(&instance.vm), Some(how));
    }
}

#[test]
fn a_stop_port_stops_the_vm() {
    let mut instance = guest(&RULES, &[]);
    assert_eq!(access(&mut instance, info(0x123, 1, IN)), Outcome::Leave);
    assert_eq!(end(&instance.vm), Some(How::Stopped));
}

#[test]
fn a_wide_access_reaches_the_ports_behind_the_first() {
    let mut instance = guest(&QUIET, &[]);
    instance.vcpu.save_mut().rax = 0x2000;
    assert_eq!(access(&mut instance, info(0x604, 2, 0)), Outcome::Leave);
    assert_eq!(end(&instance.vm), Some(How::PowerOff));
}

#[test]
fn the_pic_s_mask_reads_back() {
    let mut instance = guest(&QUIET, &[]);
    instance.vcpu.save_mut().rax = 0x5a;
    access(&mut instance, info(0x21, 1, 0));
    instance.vcpu.save_mut().rax = 0xffff_ff00;
    access(&mut instance, info(0x21, 1, IN));
    assert_eq!(instance.vcpu.save().rax, 0xffff_ff5a);
}

#[test]
fn unmasking_a_pending_line_delivers_it() {
    let mut instance = guest(&QUIET, &[]);
    raise_line_1(&mut instance.vm);
    instance.vm.devices.pic.write(0x21, 0xff);
    instance.vcpu.save_mut().rflags |= RFLAGS_IF;
    instance.vcpu.save_mut().rax = 0xfd;
    access(&mut instance, info(0x21, 1, 0));
    assert_eq!(
        instance.vcpu.control().event_injection,
        Event::interrupt(0x21)
    );
}

/// REP OUTSB to the PIC's mask: the last byte stays.
#[test]
fn rep_outs_takes_its_bytes_from_memory() {
    let mut instance = guest(&QUIET, &[0xf3, 0x6e]);
    instance.vm.memory.write(Gpa(0x9000), &[1, 2, 3]);
    instance.vcpu.gprs.rsi = 0x9000;
    instance.vcpu.gprs.rcx = 3;
    access(&mut instance, info(0x21, 1, STRING | REP));
    assert_eq!(
        (instance.vcpu.gprs.rsi, instance.vcpu.gprs.rcx),
        (0x9003, 0)
    );
    assert_eq!(instance.vm.devices.pic.read(0x21), 3);
    assert_eq!(instance.vcpu.save().rip, CODE + 2);
}

#[test]
fn rep_ins_fills_memory_downwards_with_df_set() {
    let mut instance = guest(&QUIET, &[0xf3, 0x6d]);
    instance.vcpu.save_mut().rflags |= 1 << 10;
    instance.vcpu.gprs.rdi = 0x9004;
    instance.vcpu.gprs.rcx = 2;
    access(&mut instance, info(0x300, 4, IN | STRING | REP));
    assert_eq!(instance.vm.memory.read_u64(Gpa(0x9000)), Some(u64::MAX));
    assert_eq!(instance.vm.memory.read_u32(Gpa(0x9008)), Some(0));
    assert_eq!(instance.vcpu.gprs.rdi, 0x8ffc);
}

/// The guest's memory manager finds the page in use, as after a REP INS of the CPU's own.
#[test]
fn ins_marks_the_page_as_accessed_and_dirty_and_outs_as_accessed() {
    let marks = |code: &[u8], direction| {
        let mut instance = guest(&QUIET, code);
        let Instance { vcpu, vm } = &mut instance;
        let tables = [(0xa000, 0xb003), (0xb000 + 8 * 4, 0x8003), (0xb004, 0x9003)];
        for (at, entry) in tables {
            vm.memory.write(Gpa(at), &u32::to_le_bytes(entry)).unwrap();
        }
        vcpu.save_mut().cr0 |= 1 << 31;
        vcpu.save_mut().cr3 = 0xa000;
        vcpu.gprs.rdi = 0x1000;
        vcpu.gprs.rsi = 0x1000;
        vcpu.gprs.rcx = 2;
        access(&mut instance, info(0x21, 1, direction | STRING | REP));
        [0xa000, 0xb004].map(|at| instance.vm.memory.read_u8(Gpa(at)).unwrap())
    };
    assert_eq!(marks(&[0xf3, 0x6c], IN), [0x23, 0x63]);
    assert_eq!(marks(&[0xf3, 0x6e], 0), [0x23, 0x23]);
}

#[test]
fn a_16_bit_address_size_touches_16_bits_of_the_registers() {
    let mut instance = guest(&QUIET, &[0x67, 0xf3, 0x6e]);
    instance.vcpu.gprs.rsi = 0xabcd_ffff;
    instance.vcpu.gprs.rcx = 0x1_0001;
    access(&mut instance, info(0xf0, 1, STRING | REP));
    assert_eq!(instance.vcpu.gprs.rsi, 0xabcd_0000);
    assert_eq!(instance.vcpu.gprs.rcx, 0x1_0000);
}

#[test]
fn rep_with_a_count_of_zero_moves_nothing() {
    let mut instance = guest(&QUIET, &[0xf3, 0x6e]);
    instance.vcpu.gprs.rsi = 0x9000;
    access(&mut instance, info(0x21, 1, STRING | REP));
    assert_eq!(instance.vcpu.gprs.rsi, 0x9000);
    assert_eq!(instance.vcpu.save().rip, CODE + 2);
}

#[test]
fn a_long_rep_lets_interrupts_in() {
    let mut instance = guest(&QUIET, &[0xf3, 0x6e]);
    instance.vcpu.gprs.rcx = 100_000;
    access(&mut instance, info(0x300, 1, STRING | REP));
    let left = instance.vcpu.gprs.rcx;
    assert!(0 < left && left < 100_000);
    assert_eq!(instance.vcpu.save().rip, CODE, "it is to be repeated");
}

#[test]
fn a_string_on_an_unmapped_page_is_the_guest_s_page_fault() {
    let mut instance = guest(&QUIET, &[0x6c]);
    let save = instance.vcpu.save_mut();
    save.cr0 |= 1 << 31;
    save.cr3 = 0xa000;
    // One page of code, and nothing else.
    instance
        .vm
        .memory
        .write(Gpa(0xa000), &0xb003u32.to_le_bytes());
    instance
        .vm
        .memory
        .write(Gpa(0xb000 + 8 * 4), &0x8003u32.to_le_bytes());
    instance.vcpu.gprs.rdi = 0x5678;
    access(&mut instance, info(0x21, 1, IN | STRING));
    assert_eq!(
        instance.vcpu.control().event_injection,
        Event::exception_with_error(14, 2)
    );
    assert_eq!(instance.vcpu.save().cr2, 0x5678);
    assert_eq!(instance.vcpu.save().rip, CODE);
}
