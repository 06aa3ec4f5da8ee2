//! Decode assists: what the CPU tells of an instruction, and what the VMM reads in the guest's
//! code where the CPU does not, come to the same.

use proptest::prelude::*;

use super::*;
use crate::exits::tests::registers::at;

/// The guest's registers and what is injected, after `handler` has seen the exit.
fn after(mut instance: Instance, handler: Handler) -> (Outcome, [u64; 16], Vec<u64>) {
    let Instance { vcpu, vm } = &mut instance;
    for number in 0..16 {
        vcpu.set_gpr(number, 0x1010_0000 * u64::from(number));
    }
    let outcome = handler(vcpu, vm);
    let save = vcpu.save();
    let gprs = core::array::from_fn(|number| vcpu.gpr(number as u8));
    let others = vec![
        save.rip,
        save.cr0,
        save.cr2,
        save.cr3,
        save.cr4,
        save.dr6,
        save.dr7,
        save.rflags,
        vcpu.control().vintr,
        vcpu.control().event_injection.0,
    ];
    (outcome, gprs, others)
}

/// The exit of `code`, of a CPU that tells `info` of it; the code itself has gone.
fn told(code: &[u8], exit: ExitCode, info: u64) -> Instance {
    let mut instance = at(&vec![0xf1; code.len()], exit);
    instance.vcpu.has_decode_assists = true;
    let control = instance.vcpu.control_mut();
    control.exit_info1 = info;
    control.next_rip = CODE + code.len() as u64;
    instance
}

const MOV: u64 = 1 << 63;

proptest! {
    #[test]
    fn a_register_is_moved_as_told_or_as_read(
        number in prop_oneof![Just(0u8), Just(2), Just(3), Just(4)], gpr in 0u8..8,
        write: bool, debug: bool, prefixed: bool,
    ) {
        // DR6 and DR7 are in the VMCB; the guest itself writes all but DR6.
        let number = match (debug, write) {
            (true, true) => 6,
            (true, false) => 6 + (number & 1),
            (false, _) => number,
        };
        let opcode = 0x20 | u8::from(debug) | u8::from(write) << 1;
        let mut code = vec![0x66; usize::from(prefixed)];
        code.extend([0x0f, opcode, 0xc0 | number << 3 | gpr]);
        let base = match (debug, write) {
            (false, false) => ExitCode::Cr0Read,
            (false, true) => ExitCode::Cr0Write,
            (true, false) => ExitCode::Dr0Read,
            (true, true) => ExitCode::Dr0Write,
        };
        let exit = by_code(base as u64 + u64::from(number)).unwrap().code;
        let (handler, mov): (Handler, u64) = if debug {
            (dr::emulate, 0)
        } else {
            (cr::emulate, MOV)
        };
        let read = after(at(&code, exit), handler);
        prop_assert_eq!(&after(told(&code, exit, mov | u64::from(gpr)), handler), &read);
        let (next, event) = (read.2[0], read.2[9]);
        prop_assert!(next == CODE + code.len() as u64 || event != 0, "not performed");
    }

    #[test]
    fn an_interrupt_is_delivered_as_told_or_as_read(vector: u8) {
        let code = [0xcd, vector];
        let read = after(at(&code, ExitCode::Swint), swint::deliver);
        let told = after(told(&code, ExitCode::Swint, vector.into()), swint::deliver);
        prop_assert_eq!(told, read);
    }

    /// Whatever a CPU tells, the guest goes on at most 15 bytes further.
    #[test]
    fn a_length_that_no_instruction_has_is_not_believed(
        info: u64, next_rip: u64, number in 0u8..16,
    ) {
        let exit = by_code(ExitCode::Cr0Write as u64 + u64::from(number)).unwrap().code;
        let mut instance = told(&[0x90; 3], exit, info);
        instance.vcpu.control_mut().next_rip = next_rip;
        let (_, _, others) = after(instance, cr::emulate);
        prop_assert!(others[0].wrapping_sub(CODE) <= 15);
    }
}

#[test]
fn what_is_not_mov_is_read_in_the_code() {
    // CLTS, whose exit is that of a write of CR0.
    let mut instance = at(&[0x0f, 0x06], ExitCode::Cr0Write);
    instance.vcpu.has_decode_assists = true;
    instance.vcpu.control_mut().next_rip = CODE + 2;
    instance.vcpu.save_mut().cr0 |= 1 << 3;
    let (_, _, others) = after(instance, cr::emulate);
    assert_eq!(others[..2], [CODE + 2, CR0_PE | 1 << 4]);
}

#[test]
fn invlpg_names_the_page_that_the_cpu_tells() {
    let code = [0x0f, 0x01, 0x38];
    let instance = told(&code, ExitCode::Invlpg, 0x1234_5000);
    let control = instance.vcpu.control();
    let told = crate::vm::assists::invlpg(control, CODE);
    assert_eq!(told, Some((0x1234_5000, CODE + 3)));
    let read = after(at(&code, ExitCode::Invlpg), invlpg::emulate);
    assert_eq!(after(instance, invlpg::emulate), read);
}
