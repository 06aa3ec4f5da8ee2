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
