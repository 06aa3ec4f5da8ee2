//! Registers of a VM under shadow paging: any value that the guest writes.

use intercepts::vmcb::validate;
use proptest::prelude::*;

use super::*;
use crate::svm::shadow::{Registers, Room};

static BY_THE_VMM: Dispatch = Dispatch::empty()
    .with(ExitCode::Cr0Write, cr::emulate)
    .with(ExitCode::Cr3Write, cr::emulate)
    .with(ExitCode::Cr4Write, cr::emulate)
    .with(ExitCode::Cr3Read, cr::emulate)
    .with(ExitCode::Invlpg, invlpg::emulate)
    .with(ExitCode::Msr, msr::emulate)
    .with(ExitCode::Swint, swint::deliver)
    .with(ExitCode::ExceptionGp, exception::reflect);

static SHADOWED: VmPolicy = VmPolicy {
    npt: false,
    dispatch: &BY_THE_VMM,
    ..QUIET
};

const EFER: u64 = 0xc000_0080;
const EFER_SVME: u64 = 1 << 12;

/// A VM on shadow tables, in flat 32-bit protected mode.
fn shadowed() -> Instance {
    shadowed_by(&SHADOWED)
}

/// The same under another policy.
pub(super) fn shadowed_by(policy: &'static VmPolicy) -> Instance {
    let mut instance = guest(policy, &[]);
    let room = Room::new(64 * 4096, MEMORY as u64);
    let tables = leaked(room.bytes() as usize);
    // SAFETY: the piece is leaked, page-aligned and nobody else's; no CPU has it in CR3.
    let shadow = unsafe { room.place(tables.base(), &instance.vm.memory, 40, true) };
    let Instance { vcpu, vm } = &mut instance;
    vcpu.control_mut().guest_asid = 1;
    vmcb::set_intercept(vcpu.control_mut(), ExitCode::Vmrun, true);
    crate::exits::shadow::begin(vcpu, vm, shadow);
    instance
}

/// The guest executes this code, which takes this exit.
pub(super) fn executes(instance: &mut Instance, code: &[u8], exit: ExitCode) {
    let Instance { vcpu, vm } = instance;
    vm.memory.write(Gpa(CODE), code).unwrap();
    vm.memory.take_written();
    vcpu.forget_code_page();
    vcpu.save_mut().rip = CODE;
    vcpu.inject(Event::NONE);
    vcpu.control_mut().exit_code = exit as u64;
    dispatch::<true>(instance);
}

/// A write of one of the registers that decide how the guest pages.
#[derive(Clone, Copy, Debug)]
enum Write {
    Cr0(u32),
    Cr3(u32),
    Cr4(u32),
    Efer(u64),
}

fn write() -> impl Strategy<Value = Write> {
    const CR0: u32 = 0x8001_0033;
    prop_oneof![
        any::<u32>().prop_map(|value| Write::Cr0(value & CR0 | 1)),
        any::<u32>().prop_map(Write::Cr0),
        any::<u32>().prop_map(Write::Cr3),
        any::<u32>().prop_map(|value| Write::Cr4(value & 0x6bf)),
        any::<u32>().prop_map(Write::Cr4),
        any::<u64>().prop_map(|value| Write::Efer(value & 0x901)),
        any::<u64>().prop_map(Write::Efer),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever it is, the guest gets a fault or has what it wrote, and VMRUN takes what the CPU
    /// gets; or the VM has ended, since its tables no longer lead to its code.
    #[test]
    fn any_register_is_refused_or_read_back_and_vmrun_takes_the_rest(
        writes in proptest::collection::vec(write(), 1..30),
    ) {
        let mut instance = shadowed();
        for write in writes {
            let vcpu = &mut instance.vcpu;
            vcpu.save_mut().rax = match write {
                Write::Cr0(value) | Write::Cr3(value) | Write::Cr4(value) => value.into(),
                Write::Efer(value) => value & 0xffff_ffff,
            };
            if let Write::Efer(value) = write {
                vcpu.gprs.rcx = EFER;
                vcpu.gprs.rdx = value >> 32;
                vcpu.control_mut().exit_info1 = 1;
            }
            let (code, exit): (&[u8], _) = match write {
                Write::Cr0(_) => (&[0x0f, 0x22, 0xc0], ExitCode::Cr0Write),
                Write::Cr3(_) => (&[0x0f, 0x22, 0xd8], ExitCode::Cr3Write),
                Write::Cr4(_) => (&[0x0f, 0x22, 0xe0], ExitCode::Cr4Write),
                Write::Efer(_) => (&[0x0f, 0x30], ExitCode::Msr),
            };
            executes(&mut instance, code, exit);
            let Instance { vcpu, vm } = &mut instance;
            if vm.end.is_some() {
                break;
            }
            // The root is in the test's heap, wherever that is.
            prop_assert_eq!(validate(vcpu.vmcb(), 1 << 52).err(), None, "{:?}", write);
            let Some(shadow) = &vm.shadow else { unreachable!() };
            if !vcpu.control().event_injection.is_valid() {
                let guest = shadow.guest();
                const KEPT: u64 = 0xe005_002f;
                match write {
                    Write::Cr0(value) => prop_assert_eq!(guest.cr0 & KEPT, u64::from(value) & KEPT),
                    Write::Cr3(value) => prop_assert_eq!(guest.cr3, u64::from(value)),
                    Write::Cr4(value) => prop_assert_eq!(guest.cr4, u64::from(value)),
                    Write::Efer(value) => {
                        const IGNORED: u64 = 0xfe;
                        prop_assert_eq!(guest.efer & !EFER_SVME, value & !IGNORED);
                    }
                }
            }
        }
    }
}

/// The CPU has the shadow root; the guest has what it wrote.
#[test]
fn cr3_reads_as_it_was_written() {
    let mut instance = shadowed();
    instance.vcpu.save_mut().rax = 0x7018;
    executes(&mut instance, &[0x0f, 0x22, 0xd8], ExitCode::Cr3Write);
    instance.vcpu.save_mut().rax = 0;
    executes(&mut instance, &[0x0f, 0x20, 0xd8], ExitCode::Cr3Read);
    assert_eq!(instance.vcpu.save().rax, 0x7018);
    assert_ne!(instance.vcpu.save().cr3, 0x7018);
}

/// A page fault that the guest is not to know of has interrupted this, with the guest at `rip`.
fn hidden_fault(instance: &mut Instance, interrupted: Event, rip: u64) -> Event {
    let vcpu = &mut instance.vcpu;
    vcpu.save_mut().rip = rip;
    vcpu.inject(Event::NONE);
    let control = vcpu.control_mut();
    control.exit_code = ExitCode::ExceptionPf as u64;
    control.exit_info1 = 0b10;
    control.exit_info2 = 0x5000;
    control.exit_int_info = interrupted;
    assert_eq!(dispatch::<true>(instance), Outcome::Resume);
    let Instance { vcpu, vm } = instance;
    assert!(vm.shadow.as_ref().unwrap().hidden_faults > 0);
    assert_eq!(vcpu.save().rip, rip);
    vcpu.control_mut().exit_int_info = Event::NONE;
    vcpu.control().event_injection
}

#[test]
fn what_a_hidden_fault_interrupts_is_delivered_again_or_executed_again() {
    let after = |event| hidden_fault(&mut shadowed(), event, CODE);
    assert_eq!(after(Event::NONE), Event::NONE);
    for event in [Event::interrupt(0x21), Event::exception_with_error(13, 8)] {
        assert_eq!(after(event), event);
    }
    for event in [Event::software(0x80), Event::exception(3)] {
        assert_eq!(after(event), Event::NONE);
    }
}

/// As often as its stack is not there yet.
#[test]
fn an_int_n_that_the_vmm_delivers_is_delivered_again_after_a_hidden_fault() {
    let mut instance = shadowed();
    let event = Event::software(0x80);
    executes(&mut instance, &[0xcd, 0x80], ExitCode::Swint);
    assert_eq!(instance.vcpu.control().event_injection, event);
    for _ in 0..2 {
        assert_eq!(hidden_fault(&mut instance, event, CODE + 2), event);
    }
}

/// The VMM gave the guest an exception; what the guest does then is its own, also at the same RIP.
#[test]
fn an_int_n_of_the_guest_s_own_is_executed_again_after_an_exception_that_the_vmm_gave() {
    for rip in [CODE, CODE + 0x100] {
        let mut instance = shadowed();
        executes(&mut instance, &[0xcd, 0x80], ExitCode::ExceptionGp);
        assert!(instance.vcpu.control().event_injection.is_valid());
        let after = hidden_fault(&mut instance, Event::software(0x80), rip);
        assert_eq!(after, Event::NONE, "{rip:#x}");
    }
}

/// What lies outside is told as nested paging tells it.
#[test]
fn a_reach_beyond_memory_is_a_nested_page_fault() {
    let mut instance = shadowed();
    let control = instance.vcpu.control_mut();
    control.exit_info1 = 0b10;
    control.exit_info2 = 0x7654_3210;
    control.exit_code = ExitCode::ExceptionPf as u64;
    dispatch::<true>(&mut instance);
    let control = instance.vcpu.control();
    assert_eq!(control.exit_code, ExitCode::Npf as u64);
    assert_eq!(control.exit_info2, 0x7654_3210);
    assert_eq!(instance.vm.stats.slot, slot(ExitCode::Npf as u64));
}

/// The pointers are read when CR3 is loaded, and when PAE paging begins; one that is not present
/// may hold anything. APM volume 3, MOV CRn.
#[test]
fn reserved_bits_in_the_pointers_of_pae_are_gp() {
    const GP: Event = Event::exception_with_error(13, 0);
    const PAE: u64 = 1 << 5;
    const PAGED: u64 = 1 << 31 | 1 << 16 | 0x11;
    let attempt = |pointer: u64, cr0: u64, code: &[u8], exit, value| {
        let mut instance = shadowed();
        let Instance { vcpu, vm } = &mut instance;
        // Everything where it is, by pages of 2 MiB; and other pointers beside those.
        for (at, entry) in [
            (0x1000, 0x2001),
            (0x2000, 0x83),
            (0x3000, 0x2001),
            (0x3008, pointer),
        ] {
            vm.memory.write(Gpa(at), &u64::to_le_bytes(entry)).unwrap();
        }
        let shadow = vm.shadow.as_mut().unwrap();
        let guest = Registers {
            cr0,
            cr3: if cr0 == PAGED { 0x1000 } else { 0x3000 },
            cr4: PAE,
            efer: EFER_SVME,
        };
        shadow.activate(&vm.memory, guest);
        shadow.hardware().put(vcpu.save_mut());
        vcpu.save_mut().rax = value;
        executes(&mut instance, code, exit);
        instance.vcpu.control().event_injection == GP
    };
    for (pointer, refused) in [
        (0x2001, false),
        (0x2003, true),
        (0x2041, true),
        (1 << 51 | 0x2001, true),
        (1 << 63 | 0x2001, true),
        (u64::MAX - 1, false),
        // Avail, PCD and PWT, and a table beyond memory.
        (0x7654_3e19, false),
    ] {
        let cr3 = attempt(
            pointer,
            PAGED,
            &[0x0f, 0x22, 0xd8],
            ExitCode::Cr3Write,
            0x3000,
        );
        let cr0 = attempt(
            pointer,
            0x11,
            &[0x0f, 0x22, 0xc0],
            ExitCode::Cr0Write,
            PAGED,
        );
        assert_eq!((cr3, cr0), (refused, refused), "{pointer:#x}");
    }
    // Those in use have changed since.
    let mut instance = shadowed();
    let vm = &mut instance.vm;
    for (at, entry) in [(0x1000, 0x2001), (0x2000, 0x83), (0x1018, 0x2003)] {
        vm.memory.write(Gpa(at), &u64::to_le_bytes(entry)).unwrap();
    }
    let guest = Registers {
        cr0: PAGED,
        cr3: 0x1000,
        cr4: PAE,
        efer: EFER_SVME,
    };
    let shadow = vm.shadow.as_mut().unwrap();
    shadow.activate(&vm.memory, guest);
    shadow.hardware().put(instance.vcpu.save_mut());
    instance.vcpu.save_mut().rax = PAE | 1 << 7;
    executes(&mut instance, &[0x0f, 0x22, 0xe0], ExitCode::Cr4Write);
    assert_eq!(instance.vcpu.control().event_injection, GP);
}
