//! Hardware task switches: two tasks in a flat guest, of 16 or 32 bits.

mod faults;
mod paging;

use proptest::prelude::*;

use super::*;
use crate::vm::memory::GuestMemory;

const GDT: u64 = 0x1000;
const IDT: u64 = 0x2000;
/// The task that runs, and the one that is switched to.
const OLD: u64 = 0x3000;
const NEW: u64 = 0x4000;

const CODE_32: u16 = 0x08;
const DATA_32: u16 = 0x10;
const OLD_TASK: u16 = 0x18;
const NEW_TASK: u16 = 0x20;
const TABLE: u16 = 0x28;
/// What a test puts there.
const SPARE: u16 = 0x30;
const BEYOND: u16 = 0x38;

const FLAT_CODE: u64 = 0x00cf_9b00_0000_ffff;
const FLAT_DATA: u64 = 0x00cf_9300_0000_ffff;

const JMP: [u8; 7] = [0xea, 0, 0, 0, 0, NEW_TASK as u8, 0];
const CALL: [u8; 7] = [0x9a, 0, 0, 0, 0, NEW_TASK as u8, 0];
const IRET: [u8; 1] = [0xcf];

const BY_IRET: u64 = 1 << 36;
const BY_JMP: u64 = 1 << 38;
const HAS_ERROR: u64 = 1 << 44;
const RESUMES: u64 = 1 << 48;

const NT: u64 = 1 << 14;
const BUSY: u8 = 2;
const NEW_EIP: u64 = 0x9000;
const STACK: u64 = 0x8_0000;

/// The bits of a descriptor of the system: type 3 or 11 is a busy TSS of 16 or 32 bits.
fn system(kind: u64, base: u64, limit: u64) -> u64 {
    kind << 40 | 1 << 47 | base << 16 | limit
}

fn describe(memory: &mut GuestMemory, selector: u16, descriptor: u64) {
    let place = Gpa(GDT + u64::from(selector & !7));
    memory.write(place, &descriptor.to_le_bytes()).unwrap();
}

fn put(memory: &mut GuestMemory, base: u64, offset: u64, value: u64, bytes: usize) {
    let value = &value.to_le_bytes()[..bytes];
    memory.write(Gpa(base + offset), value).unwrap();
}

fn get(memory: &GuestMemory, base: u64, offset: u64, bytes: usize) -> u64 {
    let mut value = [0; 8];
    memory
        .read(Gpa(base + offset), &mut value[..bytes])
        .unwrap();
    u64::from_le_bytes(value)
}

fn access_byte(memory: &GuestMemory, selector: u16) -> u8 {
    get(memory, GDT, u64::from(selector & !7) + 5, 1) as u8
}

/// A guest that runs as the old task, about to execute `code`; the new task is ready.
fn tasks(wide: bool, code: &[u8]) -> Instance {
    let mut instance = guest(&QUIET, code);
    let Instance { vcpu, vm } = &mut instance;
    let memory = &mut vm.memory;
    let (kind, limit) = if wide { (9, 0x67) } else { (1, 0x2b) };
    for (selector, descriptor) in [
        (CODE_32, FLAT_CODE),
        (DATA_32, FLAT_DATA),
        (OLD_TASK, system(kind | 2, OLD, limit)),
        (NEW_TASK, system(kind, NEW, limit)),
        (TABLE, system(2, 0x5000, 0xff)),
    ] {
        describe(memory, selector, descriptor);
    }
    for (base, eip) in [(OLD, 0), (NEW, NEW_EIP)] {
        prepare(memory, wide, base, eip);
    }
    let save = vcpu.save_mut();
    (save.gdtr.base, save.gdtr.limit) = (GDT, u32::from(BEYOND) - 1);
    (save.idtr.base, save.idtr.limit) = (IDT, 0x7ff);
    save.tr = vmcb::Segment {
        selector: OLD_TASK,
        attributes: 0x80 | kind as u16 | 2,
        limit: limit as u32,
        base: OLD,
    };
    (save.cs.selector, save.cs.limit) = (CODE_32, u32::MAX);
    for segment in [&mut save.es, &mut save.ss, &mut save.ds] {
        segment.selector = DATA_32;
    }
    save.rsp = STACK;
    save.dr7 = 0x7ff;
    instance
}

/// Fills a task in: flat segments, a stack, and GPRs that tell themselves.
fn prepare(memory: &mut GuestMemory, wide: bool, base: u64, eip: u64) {
    let word = if wide { 4 } else { 2 };
    let ip = if wide { 0x20 } else { 0x0e };
    put(memory, base, ip, eip, word);
    put(memory, base, ip + word as u64, 0x202, word);
    for gpr in 0..8 {
        let value = if gpr == 4 { 0x7000 } else { 0x1230 + gpr };
        put(memory, base, ip + (2 + gpr) * word as u64, value, word);
    }
    for (index, selector) in [DATA_32, CODE_32, DATA_32, DATA_32].into_iter().enumerate() {
        let offset = ip + (10 + index as u64) * word as u64;
        put(memory, base, offset, selector.into(), 2);
    }
}

/// The exit that the CPU takes for a switch to the new task.
fn switch(instance: &mut Instance, info: u64, event: Event) {
    let Instance { vcpu, vm } = instance;
    let control = vcpu.control_mut();
    control.exit_code = ExitCode::TaskSwitch as u64;
    control.exit_info1 = NEW_TASK.into();
    control.exit_info2 = info;
    control.exit_int_info = event;
    // As the dispatch does.
    if event.is_valid() && event.kind() != Some(intercepts::EventKind::Software) {
        vcpu.inject(event);
    }
    task::perform(vcpu, vm);
}

fn raised(instance: &Instance) -> Option<(u8, u32)> {
    let event = instance.vcpu.control().event_injection;
    event
        .is_valid()
        .then(|| (event.vector(), (event.0 >> 32) as u32))
}

fn task_gate(memory: &mut GuestMemory, vector: u8, dpl: u64) {
    let gate = 5 << 40 | 1 << 47 | dpl << 45 | u64::from(NEW_TASK) << 16;
    put(memory, IDT, u64::from(vector) * 8, gate, 8);
}

#[test]
fn jmp_saves_the_old_task_and_loads_the_new() {
    for wide in [false, true] {
        let mut instance = tasks(wide, &JMP);
        for gpr in [0, 1, 2, 3, 5, 6, 7] {
            instance.vcpu.set_gpr(gpr, 0x5670 + u64::from(gpr));
        }
        switch(&mut instance, BY_JMP | RESUMES, Event::NONE);
        assert_eq!(raised(&instance), None);
        let Instance { vcpu, vm } = &instance;
        let (ip, word) = if wide { (0x20, 4) } else { (0x0e, 2) };
        let old = |index: u64| get(&vm.memory, OLD, ip + index * word as u64, word);
        assert_eq!(old(0), CODE + 7);
        let eflags = if wide { 0x1_0002 } else { 2 };
        assert_eq!(old(1), eflags, "RF is in the upper half");
        assert_eq!((old(2), old(9)), (0x5670, 0x5677));
        assert_eq!(old(10) as u16, DATA_32);
        assert_eq!(old(11) as u16, CODE_32);
        let above = if wide { 0 } else { 0xffff_0000 };
        assert_eq!(vcpu.gpr(1), above | 0x1231);
        let save = vcpu.save();
        assert_eq!((save.rip, save.rflags), (NEW_EIP, 0x202));
        assert_eq!((save.tr.selector, save.tr.base), (NEW_TASK, NEW));
        assert_eq!((save.cs.limit, save.ds.attributes), (u32::MAX, 0xc93));
        assert_eq!(save.cr0 & 8, 8, "CR0.TS");
        assert_eq!(save.dr7, 0x6aa, "local breakpoints end");
        assert_eq!(access_byte(&vm.memory, OLD_TASK) & BUSY, 0);
        assert_eq!(access_byte(&vm.memory, NEW_TASK) & BUSY, BUSY);
        assert_eq!(get(&vm.memory, NEW, 0, 2), 0, "no link back");
    }
}

#[test]
fn call_nests_the_new_task_and_iret_returns_from_it() {
    for wide in [false, true] {
        let mut instance = tasks(wide, &CALL);
        switch(&mut instance, 0, Event::NONE);
        let save = instance.vcpu.save();
        assert_eq!(save.rflags, 0x202 | NT);
        let memory = &mut instance.vm.memory;
        assert_eq!(get(memory, NEW, 0, 2), OLD_TASK.into());
        assert_eq!(access_byte(memory, OLD_TASK) & BUSY, BUSY);
        assert_eq!(access_byte(memory, NEW_TASK) & BUSY, BUSY);

        memory.write(Gpa(NEW_EIP), &IRET).unwrap();
        let Instance { vcpu, vm } = &mut instance;
        let control = vcpu.control_mut();
        (control.exit_info1, control.exit_info2) = (OLD_TASK.into(), BY_IRET);
        task::perform(vcpu, vm);
        assert_eq!(vcpu.control().event_injection, Event::NONE);
        assert_eq!(vcpu.save().rip, CODE + 7);
        assert_eq!(vcpu.save().rflags & NT, 0);
        let memory = &vm.memory;
        let flags = if wide { 0x24 } else { 0x10 };
        assert_eq!(get(memory, NEW, flags, 2) & NT, 0, "NT ends in the task");
        assert_eq!(access_byte(memory, OLD_TASK) & BUSY, BUSY);
        assert_eq!(access_byte(memory, NEW_TASK) & BUSY, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What a task has is there again when it goes on.
    #[test]
    fn a_task_that_is_returned_to_finds_its_registers(
        wide: bool, gprs: [u32; 8], flags in 0_u64..0x1000,
    ) {
        let mut instance = tasks(wide, &CALL);
        let mask = if wide { u32::MAX } else { 0xffff };
        let flags = flags & 0xcd5 | 2;
        instance.vcpu.save_mut().rflags = flags;
        for (number, value) in (0..).zip(gprs) {
            instance.vcpu.set_gpr(number, value.into());
        }
        switch(&mut instance, 0, Event::NONE);
        instance.vm.memory.write(Gpa(NEW_EIP), &IRET).unwrap();
        let Instance { vcpu, vm } = &mut instance;
        let control = vcpu.control_mut();
        (control.exit_info1, control.exit_info2) = (OLD_TASK.into(), BY_IRET);
        task::perform(vcpu, vm);
        let ones = !u64::from(mask) & 0xffff_ffff;
        for (number, value) in (0..).zip(gprs) {
            prop_assert_eq!(vcpu.gpr(number), u64::from(value & mask) | ones);
        }
        prop_assert_eq!(vcpu.save().rflags, flags);
    }

    /// Any task, any tables: the guest gets an exception at most.
    #[test]
    fn no_table_and_no_task_can_stop_the_vmm(
        wide: bool, paged: bool,
        gdt in proptest::collection::vec(any::<u8>(), 0x38),
        tss in proptest::collection::vec(any::<u8>(), 0x68),
        info in any::<u64>(), vector: u8, code: [u8; 8],
    ) {
        let mut instance = tasks(wide, &code);
        let memory = &mut instance.vm.memory;
        let mut gdt = gdt;
        // Mostly, the task itself is one.
        if vector & 3 != 0 {
            gdt[0x20..0x28].copy_from_slice(&system(if wide { 9 } else { 1 }, NEW, 0x67).to_le_bytes());
        }
        memory.write(Gpa(GDT), &gdt).unwrap();
        memory.write(Gpa(NEW), &tss).unwrap();
        task_gate(memory, vector, 3);
        if paged {
            instance.vcpu.save_mut().cr0 |= 1 << 31;
        }
        switch(&mut instance, info, Event::exception(vector & 31));
    }
}

#[test]
fn an_exception_through_a_task_gate_leaves_its_error_code_on_the_new_stack() {
    for (wide, bytes) in [(false, 2), (true, 4)] {
        let mut instance = tasks(wide, &[0x90]);
        task_gate(&mut instance.vm.memory, 13, 0);
        let event = Event::exception_with_error(13, 0x1238);
        switch(&mut instance, HAS_ERROR | 0x1238, event);
        let Instance { vcpu, vm } = &instance;
        assert_eq!(raised(&instance), None, "it is delivered");
        let above = if wide { 0 } else { 0xffff_0000 };
        assert_eq!(vcpu.save().rsp, (above | 0x7000) - bytes as u64);
        if wide {
            assert_eq!(get(&vm.memory, 0x7000 - 4, 0, bytes), 0x1238);
        }
        let ip = if wide { 0x20 } else { 0x0e };
        assert_eq!(get(&vm.memory, OLD, ip, 2), CODE, "at the instruction");
        assert_eq!(vcpu.save().rflags & NT, NT);
    }
}

#[test]
fn an_interrupt_through_a_task_gate_is_taken_once() {
    let mut instance = tasks(true, &[0x90]);
    task_gate(&mut instance.vm.memory, 0x21, 0);
    switch(&mut instance, 0, Event::interrupt(0x21));
    assert_eq!(raised(&instance), None);
    assert_eq!(instance.vcpu.save().tr.selector, NEW_TASK);
    assert_eq!(get(&instance.vm.memory, OLD, 0x20, 4), CODE);
}

#[test]
fn a_software_interrupt_goes_on_behind_its_instruction() {
    // QUIRK: Bochs 2.7 leaves EXITINTINFO stale then, here as an interrupt without a gate.
    let stale = Event::interrupt(0x20);
    for (code, vector, event) in [
        (&[0xcd, 0x40][..], 0x40, Event::software(0x40)),
        (&[0xcd, 0x40], 0x40, stale),
        (&[0xcc], 3, Event::exception(3)),
        (&[0xce], 4, Event::exception(4)),
    ] {
        let mut instance = tasks(true, code);
        task_gate(&mut instance.vm.memory, vector, 0);
        switch(&mut instance, 0, event);
        assert_eq!(raised(&instance), None, "{event:?}");
        let behind = CODE + code.len() as u64;
        assert_eq!(get(&instance.vm.memory, OLD, 0x20, 4), behind, "{event:?}");
    }
}
