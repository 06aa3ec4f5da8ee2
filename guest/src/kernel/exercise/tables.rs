//! Descriptor table registers, and a switch of hardware tasks.

use super::{Entry, Finding, Same, check, entry};
use crate::kernel::exceptions::attempt;
use crate::kernel::gdt::{BEYOND, DATA_SELECTOR, FIRST_TASK, SECOND_TASK};
use crate::kernel::table::TablePointer;
use crate::kernel::{gdt, idt, task};

pub(super) const ENTRIES: &[Entry] = &[
    entry("SGDT", Same, |_| sgdt()),
    entry("SIDT", Same, |_| sidt()),
    entry("SLDT", Same, |_| sldt()),
    entry("STR", Same, |_| str()),
    entry("LGDT", Same, |_| {
        attempt!("lgdt [{}]"; in(reg) &gdt::pointer()).into()
    }),
    entry("LIDT", Same, |_| {
        attempt!("lidt [{}]"; in(reg) &idt::pointer()).into()
    }),
    entry("LLDT of nothing", Same, |_| {
        attempt!("lldt {:x}"; in(reg) 0_u16).into()
    }),
    entry("LTR of a task that runs", Same, |_| {
        attempt!("ltr {:x}"; in(reg) FIRST_TASK).into()
    }),
    entry("LTR of no task", Same, |_| {
        attempt!("ltr {:x}"; in(reg) DATA_SELECTOR).into()
    }),
    entry("LTR", Same, |_| ltr()),
    entry("LLDT beyond the table", Same, |_| {
        attempt!("lldt {:x}"; in(reg) BEYOND).into()
    }),
    entry("JMP to a task, and back", Same, |_| task_switch()),
];

fn sgdt() -> Finding {
    let mut pointer = TablePointer::default();
    let trap = attempt!("sgdt [{}]"; in(reg) &raw mut pointer);
    check(
        trap,
        pointer == gdt::pointer(),
        "it is not the kernel's table",
    )
}

fn sidt() -> Finding {
    let mut pointer = TablePointer::default();
    let trap = attempt!("sidt [{}]"; in(reg) &raw mut pointer);
    check(
        trap,
        pointer == idt::pointer(),
        "it is not the kernel's table",
    )
}

fn sldt() -> Finding {
    let selector: u32;
    let trap = attempt!("sldt {:e}"; out(reg) selector);
    check(trap, selector as u16 == 0, "there is a local table")
}

fn str() -> Finding {
    let selector: u32;
    let trap = attempt!("str {:e}"; out(reg) selector);
    check(
        trap,
        selector as u16 == FIRST_TASK,
        "it is not the kernel's task",
    )
}

/// Loads the task register again, which wants a task that is not marked as running.
fn ltr() -> Finding {
    gdt::mark_task_available();
    attempt!("ltr {:x}"; in(reg) FIRST_TASK).into()
}

/// Switches to the second task, which switches back; twice, for it to go on where it was.
fn task_switch() -> Finding {
    task::prepare();
    let before = task::turns();
    let trap = attempt!(
        ".byte 0xea", ".long 0", ".short {second}",
        ".byte 0xea", ".long 0", ".short {second}",
        "clts";
        second = const SECOND_TASK
    );
    check(
        trap,
        task::turns() == before + 2,
        "the other task did not have its two turns",
    )
}
