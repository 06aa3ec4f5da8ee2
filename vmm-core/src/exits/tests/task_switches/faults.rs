//! Switches that end in an exception: in the old task, or in the new one.

use super::*;

#[test]
fn a_software_interrupt_needs_the_privilege_of_its_gate() {
    let mut instance = tasks(true, &[0xcd, 0x40]);
    instance.vcpu.save_mut().cpl = 3;
    task_gate(&mut instance.vm.memory, 0x40, 2);
    switch(&mut instance, 0, Event::software(0x40));
    assert_eq!(raised(&instance), Some((13, 0x40 * 8 + 2)));
    assert_eq!(instance.vcpu.save().rip, CODE);
}

#[test]
fn the_code_at_rip_must_be_what_switches() {
    for (code, info) in [(&CALL[..], BY_JMP), (&JMP, BY_IRET), (&JMP, 0)] {
        let mut instance = tasks(true, code);
        switch(&mut instance, info, Event::NONE);
        assert_eq!(end(&instance.vm), Some(How::Crashed));
    }
}

#[test]
fn what_is_no_task_is_refused_in_the_old_one() {
    let cases = [
        (BY_JMP, system(11, NEW, 0x67), (13, NEW_TASK)),
        (BY_JMP, system(2, NEW, 0x67), (13, NEW_TASK)),
        (BY_IRET, system(9, NEW, 0x67), (10, NEW_TASK)),
        (BY_JMP, system(9, NEW, 0x67) & !(1 << 47), (11, NEW_TASK)),
        (BY_JMP, system(9, NEW, 0x66), (10, NEW_TASK)),
        (BY_JMP, system(1, NEW, 0x2a), (10, NEW_TASK)),
    ];
    for (info, descriptor, (vector, error)) in cases {
        let code = if info == BY_IRET { &IRET[..] } else { &JMP };
        let mut instance = tasks(true, code);
        describe(&mut instance.vm.memory, NEW_TASK, descriptor);
        switch(&mut instance, info, Event::NONE);
        let name = format!("{info:x} {descriptor:x}");
        assert_eq!(raised(&instance), Some((vector, error.into())), "{name}");
        assert_eq!(instance.vcpu.save().rip, CODE, "{name}");
        assert_eq!(get(&instance.vm.memory, OLD, 0x20, 4), 0, "{name}");
    }
}

/// Selectors of the new task by their offsets in it.
#[test]
fn a_segment_that_does_not_fit_is_the_new_task_s_exception() {
    const ES: u64 = 0x48;
    const CS: u64 = 0x4c;
    const SS: u64 = 0x50;
    const LDT: u64 = 0x60;
    let absent = |descriptor: u64| descriptor & !(1 << 47);
    let cases = [
        (LDT, TABLE | 4, 0, 10),
        (LDT, SPARE, FLAT_DATA, 10),
        (LDT, SPARE, absent(system(2, 0, 0xff)), 10),
        (CS, 0, 0, 10),
        (CS, BEYOND, 0, 10),
        (CS, DATA_32, 0, 10),
        (CS, CODE_32 | 3, 0, 10),
        (CS, SPARE, absent(FLAT_CODE), 11),
        (SS, 0, 0, 10),
        (SS, CODE_32, 0, 10),
        (SS, DATA_32 | 3, 0, 10),
        (SS, SPARE, FLAT_DATA & !(2 << 40), 10),
        (SS, SPARE, absent(FLAT_DATA), 12),
        (ES, BEYOND, 0, 10),
        (ES, NEW_TASK, 0, 10),
        (ES, DATA_32 | 3, 0, 10),
        (ES, SPARE, FLAT_CODE & !(2 << 40), 10),
        (ES, SPARE, absent(FLAT_DATA), 11),
        // Of the table that the task has not.
        (ES, DATA_32 | 4, 0, 10),
    ];
    for (offset, selector, spare, vector) in cases {
        let mut instance = tasks(true, &JMP);
        describe(&mut instance.vm.memory, SPARE, spare);
        put(&mut instance.vm.memory, NEW, offset, selector.into(), 2);
        switch(&mut instance, BY_JMP, Event::NONE);
        let name = format!("{offset:x} {selector:x} {spare:x}");
        let error = u32::from(selector & !3);
        assert_eq!(raised(&instance), Some((vector, error)), "{name}");
        assert_eq!(instance.vcpu.save().rip, NEW_EIP, "{name}");
        assert_eq!(instance.vcpu.save().tr.selector, NEW_TASK, "{name}");
    }
}

#[test]
fn an_error_code_says_that_an_event_from_outside_led_there() {
    let mut instance = tasks(true, &[0x90]);
    task_gate(&mut instance.vm.memory, 0x21, 0);
    put(&mut instance.vm.memory, NEW, 0x4c, BEYOND.into(), 2);
    switch(&mut instance, 0, Event::interrupt(0x21));
    assert_eq!(raised(&instance), Some((10, u32::from(BEYOND) | 1)));
}

#[test]
fn a_fault_on_the_way_of_an_exception_makes_a_double_fault() {
    let mut instance = tasks(true, &[0x90]);
    task_gate(&mut instance.vm.memory, 13, 0);
    put(&mut instance.vm.memory, NEW, 0x4c, 0, 2);
    let event = Event::exception_with_error(13, 0);
    switch(&mut instance, HAS_ERROR, event);
    assert_eq!(raised(&instance), Some((8, 0)));
}
