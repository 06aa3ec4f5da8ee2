//! The guest's virtual interrupts.

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
    for rung_before in [false, true] {
        let Instance { mut vcpu, mut vm } = guest(&QUIET, &[]);
        raise_line_1(&mut vm);
        if rung_before {
            interrupt::offer(&mut vcpu, &mut vm);
            assert_ne!(vcpu.control().vintr & vintr::V_IRQ, 0);
        }
        vcpu.save_mut().rflags |= RFLAGS_IF;
        vcpu.control_mut().interrupt_shadow = shadow::INTERRUPT_SHADOW;
        interrupt::offer(&mut vcpu, &mut vm);
        assert!(!vcpu.control().event_injection.is_valid());
        assert_eq!(vcpu.control().vintr & vintr::V_IRQ, 0);
        assert!(vm.retry_soon);
    }
}

/// QUIRK: QEMU 7.2 forgets the shadow on VMRUN.
#[test]
fn nothing_comes_between_sti_and_hlt_however_often_the_host_interrupts() {
    let Instance { mut vcpu, mut vm } = guest(&QUIET, &[0xf4]);
    set_intercept(vcpu.control_mut(), ExitCode::Hlt, true);
    vcpu.save_mut().rflags |= RFLAGS_IF;
    for (shadow, comes) in [(shadow::INTERRUPT_SHADOW, false), (0, true), (0, false)] {
        vcpu.control_mut().interrupt_shadow = shadow;
        vcpu.control_mut().exit_code = ExitCode::Intr as u64;
        interrupt::emulate(&mut vcpu, &mut vm);
        if comes {
            raise_line_1(&mut vm);
        }
        interrupt::offer(&mut vcpu, &mut vm);
        assert!(!vcpu.control().event_injection.is_valid());
        assert_eq!(vcpu.control().vintr & vintr::V_IRQ, 0);
        assert!(!vm.retry_soon, "HLT tells");
    }
    vcpu.control_mut().exit_code = ExitCode::Hlt as u64;
    assert_eq!(hlt::wait(&mut vcpu, &mut vm), Outcome::Resume);
    assert_eq!(vcpu.control().event_injection, Event::interrupt(0x21));
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

/// A guest on a CPU that might deliver twice what EVENTINJ says, with line 1 raised.
fn by_v_irq() -> Instance {
    let mut instance = guest(&QUIET, &[]);
    let Instance { vcpu, vm } = &mut instance;
    vcpu.interrupts_by_v_irq = true;
    set_intercept(vcpu.control_mut(), ExitCode::Vintr, true);
    vcpu.save_mut().rflags |= RFLAGS_IF;
    raise_line_1(vm);
    interrupt::offer(vcpu, vm);
    instance
}

/// QUIRK: QEMU 7.2 may deliver an interrupt of EVENTINJ again.
#[test]
fn an_interrupt_by_v_irq_is_taken_without_an_exit() {
    let Instance { vcpu, vm } = by_v_irq();
    assert!(!vcpu.control().event_injection.is_valid());
    assert_eq!(vcpu.interrupt_under_way(), Some(0x21));
    assert!(!intercepts(vcpu.vmcb(), ExitCode::Vintr));
    assert!(!vm.devices.interrupt_pending());
}

#[test]
fn what_is_under_way_stays_so_until_the_guest_has_taken_it() {
    let Instance { mut vcpu, mut vm } = by_v_irq();
    interrupt::offer(&mut vcpu, &mut vm);
    assert_eq!(vcpu.interrupt_under_way(), Some(0x21));
    assert!(!vcpu.can_take_interrupt());

    // #VMEXIT writes back that the guest has taken it; the next one waits for the end of this.
    vcpu.control_mut().vintr &= !vintr::V_IRQ;
    vcpu.save_mut().rflags &= !RFLAGS_IF;
    assert_eq!(vcpu.interrupt_under_way(), None);
    vm.devices.pic.write(0x20, 0x20);
    vm.devices.pulse(1);
    interrupt::offer(&mut vcpu, &mut vm);
    assert_ne!(vcpu.control().vintr & vintr::V_IRQ, 0);
    assert!(intercepts(vcpu.vmcb(), ExitCode::Vintr), "the bell");
    assert_eq!(vcpu.interrupt_under_way(), None);
}

/// QUIRK: QEMU 7.2 records an interrupted external interrupt as an exception.
#[test]
fn an_interrupt_by_v_irq_whose_delivery_was_interrupted_is_still_under_way() {
    for vector in [0x21, 8] {
        let mut instance = by_v_irq();
        let Instance { vcpu, .. } = &mut instance;
        vcpu.inject_interrupt(vector);
        vcpu.control_mut().exit_code = ExitCode::Intr as u64;
        vcpu.control_mut().exit_int_info = Event::exception(vector);
        dispatch::<false>(&mut instance);
        let vcpu = &instance.vcpu;
        assert_eq!(vcpu.interrupt_under_way(), Some(vector));
        assert!(!vcpu.control().event_injection.is_valid());
    }
}
