//! Control registers, as the CPU would have read and written them.

use intercepts::vmcb::validate;
use proptest::prelude::*;

use super::*;

const GP: Event = Event::exception_with_error(13, 0);
pub(super) const UD: Event = Event::exception(6);
const EFER_LME: u64 = 1 << 8;
pub(super) const EFER_LMA: u64 = 1 << 10;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
pub(super) const LONG: u16 = 0x29b;

/// A guest at `code`, whose exit has this code.
pub(super) fn at(code: &[u8], exit: ExitCode) -> Instance {
    let mut instance = guest(&QUIET, code);
    instance.vcpu.control_mut().exit_code = exit as u64;
    instance
}

fn emulated(instance: &mut Instance) -> Outcome {
    cr::emulate(&mut instance.vcpu, &mut instance.vm)
}

/// MOV to the control register, from EAX.
fn mov_to(number: u8) -> [u8; 3] {
    [0x0f, 0x22, 0xc0 | number << 3]
}

fn exit_of_write(number: u8) -> ExitCode {
    match number {
        0 => ExitCode::Cr0Write,
        2 => ExitCode::Cr2Write,
        3 => ExitCode::Cr3Write,
        4 => ExitCode::Cr4Write,
        _ => ExitCode::Cr8Write,
    }
}

/// A guest that has written `value` to CR `number`, prepared by `prepare`.
fn written(number: u8, value: u64, prepare: impl Fn(&mut Vcpu)) -> Instance {
    let mut instance = at(&mov_to(number), exit_of_write(number));
    instance.vcpu.save_mut().rax = value;
    prepare(&mut instance.vcpu);
    emulated(&mut instance);
    instance
}

pub(super) fn is_refused(instance: &Instance) -> bool {
    let refused = instance.vcpu.control().event_injection == GP;
    assert_eq!(refused, instance.vcpu.save().rip == CODE, "RIP at a fault");
    refused
}

#[test]
fn a_write_takes_effect_and_moves_on() {
    let Instance { vcpu, .. } = written(0, 0x8001_0011, |_| ());
    assert_eq!(vcpu.save().cr0, 0x8001_0011);
    assert_eq!(vcpu.save().rip, CODE + 3);
    let Instance { vcpu, .. } = written(2, 0x1234_5678, |_| ());
    assert_eq!(vcpu.save().cr2, 0x1234_5678);
    let Instance { vcpu, .. } = written(3, 0x5000, |_| ());
    assert_eq!(vcpu.save().cr3, 0x5000);
}

#[test]
fn what_cpus_ignore_in_cr0_stays_0_and_et_stays_1() {
    let Instance { vcpu, .. } = written(0, 0x0ffa_ffc1, |_| ());
    assert_eq!(vcpu.save().cr0, 0x11);
}

#[test]
fn paging_without_protection_and_nw_without_cd_are_gp() {
    assert!(is_refused(&written(0, CR0_PG, |_| ())));
    assert!(is_refused(&written(0, 0x2000_0011, |_| ())));
    assert!(!is_refused(&written(0, 0x6000_0011, |_| ())));
}

#[test]
fn long_mode_begins_and_ends_with_paging() {
    let prepare = |vcpu: &mut Vcpu| {
        vcpu.save_mut().efer |= EFER_LME;
        vcpu.save_mut().cr4 = CR4_PAE;
    };
    let mut instance = written(0, CR0_PG | 0x11, prepare);
    assert_ne!(instance.vcpu.save().efer & EFER_LMA, 0);
    instance.vcpu.save_mut().rax = 0x11;
    instance.vcpu.save_mut().cr0 &= !CR0_PG;
    instance.vcpu.save_mut().rip = CODE;
    emulated(&mut instance);
    assert_eq!(instance.vcpu.save().efer & EFER_LMA, 0);
}

#[test]
fn long_mode_without_pae_is_gp() {
    let prepare = |vcpu: &mut Vcpu| vcpu.save_mut().efer |= EFER_LME;
    assert!(is_refused(&written(0, CR0_PG | 0x11, prepare)));
}

#[test]
fn in_long_mode_pae_stays() {
    let prepare = |vcpu: &mut Vcpu| {
        vcpu.save_mut().efer |= EFER_LME | EFER_LMA;
        vcpu.save_mut().cr4 = CR4_PAE;
    };
    assert!(is_refused(&written(4, 0, prepare)));
    assert!(!is_refused(&written(4, CR4_PAE | 1 << 7, prepare)));
}

/// CPUID of the model offers neither VME nor MCE, UMIP, PCID, SMEP.
#[test]
fn cr4_takes_what_cpuid_offers_and_no_more() {
    for bit in [2, 3, 4, 5, 7, 8, 9, 10] {
        assert!(!is_refused(&written(4, 1 << bit, |_| ())), "bit {bit}");
    }
    for bit in [0, 1, 6, 11, 12, 13, 16, 17, 18, 20, 21, 22, 23, 31] {
        assert!(is_refused(&written(4, 1 << bit, |_| ())), "bit {bit}");
    }
}

#[test]
fn a_control_register_is_of_ring_0() {
    for number in [0, 2, 3, 4] {
        assert!(is_refused(&written(number, 1, |vcpu| {
            vcpu.save_mut().cpl = 3
        })));
    }
}

#[test]
fn a_register_that_no_cpu_has_is_ud() {
    for exit in [ExitCode::Cr1Read, ExitCode::Cr5Write, ExitCode::Cr15Write] {
        let mut instance = at(&[0x0f, 0x20, 0xc8], exit);
        emulated(&mut instance);
        assert_eq!(instance.vcpu.control().event_injection, UD);
    }
}

#[test]
fn cr8_is_the_priority_of_virtual_interrupts() {
    let mut instance = at(&[0xf0, 0x0f, 0x22, 0xc0], ExitCode::Cr8Write);
    instance.vcpu.control_mut().vintr = vintr::V_INTR_MASKING | 3;
    instance.vcpu.save_mut().rax = 0xa;
    emulated(&mut instance);
    assert_eq!(
        instance.vcpu.control().vintr,
        vintr::V_INTR_MASKING | 0xa,
        "LOCK MOV to CR0 is MOV to CR8"
    );
    instance.vcpu.save_mut().rip = CODE;
    instance.vcpu.save_mut().rax = 0x10;
    emulated(&mut instance);
    assert!(is_refused(&instance));
}

#[test]
fn a_read_fills_32_bits_outside_64_bit_code() {
    let mut instance = at(&[0x0f, 0x20, 0xd9], ExitCode::Cr3Read);
    instance.vcpu.save_mut().cr3 = 0x1_2345_6000;
    instance.vcpu.gprs.rcx = u64::MAX;
    emulated(&mut instance);
    assert_eq!(instance.vcpu.gprs.rcx, 0x2345_6000);
    let save = instance.vcpu.save_mut();
    save.rip = CODE;
    save.efer |= EFER_LMA;
    save.cs.attributes = LONG;
    emulated(&mut instance);
    assert_eq!(instance.vcpu.gprs.rcx, 0x1_2345_6000);
}

#[test]
fn lmsw_sets_protection_and_never_clears_it() {
    let mut instance = at(&[0x0f, 0x01, 0xf0], ExitCode::Cr0Write);
    instance.vcpu.save_mut().rax = 0xfff8;
    instance.vcpu.save_mut().cr0 = 0x13;
    emulated(&mut instance);
    assert_eq!(instance.vcpu.save().cr0, 0x19);
}

#[test]
fn clts_clears_ts_alone() {
    let mut instance = at(&[0x0f, 0x06], ExitCode::Cr0Write);
    instance.vcpu.save_mut().cr0 = 0x1f;
    emulated(&mut instance);
    assert_eq!(instance.vcpu.save().cr0, 0x17);
    assert_eq!(instance.vcpu.save().rip, CODE + 2);
}

#[test]
fn an_instruction_ends_rf_and_traps_if_the_guest_steps() {
    let Instance { vcpu, .. } = written(2, 0, |vcpu| vcpu.save_mut().rflags |= 1 << 16 | 1 << 8);
    assert_eq!(vcpu.save().rflags, 1 << 8 | 2);
    assert_eq!(vcpu.control().event_injection, Event::exception(1));
    assert_eq!(vcpu.save().dr6 >> 14 & 1, 1, "DR6.BS");
}

#[test]
fn smsw_fills_a_register_as_wide_as_it_is_written() {
    for (code, expected) in [
        (&[0x66, 0x0f, 0x01, 0xe1][..], 0x1122_0011),
        (&[0x0f, 0x01, 0xe1], 0x8001_0011),
    ] {
        let mut instance = at(code, ExitCode::Cr0Read);
        instance.vcpu.save_mut().cr0 = 0x8001_0011;
        instance.vcpu.save_mut().cpl = 3;
        instance.vcpu.gprs.rcx = 0x1122_3344;
        // The tables that paging needs are not what is tested.
        instance.vcpu.save_mut().cr0 &= !CR0_PG;
        emulated(&mut instance);
        assert_eq!(instance.vcpu.gprs.rcx, expected & !CR0_PG);
    }
}

#[test]
fn smsw_and_lmsw_reach_16_bits_of_memory() {
    // SMSW [ECX + 2]
    let mut instance = at(&[0x0f, 0x01, 0x61, 2], ExitCode::Cr0Read);
    instance.vcpu.gprs.rcx = 0x8ffd;
    instance.vm.memory.write(Gpa(0x8ffe), &[0xff; 4]);
    instance.vcpu.save_mut().cr0 = 0x0001_0013;
    emulated(&mut instance);
    assert_eq!(instance.vm.memory.read_u32(Gpa(0x8ffe)), Some(0xff00_13ff));
    assert_eq!(instance.vcpu.save().rip, CODE + 4);

    // LMSW [ECX]
    let mut instance = at(&[0x0f, 0x01, 0x31], ExitCode::Cr0Write);
    instance.vcpu.gprs.rcx = 0x9000;
    instance.vm.memory.write(Gpa(0x9000), &[0x0b, 0xff]);
    emulated(&mut instance);
    assert_eq!(instance.vcpu.save().cr0, 0x1b);
}

#[test]
fn smsw_to_a_page_that_is_not_there_is_the_guest_s_page_fault() {
    let mut instance = at(&[0x0f, 0x01, 0x21], ExitCode::Cr0Read);
    let save = instance.vcpu.save_mut();
    save.cr0 |= CR0_PG;
    save.cr3 = 0xa000;
    // One page of code, and nothing else.
    for (entry, value) in [(0xa000, 0xb003_u32), (0xb000 + 8 * 4, 0x8003)] {
        instance.vm.memory.write(Gpa(entry), &value.to_le_bytes());
    }
    instance.vcpu.gprs.rcx = 0x5678;
    emulated(&mut instance);
    assert_eq!(
        instance.vcpu.control().event_injection,
        Event::exception_with_error(14, 2)
    );
    assert_eq!(
        (instance.vcpu.save().cr2, instance.vcpu.save().rip),
        (0x5678, CODE)
    );
}

#[test]
fn code_that_does_not_cause_the_exit_ends_the_vm() {
    for code in [&[0x90][..], &[0x0f, 0x22, 0xd8], &[0x0f, 0x20, 0xc0]] {
        let mut instance = at(code, ExitCode::Cr0Write);
        assert_eq!(emulated(&mut instance), Outcome::Leave);
        assert_eq!(end(&instance.vm), Some(How::Crashed));
    }
}

/// A write of any value, anywhere: it faults and changes nothing, or VMRUN takes the VMCB.
#[derive(Clone, Copy, Debug)]
struct Write {
    number: u8,
    value: u64,
    is_long: bool,
}

fn any_write() -> impl Strategy<Value = Write> {
    let value = prop_oneof![
        any::<u64>(),
        any::<u32>().prop_map(u64::from),
        (0..64_u32, 0..64_u32).prop_map(|(one, other)| 1 << one | 1 << other),
        Just(0x8001_0011),
        Just(CR4_PAE),
    ];
    (
        proptest::sample::select(vec![0, 2, 3, 4, 8]),
        value,
        any::<bool>(),
    )
        .prop_map(|(number, value, is_long)| Write {
            number,
            value,
            is_long,
        })
}

proptest! {
    #[test]
    fn no_sequence_of_writes_makes_a_vmcb_that_vmrun_refuses(
        writes in proptest::collection::vec(any_write(), 1..20),
        efer in proptest::sample::select(vec![0, EFER_LME]),
    ) {
        const MAX_PHYSICAL: u64 = 1 << 52;
        let mut instance = guest(&QUIET, &[]);
        instance.vcpu.save_mut().efer |= efer;
        instance.vcpu.save_mut().g_pat = 0x0007_0406_0007_0406;
        instance.vcpu.control_mut().guest_asid = 1;
        instance.vcpu.control_mut().intercept_misc2 = 1;
        for Write { number, value, is_long } in writes {
            let lock = if number == 8 { vec![0xf0] } else { vec![] };
            let code = [lock, mov_to(number & 7).to_vec()].concat();
            let save = instance.vcpu.save_mut();
            // Paging ends between two writes: the code must be found whatever CR3 is.
            save.cr0 &= !CR0_PG;
            save.efer &= !EFER_LMA;
            let cr0 = save.cr0;
            save.rip = CODE;
            save.cs.attributes = if is_long { LONG } else { 0xc9b };
            save.rax = value;
            instance.vm.memory.write(Gpa(CODE), &code);
            instance.vcpu.control_mut().exit_code = exit_of_write(number) as u64;
            instance.vcpu.control_mut().event_injection = Event::NONE;
            prop_assert_eq!(emulated(&mut instance), Outcome::Resume);
            let vmcb = instance.vcpu.vmcb();
            prop_assert_eq!(validate(vmcb, MAX_PHYSICAL), Ok(()));
            if vmcb.control.event_injection.is_valid() {
                prop_assert_eq!(vmcb.save.cr0, cr0);
                prop_assert_eq!(vmcb.save.rip, CODE);
            }
        }
    }
}
