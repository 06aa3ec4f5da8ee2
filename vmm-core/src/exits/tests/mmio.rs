//! Instructions that reach for a device's memory.

use super::*;
use crate::devices::lapic;

static WITH_APICS: VmPolicy = VmPolicy {
    devices: DeviceSet::all(),
    ..QUIET
};

const TPR: u64 = lapic::BASE + 0x80;
const VERSION: u32 = 0x0005_0014;

/// The exit that the CPU takes at `gpa`.
fn touch(instance: &mut Instance, gpa: u64, error: u64) -> Outcome {
    let control = instance.vcpu.control_mut();
    control.exit_code = ExitCode::Npf as u64;
    control.exit_info1 = error;
    control.exit_info2 = gpa;
    handled(instance)
}

const WRITE: u64 = 1 << 32 | 0b110;

fn tpr(instance: &mut Instance) -> u64 {
    let now = instance.vm.clock.now();
    instance.vm.devices.read_memory(Gpa(TPR), now)
}

#[test]
fn a_store_reaches_the_register_and_rip_moves_on() {
    // mov [fee00080h], eax
    let mut instance = guest(&WITH_APICS, &[0xa3, 0x80, 0, 0xe0, 0xfe]);
    instance.vcpu.set_rax(0x20);
    assert_eq!(touch(&mut instance, TPR, WRITE), Outcome::Resume);
    assert_eq!(tpr(&mut instance), 0x20);
    assert_eq!(instance.vcpu.save().rip, CODE + 5);
    assert_eq!(instance.vcpu.cr8(), 2, "CR8 is the same priority");
}

/// Code, where it reaches, and RBX before and after.
#[test]
fn a_load_fills_as_much_of_its_register_as_it_names() {
    let before = 0x1122_3344_5566_7788;
    let table: [(&[u8], u64, u64); 5] = [
        // mov ebx, [ecx]
        (&[0x8b, 0x19], 0x030, VERSION.into()),
        // mov bx, [ecx]
        (&[0x66, 0x8b, 0x19], 0x030, 0x1122_3344_5566_0014),
        // mov bh, [ecx]
        (&[0x8a, 0x39], 0x032, 0x1122_3344_5566_0588),
        // movsx ebx, byte [ecx]
        (&[0x0f, 0xbe, 0x19], 0x0f0, 0xffff_ffff),
        // and ebx, [ecx]
        (&[0x23, 0x19], 0x030, 0x0004_0000),
    ];
    for (code, offset, after) in table {
        let mut instance = guest(&WITH_APICS, code);
        instance.vcpu.gprs.rbx = before;
        let outcome = touch(&mut instance, lapic::BASE + offset, 1 << 32 | 0b100);
        assert_eq!(outcome, Outcome::Resume);
        assert_eq!(instance.vcpu.gprs.rbx, after, "{code:02x?}");
    }
}

#[test]
fn an_exchange_and_a_combination_read_and_write() {
    // xchg [ecx], ebx
    let mut instance = guest(&WITH_APICS, &[0x87, 0x19]);
    instance.vcpu.gprs.rbx = 0x40;
    touch(&mut instance, TPR, WRITE);
    assert_eq!((instance.vcpu.gprs.rbx, tpr(&mut instance)), (0, 0x40));
    // or dword [ecx], 3, then test dword [ecx], 40h
    instance
        .vm
        .memory
        .write(Gpa(CODE + 2), &[0x83, 0x09, 3, 0xf7, 1, 0x40, 0, 0, 0]);
    touch(&mut instance, TPR, WRITE);
    assert_eq!(tpr(&mut instance), 0x43);
    touch(&mut instance, TPR, 1 << 32 | 0b100);
    assert_eq!(instance.vcpu.save().rip, CODE + 11);
    assert_eq!(instance.vcpu.save().rflags & 1 << 6, 0, "not zero");
}

#[test]
fn an_interrupt_that_a_write_lets_in_comes_at_once() {
    // mov [fee00300h], eax: a message to itself
    let mut instance = guest(&WITH_APICS, &[0xa3, 0, 3, 0xe0, 0xfe]);
    instance.vcpu.save_mut().rflags |= RFLAGS_IF;
    instance.vcpu.set_rax(0x4_0040);
    touch(&mut instance, lapic::BASE + 0x300, WRITE);
    assert_eq!(
        instance.vcpu.control().event_injection,
        Event::interrupt(0x40)
    );
}

/// The virtual interrupt is the bell, and it rings only below the priority that holds it back.
#[test]
fn an_interrupt_that_cr8_holds_back_rings_when_cr8_falls() {
    let mut instance = guest(&WITH_APICS, &[0xa3, 0, 3, 0xe0, 0xfe]);
    instance.vcpu.save_mut().rflags |= RFLAGS_IF;
    instance.vcpu.set_rax(0x4_0040);
    instance.vcpu.set_cr8(9);
    touch(&mut instance, lapic::BASE + 0x300, WRITE);
    let Instance { vcpu, vm } = &mut instance;
    interrupt::offer(vcpu, vm);
    let bell = vcpu.control().vintr;
    assert_eq!(bell & vintr::V_IRQ, vintr::V_IRQ);
    assert_eq!(bell & vintr::V_IGN_TPR, 0);
    assert_eq!((bell & vintr::V_INTR_PRIO) >> 16, 4);
    // The guest has lowered it: the CPU exits by VINTR.
    vcpu.set_cr8(3);
    vcpu.control_mut().exit_code = ExitCode::Vintr as u64;
    interrupt::emulate(vcpu, vm);
    assert_eq!(vcpu.control().event_injection, Event::interrupt(0x40));
}

#[test]
fn a_timer_that_is_set_is_news_to_the_scheduler() {
    let mut instance = guest(&WITH_APICS, &[0xa3, 0x80, 3, 0xe0, 0xfe]);
    instance.vcpu.set_rax(1000);
    let outcome = touch(&mut instance, lapic::BASE + 0x380, WRITE);
    assert_eq!(outcome, Outcome::Leave);
    assert!(instance.vm.devices.next_deadline().is_some());
}

#[test]
fn what_the_vmm_cannot_perform_ends_the_vm() {
    let fetch = 1 << 32 | 0b1_0100;
    let walk = 1 << 33 | 0b110;
    for (code, error) in [
        (&[0xf3, 0xa5][..], WRITE),
        (&[0xa3, 0x80, 0, 0xe0, 0xfe], fetch),
        (&[0xa3, 0x80, 0, 0xe0, 0xfe], walk),
    ] {
        let mut instance = guest(&WITH_APICS, code);
        assert_eq!(touch(&mut instance, TPR, error), Outcome::Leave);
        assert_eq!(end(&instance.vm), Some(How::Crashed));
        assert_eq!(tpr(&mut instance), 0);
    }
    let mut instance = guest(&QUIET, &[0xa3, 0x80, 0, 0xe0, 0xfe]);
    touch(&mut instance, TPR, WRITE);
    assert_eq!(
        end(&instance.vm),
        Some(How::Crashed),
        "there is no such device"
    );
}

/// Bytes that are no instruction, and a page of them that ends: no access panics.
#[test]
fn nonsense_at_rip_ends_the_vm() {
    for byte in 0..=255u8 {
        let mut instance = guest(&WITH_APICS, &[byte; 15]);
        touch(&mut instance, TPR, WRITE);
        instance.vcpu.save_mut().rip = MEMORY as u64 - 1;
        touch(&mut instance, TPR, WRITE);
        assert_eq!(end(&instance.vm), Some(How::Crashed));
    }
}

mod msrs {
    use super::*;

    fn access(instance: &mut Instance, msr: u32, write: Option<u64>) -> Outcome {
        let vcpu = &mut instance.vcpu;
        vcpu.control_mut().exit_info1 = write.is_some().into();
        vcpu.gprs.rcx = msr.into();
        if let Some(value) = write {
            vcpu.set_rax(value & 0xffff_ffff);
            vcpu.gprs.rdx = value >> 32;
        }
        msr::emulate(vcpu, &mut instance.vm)
    }

    #[test]
    fn a_deadline_is_written_in_ticks_of_the_guests_tsc() {
        let mut instance = guest(&WITH_APICS, &[0x0f, 0x30]);
        let now = instance.vm.clock.now();
        let timer = Gpa(lapic::BASE + 0x320);
        let _ = instance
            .vm
            .devices
            .write_memory(timer, 4, 2 << 17 | 0x40, now);
        let tsc = crate::host::tsc::now();
        let outcome = access(&mut instance, 0x6e0, Some(tsc + 1_000_000_000));
        assert_eq!(outcome, Outcome::Leave);
        // The guest's clock ticks a thousand million times a second.
        let due = instance.vm.devices.next_deadline().unwrap();
        let later = instance.vm.clock.now().after(1_000_000_001);
        assert!(now < due && due <= later, "{due:?} {later:?}");
        assert_eq!(access(&mut instance, 0x6e0, None), Outcome::Resume);
    }

    #[test]
    fn without_a_local_apic_its_msrs_are_gp() {
        for msr in [0x1b, 0x6e0] {
            let mut instance = guest(&QUIET, &[0x0f, 0x32]);
            access(&mut instance, msr, None);
            let event = instance.vcpu.control().event_injection;
            assert_eq!(event, Event::exception_with_error(13, 0), "{msr:#x}");
        }
    }

    #[test]
    fn the_apic_stays_where_it_is() {
        let mut instance = guest(&WITH_APICS, &[0x0f, 0x30]);
        access(&mut instance, 0x1b, Some(0xfed0_0900));
        let event = instance.vcpu.control().event_injection;
        assert_eq!(event, Event::exception_with_error(13, 0));
        assert_eq!(instance.vm.devices.apic_base(), Some(0xfee0_0900));
    }
}
