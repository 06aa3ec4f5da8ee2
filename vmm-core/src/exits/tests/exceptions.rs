//! Intercepted exceptions.

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

/// Else a guest whose gates lead nowhere would never get anywhere, nor would the VMM.
#[test]
fn an_exception_that_the_policy_gives_combines_like_the_cpus_own() {
    let given = |interrupted| {
        let mut instance = guest(&QUIET, &[0xf4]);
        instance.vcpu.control_mut().exit_int_info = interrupted;
        let Instance { vcpu, vm } = &mut instance;
        inject::exception(vcpu, vm, 13, Some(0));
        (vcpu.control().event_injection, end(vm))
    };
    let [gp, df] = [13, 8].map(|vector| Event::exception_with_error(vector, 0));
    assert_eq!(given(Event::NONE), (gp, None));
    assert_eq!(given(gp), (df, None));
    assert_eq!(given(df).1, Some(How::Crashed));
}

/// QUIRK: Bochs 2.7 takes the exit before it writes DR6.
#[test]
fn a_debug_exception_without_a_cause_gets_one() {
    const DR6_QUIET: u64 = 0xffff_0ff0;
    // TF, a breakpoint on writing, ICEBP under such a breakpoint.
    let cases = [
        (0x102, 0x400, 0x90, 0x4000),
        (2, 0x400 | 1 << 2 | 1 << 20, 0x90, 2),
        (2, 0x400 | 1 << 2 | 1 << 20, 0xf1, 0),
        (2, 0x400, 0x90, 0),
    ];
    for (rflags, dr7, byte, cause) in cases {
        let mut instance = guest(&QUIET, &[byte, 0x90]);
        let Instance { vcpu, vm } = &mut instance;
        let save = vcpu.save_mut();
        (save.dr6, save.dr7, save.rflags, save.rip) = (DR6_QUIET, dr7, rflags, CODE + 1);
        vcpu.control_mut().exit_code = ExitCode::ExceptionDb as u64;
        exception::reflect(vcpu, vm);
        assert_eq!(
            vcpu.save().dr6,
            DR6_QUIET | cause,
            "{rflags:x} {dr7:x} {byte:x}"
        );
        assert_eq!(vcpu.control().event_injection, Event::exception(1));
    }
}
