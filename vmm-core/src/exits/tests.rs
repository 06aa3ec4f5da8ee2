//! Handlers as functions of a vCPU and a VM: no CPU is needed to test them.

mod debug_registers;
mod registers;
mod rules;
mod stepping;

use intercepts::vmcb::control::{shadow, vintr};
use intercepts::{Event, ExitCode};

use super::*;
use crate::addr::Gpa;
use crate::devices::{DeviceSet, Devices, UnixTime};
use crate::host::tsc::Tsc;
use crate::policy::{Dispatch, IoAction, IoRule, MsrAction, MsrRule, TlbFlush, VmPolicy};
use crate::vm::clock::GuestClock;
use crate::vm::cpuid::CpuidModel;
use crate::vm::denials::Denials;
use crate::vm::memory::tests::leaked;
use crate::vm::stats::Stats;
use crate::vm::vcpu::RFLAGS_IF;
use crate::vm::{How, State};

static DISPATCH: Dispatch = Dispatch::empty()
    .with(ExitCode::Cpuid, cpuid::emulate)
    .with(ExitCode::Npf, npf::emulate);

const QUIET: VmPolicy = VmPolicy {
    name: "test",
    cmdline: "",
    memory: MEMORY as u64,
    asid: 1,
    npt: true,
    tlb: TlbFlush::Auto,
    cpuid: &[],
    halted_is_crash: false,
    devices: DeviceSet::all(),
    init_vmcb: |_| (),
    dispatch: &DISPATCH,
    io: &[],
    msrs: &[],
    needs: &[],
};

const MEMORY: usize = 0x10_0000;
const CODE: u64 = 0x8000;
const CR0_PE: u64 = 1;

/// A VM in flat 32-bit protected mode, with `code` at RIP.
fn guest(policy: &'static VmPolicy, code: &[u8]) -> Instance {
    let mut vcpu = Vcpu::new(false);
    let save = vcpu.save_mut();
    save.cr0 = CR0_PE;
    save.efer = 1 << 12;
    save.cs.attributes = 0xc9b;
    for segment in [&mut save.es, &mut save.ss, &mut save.ds] {
        segment.attributes = 0xc93;
        segment.limit = u32::MAX;
    }
    save.rip = CODE;
    save.rflags = 2;
    let mut memory = leaked(MEMORY);
    memory.write(Gpa(CODE), code).unwrap();
    let vm = Vm {
        policy,
        dispatch: policy.dispatch,
        memory,
        devices: Devices::new(policy.devices, policy.memory, UnixTime(0)),
        cpuid: CpuidModel::minimal(|_| [u32::MAX; 4]),
        clock: GuestClock::start(Tsc::new(1_000_000_000).unwrap()),
        stats: Stats::default(),
        denials: Denials::default(),
        state: State::Runnable,
        end: None,
        awaits_end_of_interrupt: false,
        retry_soon: false,
    };
    Instance { vcpu, vm }
}

/// How the VM ended, if it did.
fn end(vm: &Vm) -> Option<How> {
    vm.end.as_ref().map(|end| end.how)
}

/// Makes the guest's PIC assert an interrupt: line 1, vector 21h.
fn raise_line_1(vm: &mut Vm) {
    for (port, value) in [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 1),
        (0x21, 0xfd),
    ] {
        vm.devices.pic.write(port, value);
    }
    vm.devices.pic.set_line(1, true);
    assert!(vm.devices.interrupt_pending());
}

mod instructions {
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
}

mod waiting {
    use super::*;

    static CRASH: VmPolicy = VmPolicy {
        halted_is_crash: true,
        ..QUIET
    };

    #[test]
    fn hlt_with_interrupts_on_waits() {
        let Instance { mut vcpu, mut vm } = guest(&QUIET, &[0xf4]);
        vcpu.save_mut().rflags |= RFLAGS_IF;
        assert_eq!(hlt::wait(&mut vcpu, &mut vm), Outcome::Leave);
        assert_eq!(vm.state, State::Waiting);
        assert_eq!(vcpu.save().rip, CODE + 1);
    }

    #[test]
    fn hlt_with_interrupts_off_ends_the_vm_as_the_policy_counts_it() {
        for (policy, how) in [(&QUIET, How::Halted), (&CRASH, How::Crashed)] {
            let Instance { mut vcpu, mut vm } = guest(policy, &[0xf4]);
            assert_eq!(hlt::wait(&mut vcpu, &mut vm), Outcome::Leave);
            assert_eq!(end(&vm), Some(how));
        }
    }

    /// The wake-up of STI; HLT must not be lost (the pending interrupt ends the wait at once).
    #[test]
    fn hlt_with_an_interrupt_pending_takes_it() {
        let Instance { mut vcpu, mut vm } = guest(&QUIET, &[0xf4]);
        vcpu.save_mut().rflags |= RFLAGS_IF;
        vcpu.control_mut().interrupt_shadow = shadow::INTERRUPT_SHADOW;
        raise_line_1(&mut vm);
        assert_eq!(hlt::wait(&mut vcpu, &mut vm), Outcome::Resume);
        assert_eq!(vcpu.control().event_injection, Event::interrupt(0x21));
    }

    #[test]
    fn mwait_with_interrupts_off_goes_on() {
        let Instance { mut vcpu, mut vm } = guest(&QUIET, &[0x0f, 0x01, 0xc9]);
        assert_eq!(mwait::wait(&mut vcpu, &mut vm), Outcome::Resume);
        assert_eq!(vcpu.save().rip, CODE + 3);
    }
}

mod interrupts {
    use super::*;

    #[test]
    fn a_guest_that_can_take_an_interrupt_gets_it() {
        let Instance { mut vcpu, mut vm } = guest(&QUIET, &[]);
        vcpu.save_mut().rflags |= RFLAGS_IF;
        raise_line_1(&mut vm);
        interrupt::offer(&mut vcpu, &mut vm);
        assert_eq!(vcpu.control().event_injection, Event::interrupt(0x21));
        assert!(!vm.devices.interrupt_pending());
    }

    #[test]
    fn a_guest_with_interrupts_off_gets_the_bell() {
        let Instance { mut vcpu, mut vm } = guest(&QUIET, &[]);
        raise_line_1(&mut vm);
        interrupt::offer(&mut vcpu, &mut vm);
        assert!(!vcpu.control().event_injection.is_valid());
        assert_ne!(vcpu.control().vintr & vintr::V_IRQ, 0);
        assert!(vm.devices.interrupt_pending(), "it is still to come");

        vcpu.save_mut().rflags |= RFLAGS_IF;
        vcpu.control_mut().exit_code = ExitCode::Vintr as u64;
        interrupt::emulate(&mut vcpu, &mut vm);
        assert_eq!(vcpu.control().event_injection, Event::interrupt(0x21));
        assert_eq!(vcpu.control().vintr & vintr::V_IRQ, 0);
    }

    /// QUIRK: QEMU 7.2 forgets the shadow on VMRUN.
    #[test]
    fn in_an_interrupt_shadow_no_bell_rings() {
        let Instance { mut vcpu, mut vm } = guest(&QUIET, &[]);
        vcpu.save_mut().rflags |= RFLAGS_IF;
        vcpu.control_mut().interrupt_shadow = shadow::INTERRUPT_SHADOW;
        raise_line_1(&mut vm);
        interrupt::offer(&mut vcpu, &mut vm);
        assert!(!vcpu.control().event_injection.is_valid());
        assert_eq!(vcpu.control().vintr & vintr::V_IRQ, 0);
        assert!(vm.retry_soon);
    }

    #[test]
    fn a_queued_exception_goes_before_an_interrupt() {
        let Instance { mut vcpu, mut vm } = guest(&QUIET, &[]);
        vcpu.save_mut().rflags |= RFLAGS_IF;
        vcpu.inject_ud();
        raise_line_1(&mut vm);
        interrupt::offer(&mut vcpu, &mut vm);
        assert_eq!(vcpu.control().event_injection, Event::exception(6));
        assert_ne!(vcpu.control().vintr & vintr::V_IRQ, 0);
    }

    #[test]
    fn an_x87_error_is_line_13() {
        let Instance { mut vcpu, mut vm } = guest(&QUIET, &[]);
        for (command, base) in [(0x20, 0x20), (0xa0, 0x28)] {
            let cascade = if command == 0x20 { 4 } else { 2 };
            for (port, value) in [
                (command, 0x11),
                (command + 1, base),
                (command + 1, cascade),
                (command + 1, 1),
                (command + 1, 0),
            ] {
                vm.devices.pic.write(port, value);
            }
        }
        vcpu.save_mut().rflags |= RFLAGS_IF;
        vcpu.control_mut().exit_code = ExitCode::FerrFreeze as u64;
        interrupt::emulate(&mut vcpu, &mut vm);
        assert_eq!(vcpu.control().event_injection, Event::interrupt(0x2d));
    }
}

mod delivery {
    use super::*;

    fn dispatched(interrupted: Event) -> Instance {
        let mut instance = guest(&QUIET, &[0x0f, 0xa2]);
        let control = instance.vcpu.control_mut();
        control.exit_code = ExitCode::Cpuid as u64;
        control.exit_int_info = interrupted;
        dispatch(&mut instance);
        instance
    }

    #[test]
    fn an_interrupted_delivery_is_repeated() {
        let Instance { vcpu, .. } = dispatched(Event::exception_with_error(13, 8));
        assert_eq!(
            vcpu.control().event_injection,
            Event::exception_with_error(13, 8)
        );
    }

    /// QUIRK: QEMU 7.2 records an interrupted external interrupt as an exception.
    #[test]
    fn an_interrupt_recorded_as_an_exception_is_repeated_as_an_interrupt() {
        let Instance { vcpu, .. } = dispatched(Event(Event::exception(3).0 & !0xff | 0x30));
        assert_eq!(vcpu.control().event_injection, Event::interrupt(0x30));
    }

    #[test]
    fn an_interrupted_int_n_is_left_to_the_guest_to_execute_again() {
        let Instance { vcpu, .. } = dispatched(Event::software(0x80));
        assert!(!vcpu.control().event_injection.is_valid());
    }

    /// QUIRK: both emulators leave the rest of EXITINTINFO stale.
    #[test]
    fn a_stale_event_without_its_valid_bit_is_none() {
        let Instance { vcpu, .. } = dispatched(Event(Event::exception(13).0 & !(1 << 31)));
        assert!(!vcpu.control().event_injection.is_valid());
    }

    #[test]
    fn every_exit_is_counted_under_its_name() {
        let mut instance = guest(&QUIET, &[0x0f, 0xa2, 0x0f, 0xa2]);
        instance.vcpu.control_mut().exit_code = ExitCode::Cpuid as u64;
        for _ in 0..2 {
            assert_eq!(dispatch(&mut instance), Outcome::Resume);
        }
        let counts: Vec<_> = instance
            .vm
            .stats
            .iter()
            .map(|(exit, count)| (exit.name, count.count))
            .collect();
        assert_eq!(counts, [("cpuid", 2)]);
    }

    #[test]
    fn an_exit_that_the_policy_does_not_mention_stops_the_vm_and_names_the_stanza() {
        let mut instance = guest(&QUIET, &[]);
        instance.vcpu.control_mut().exit_code = ExitCode::Cr3Write as u64;
        assert_eq!(dispatch(&mut instance), Outcome::Leave);
        let end = instance.vm.end.unwrap();
        assert_eq!(end.how, How::Stopped);
        assert!(
            end.reason.contains("\"cr3.write\" = \"count\""),
            "{}",
            end.reason
        );
    }

    #[test]
    fn a_reach_beyond_memory_crashes_the_vm_and_says_where_it_ends() {
        let mut instance = guest(&QUIET, &[]);
        let control = instance.vcpu.control_mut();
        control.exit_code = ExitCode::Npf as u64;
        control.exit_info1 = 1 << 1;
        control.exit_info2 = 0xdead_0000;
        dispatch(&mut instance);
        let end = instance.vm.end.unwrap();
        assert_eq!(end.how, How::Crashed);
        assert!(
            end.reason.contains("writes to guest-physical 0xdead0000"),
            "{}",
            end.reason
        );
        assert!(end.reason.contains("0x100000"), "{}", end.reason);
    }
}

mod ports {
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
}

mod msrs {
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
}

mod exceptions {
    use super::*;

    fn reflected(vector: u8, interrupted: Event) -> Instance {
        let mut instance = guest(&QUIET, &[0xcc]);
        let control = instance.vcpu.control_mut();
        control.exit_code = ExitCode::ExceptionDe as u64 + u64::from(vector);
        control.exit_info1 = 7;
        control.exit_info2 = 0x1234;
        control.exit_int_info = interrupted;
        let Instance { vcpu, vm } = &mut instance;
        exception::reflect(vcpu, vm);
        instance
    }

    #[test]
    fn a_page_fault_keeps_its_address_and_error_code() {
        let Instance { vcpu, .. } = reflected(14, Event::NONE);
        assert_eq!(
            vcpu.control().event_injection,
            Event::exception_with_error(14, 7)
        );
        assert_eq!(vcpu.save().cr2, 0x1234);
    }

    #[test]
    fn a_vector_without_error_code_gets_none() {
        let Instance { vcpu, .. } = reflected(6, Event::NONE);
        assert_eq!(vcpu.control().event_injection, Event::exception(6));
    }

    #[test]
    fn a_breakpoint_pushes_the_address_behind_int3() {
        let Instance { vcpu, .. } = reflected(3, Event::NONE);
        assert_eq!(vcpu.control().event_injection, Event::exception(3));
        assert_eq!(vcpu.save().rip, CODE + 1);
    }

    #[test]
    fn a_fault_while_delivering_a_fault_is_a_double_fault() {
        let Instance { vcpu, .. } = reflected(14, Event::exception_with_error(14, 0));
        assert_eq!(
            vcpu.control().event_injection,
            Event::exception_with_error(8, 0)
        );
    }

    #[test]
    fn a_fault_while_delivering_a_double_fault_is_the_end() {
        let Instance { vm, .. } = reflected(13, Event::exception_with_error(8, 0));
        assert_eq!(end(&vm), Some(How::Crashed));
    }
}
