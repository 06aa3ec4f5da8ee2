//! The global descriptor table and the task register.
//!
//! Follows the APM, vol. 2, chapter 4; what a task is for is in `task.rs`.

use core::arch::asm;

use guest::descriptor::{self, ABSENT_DATA, CODE, DATA, task_state};

use super::table::{DescriptorTable, TablePointer};
use super::task::{FIRST, SECOND, TASK_LIMIT};

/// Selector of the code segment.
pub const CODE_SELECTOR: u16 = 0x08;
/// Selector of the data segment.
pub const DATA_SELECTOR: u16 = 0x10;
/// Selector of the task that the kernel runs as.
pub const FIRST_TASK: u16 = 0x18;
/// Selector of another task to switch to.
pub const SECOND_TASK: u16 = 0x20;
/// Selector of a data segment that is marked as not present.
pub const ABSENT: u16 = 0x28;
/// Selector of a task-state segment that is too short to be one.
pub const SHORT_TASK: u16 = 0x30;
/// Selector of the code segment of ring 3.
pub const USER_CODE: u16 = 0x3B;
/// Selector of the data segment of ring 3.
pub const USER_DATA: u16 = 0x43;
/// A selector beyond the end of the table.
pub const BEYOND: u16 = 0x48;

static GDT: DescriptorTable<9> = DescriptorTable::new();

/// Fills the table in and makes the processor use it.
pub fn install() {
    let descriptors = [
        0,
        CODE,
        DATA,
        task_state(FIRST.address(), TASK_LIMIT),
        task_state(SECOND.address(), TASK_LIMIT),
        ABSENT_DATA,
        task_state(SECOND.address(), TASK_LIMIT / 2),
        descriptor::USER_CODE,
        descriptor::USER_DATA,
    ];
    for (index, descriptor) in descriptors.into_iter().enumerate() {
        GDT.set(index, descriptor);
    }
    load();
    load_task();
}

/// Where the table stands.
pub fn pointer() -> TablePointer {
    GDT.pointer()
}

/// Loads the table, and every segment register from it.
fn load() {
    // SAFETY: the table is static, and its code and data segments cover all of
    // memory as the loader's did: no address changes its meaning.
    unsafe {
        asm!(
            "lgdt [{pointer}]",
            "push {code}",
            "lea {scratch}, [2f]",
            "push {scratch}",
            "retf",
            "2:",
            "mov ds, {data:x}",
            "mov es, {data:x}",
            "mov fs, {data:x}",
            "mov gs, {data:x}",
            "mov ss, {data:x}",
            pointer = in(reg) &pointer(),
            code = const CODE_SELECTOR,
            data = in(reg) u32::from(DATA_SELECTOR),
            scratch = out(reg) _,
        );
    }
}

/// Loads the task register with the kernel's task.
fn load_task() {
    // SAFETY: the selector's descriptor is that of a static task-state segment
    // of full size, marked available.
    unsafe { asm!("ltr {:x}", in(reg) FIRST_TASK) };
}

/// Marks the kernel's task as not running, so that the task register can be loaded anew.
pub fn mark_task_available() {
    let index = usize::from(FIRST_TASK / 8);
    GDT.set(index, descriptor::not_busy(GDT.get(index)));
}
