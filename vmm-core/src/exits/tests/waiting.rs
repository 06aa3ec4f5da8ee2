//! HLT and MWAIT.

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
