//! Switches between address spaces, to VM86 mode, and those that end in #DB.

use super::*;
use crate::svm::shadow::Room;

const DIRECTORY: u64 = 0x1_0000;
const TABLE_0: u64 = 0x1_1000;
/// Another address space, where the new task's page is another.
const DIRECTORY_2: u64 = 0x1_2000;
const TABLE_2: u64 = 0x1_3000;
const MOVED: u64 = 0x2_0000;
const CR0_PG: u64 = 1 << 31 | 1 << 16;

/// Maps the first 1 MiB one to one, but for the page `other`, which has this entry.
fn map(memory: &mut GuestMemory, directory: u64, table: u64, other: u64, entry: u64) {
    put(memory, directory, 0, table | 3, 4);
    for page in 0..256 {
        put(memory, table, page * 4, page << 12 | 3, 4);
    }
    put(memory, table, other >> 12 << 2, entry, 4);
}

/// A guest with paging on, and a page of it that has this entry.
fn paged(other: u64, entry: u64) -> Instance {
    let mut instance = tasks(true, &CALL);
    map(&mut instance.vm.memory, DIRECTORY, TABLE_0, other, entry);
    let save = instance.vcpu.save_mut();
    save.cr0 |= CR0_PG;
    save.cr3 = DIRECTORY;
    instance
}

#[test]
fn a_page_fault_before_the_switch_leaves_everything_as_it_was() {
    let cases = [
        (OLD, OLD | 1, (OLD + 0x20, 3)),
        (NEW, 0, (NEW, 0)),
        (NEW, NEW | 1, (NEW, 3)),
        (GDT, 0, (GDT + 0x20, 0)),
        (GDT, GDT | 1, (GDT + 0x25, 3)),
    ];
    for (page, entry, (address, error)) in cases {
        let mut instance = paged(page, entry);
        let saved = |instance: &Instance| get(&instance.vm.memory, OLD, 0x20, 8);
        let before = saved(&instance);
        switch(&mut instance, 0, Event::NONE);
        assert_eq!(raised(&instance), Some((14, error)), "{page:x}");
        let save = instance.vcpu.save();
        assert_eq!(save.cr2, address);
        assert_eq!((save.rip, save.tr.selector), (CODE, OLD_TASK));
        assert_eq!(saved(&instance), before, "{page:x}");
        assert_eq!(access_byte(&instance.vm.memory, NEW_TASK) & BUSY, 0);
    }
}

#[test]
fn the_new_task_has_its_own_page_tables_and_its_segments_come_through_them() {
    let mut instance = paged(0, 3);
    let memory = &mut instance.vm.memory;
    map(memory, DIRECTORY_2, TABLE_2, GDT, MOVED | 3);
    put(memory, NEW, 0x1c, DIRECTORY_2, 4);
    // Its table has another data segment.
    put(memory, MOVED, CODE_32.into(), FLAT_CODE, 8);
    put(memory, MOVED, DATA_32.into(), FLAT_DATA | 0x12 << 16, 8);
    switch(&mut instance, 0, Event::NONE);
    assert_eq!(raised(&instance), None);
    assert_eq!(instance.vcpu.save().cr3, DIRECTORY_2);
    assert_eq!(instance.vcpu.save().ds.base, 0x12);
    assert_ne!(instance.vcpu.control().tlb_control, 0, "the TLB is flushed");
}

#[test]
fn without_paging_cr3_stays() {
    let mut instance = tasks(true, &CALL);
    put(&mut instance.vm.memory, NEW, 0x1c, DIRECTORY_2, 4);
    switch(&mut instance, 0, Event::NONE);
    assert_eq!(instance.vcpu.save().cr3, 0);
}

#[test]
fn a_task_in_vm86_mode_has_segments_of_real_mode() {
    let mut instance = tasks(true, &CALL);
    let memory = &mut instance.vm.memory;
    put(memory, NEW, 0x24, 0x2_0202, 4);
    for (index, selector) in [0x1111, 0x2222, 0x3333].into_iter().enumerate() {
        put(memory, NEW, 0x48 + index as u64 * 4, selector, 2);
    }
    switch(&mut instance, 0, Event::NONE);
    assert_eq!(raised(&instance), None);
    let save = instance.vcpu.save();
    assert_eq!(save.cpl, 3);
    assert_eq!((save.cs.base, save.cs.limit), (0x2_2220, 0xffff));
    assert_eq!((save.ss.base, save.ss.attributes), (0x3_3330, 0xf3));
    assert_eq!(save.rflags, 0x2_4202);
}

#[test]
fn a_task_that_asks_for_it_begins_with_a_debug_exception() {
    let mut instance = tasks(true, &JMP);
    put(&mut instance.vm.memory, NEW, 0x64, 1, 2);
    switch(&mut instance, BY_JMP, Event::NONE);
    assert_eq!(raised(&instance), Some((1, 0)));
    assert_eq!(instance.vcpu.save().dr6 >> 15 & 1, 1, "DR6.BT");
    assert_eq!(instance.vcpu.save().rip, NEW_EIP);
}

static BY_THE_VMM: Dispatch = Dispatch::empty().with(ExitCode::TaskSwitch, task::perform);

static SHADOWED: VmPolicy = VmPolicy {
    npt: false,
    dispatch: &BY_THE_VMM,
    ..QUIET
};

/// The guest's CR3 is not the CPU's: the switch loads the one, and the tables follow.
#[test]
fn under_shadow_paging_the_tables_follow_the_task() {
    let mut instance = paged(0, 3);
    map(&mut instance.vm.memory, DIRECTORY_2, TABLE_2, 0, 3);
    put(&mut instance.vm.memory, NEW, 0x1c, DIRECTORY_2, 4);
    let room = Room::new(64 * 4096, MEMORY as u64);
    let tables = leaked(room.bytes() as usize);
    // SAFETY: the piece is leaked, page-aligned and nobody else's; no CPU has it in CR3.
    let shadow = unsafe { room.place(tables.base(), &instance.vm.memory, 40, true) };
    let Instance { vcpu, vm } = &mut instance;
    (vm.policy, vm.behind) = (&SHADOWED, &BY_THE_VMM);
    crate::exits::shadow::begin(vcpu, vm, shadow);
    let control = vcpu.control_mut();
    control.exit_code = ExitCode::TaskSwitch as u64;
    control.exit_info1 = NEW_TASK.into();
    dispatch::<true>(&mut instance);
    let Instance { vcpu, vm } = &instance;
    let guest = vm.shadow.as_ref().map(|shadow| shadow.guest().cr3);
    assert_eq!(guest, Some(DIRECTORY_2));
    assert_ne!(vcpu.save().cr3, DIRECTORY_2);
    assert_eq!(vcpu.save().rip, NEW_EIP);
}
