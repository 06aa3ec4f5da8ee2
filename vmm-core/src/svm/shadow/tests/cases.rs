//! Single cases, each once a bug or nearly one.

use super::*;

/// A buffer that is mapped twice in a row, so that what runs over its end arrives at its start.
#[test]
fn one_write_may_span_two_pages_that_are_one_frame() {
    let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
    memory.write(Gpa(0x1000), &0x2007u32.to_le_bytes());
    memory.write(Gpa(0x2000), &0x5007u32.to_le_bytes());
    memory.write(Gpa(0x2004), &0x5007u32.to_le_bytes());
    shadow.activate(&memory, registers(Kind::TwoLevel, 0x1000, true));
    let write = Access::of(0b10);
    for linear in [0xfff, 0x1000] {
        access(&mut shadow, &mut memory, linear, write);
    }
    assert_eq!(cpu_walk(&shadow, 0xfff, write), Some(0x5fff));
    assert_eq!(cpu_walk(&shadow, 0x1000, write), Some(0x5000));
    holds_together(&shadow);
}

/// A guest without any table, as one that has loaded CR3 with nonsense.
#[test]
fn a_root_outside_memory_maps_nothing_and_names_the_place() {
    for kind in [Kind::TwoLevel, Kind::Pae, Kind::Long] {
        let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
        shadow.activate(&memory, registers(kind, 0x7654_3000, true));
        assert_eq!(cpu_walk(&shadow, 0, Access::of(0)), None);
        let verdict = shadow.fault(&mut memory, 0, Access::of(0));
        let outside = Stop::Outside {
            gpa: Gpa(0x7654_3000),
            is_table: true,
        };
        assert_eq!(verdict, Verdict::Stopped(outside));
        shadow.activate(&memory, registers(Kind::Unpaged, 0, true));
        let found = access(&mut shadow, &mut memory, 0x123, Access::of(0));
        assert_eq!(found, Outcome::At(0x123));
    }
}

/// An entry that becomes present needs no flush, whatever it leads to.
#[test]
fn a_table_that_changed_while_nothing_led_there_is_read_anew() {
    let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
    let guest = registers(Kind::TwoLevel, 0x1000, true);
    let read = Access::of(0);
    let write = |shadow: &mut Shadow, memory: &mut GuestMemory, at: u64, entry: u32| {
        memory.write(Gpa(at), &entry.to_le_bytes());
        assert!(shadow.wrote(memory, at..at + 4));
    };
    write(&mut shadow, &mut memory, 0x1000, 0x2007);
    write(&mut shadow, &mut memory, 0x2000, 0x5007);
    shadow.activate(&memory, guest);
    access(&mut shadow, &mut memory, 0, read);
    write(&mut shadow, &mut memory, 0x1000, 0);
    shadow.activate(&memory, guest);
    write(&mut shadow, &mut memory, 0x2000, 0x6007);
    write(&mut shadow, &mut memory, 0x1000, 0x2007);
    let found = access(&mut shadow, &mut memory, 0, read);
    assert_eq!(found, Outcome::At(0x6000));
}

/// The VMM writes a guest's table for it, as INS does: the guest sees it after INVLPG.
#[test]
fn a_table_that_the_vmm_writes_is_compared_when_the_guest_asks() {
    let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
    memory.write(Gpa(0x1000), &0x2007u32.to_le_bytes());
    memory.write(Gpa(0x2000), &0x5007u32.to_le_bytes());
    shadow.activate(&memory, registers(Kind::TwoLevel, 0x1000, true));
    let read = Access::of(0);
    access(&mut shadow, &mut memory, 0, read);
    memory.take_written();
    memory.write(Gpa(0x2000), &0x6007u32.to_le_bytes());
    let written = memory.take_written().unwrap();
    assert!(shadow.wrote(&memory, written));
    shadow.invalidate(&memory, 0);
    let found = access(&mut shadow, &mut memory, 0, read);
    assert_eq!(found, Outcome::At(0x6000));
    assert!(
        !shadow.wrote(&memory, 0..0x10_0000),
        "more than it looks at"
    );
}

#[test]
fn an_unpaged_guest_sees_its_memory_and_nothing_else() {
    let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
    shadow.activate(&memory, registers(Kind::Unpaged, 0, false));
    let write = Access::of(0b10);
    let mut at = |linear| access(&mut shadow, &mut memory, linear, write);
    assert_eq!(at(0x1234), Outcome::At(0x1234));
    assert_eq!(at(0xf_ffff), Outcome::At(0xf_ffff));
    assert_eq!(at(0x10_0000), Outcome::Outside);
    assert_eq!(at(0xffff_f000), Outcome::Outside);
    holds_together(&shadow);
}

/// ENTER, the worst of all: what it pushes and what it looks at behind that may each span two pages.
#[test]
fn one_instruction_may_write_through_four_pages_that_are_one_frame() {
    let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
    memory.write(Gpa(0x1000), &0x2007u32.to_le_bytes());
    for page in 0..5 {
        memory.write(Gpa(0x2000 + page * 4), &0x5007u32.to_le_bytes());
    }
    shadow.activate(&memory, registers(Kind::TwoLevel, 0x1000, true));
    let write = Access::of(0b10);
    let mut executes = |pages: [u64; 4]| {
        // Each fault ends the instruction, which then begins anew.
        for _ in 0..=pages.len() {
            let missing = |page: &u64| cpu_walk(&shadow, page * PAGE, write).is_none();
            match pages.into_iter().find(missing) {
                Some(page) => drop(shadow.fault(&mut memory, page * PAGE, write)),
                None => return true,
            }
        }
        false
    };
    assert!(executes([0, 1, 2, 3]));
    assert!(executes([4, 3, 2, 1]));
    holds_together(&shadow);
}
