//! What dispatch does around a handler.

use super::*;

fn dispatched(interrupted: Event) -> Instance {
    dispatched_with(0, interrupted)
}

/// The same where the VMM intercepts these exceptions.
fn dispatched_with(exceptions: u32, interrupted: Event) -> Instance {
    let mut instance = guest(&QUIET, &[0x0f, 0xa2]);
    let control = instance.vcpu.control_mut();
    control.intercept_exceptions = exceptions;
    control.exit_code = ExitCode::Cpuid as u64;
    control.exit_int_info = interrupted;
    handled(&mut instance);
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

/// Their RIP points at them, as that of INTn does, until the VMM has had it moved on.
#[test]
fn an_interrupted_int3_or_into_is_executed_again_unless_the_vmm_gave_it() {
    for vector in [3, 4] {
        let event = Event::exception(vector);
        let Instance { vcpu, .. } = dispatched(event);
        assert!(!vcpu.control().event_injection.is_valid());
        let Instance { vcpu, .. } = dispatched_with(1 << vector, event);
        assert_eq!(vcpu.control().event_injection, event);
    }
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
        assert_eq!(handled(&mut instance), Outcome::Resume);
    }
    let counts: Vec<_> = instance
        .vm
        .stats
        .books
        .exits()
        .map(|(exit, slot)| (exit.name, instance.vm.stats.books.total(slot).0))
        .collect();
    assert_eq!(counts, [("cpuid", 2)]);
}

#[test]
fn an_exit_that_the_policy_does_not_mention_stops_the_vm_and_names_the_stanza() {
    let mut instance = guest(&QUIET, &[]);
    instance.vcpu.control_mut().exit_code = ExitCode::Cr3Write as u64;
    assert_eq!(handled(&mut instance), Outcome::Leave);
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
    handled(&mut instance);
    let end = instance.vm.end.unwrap();
    assert_eq!(end.how, How::Crashed);
    assert!(
        end.reason.contains("writes to guest-physical 0xdead0000"),
        "{}",
        end.reason
    );
    assert!(end.reason.contains("0x100000"), "{}", end.reason);
}
