//! The interrupt descriptor table, and who handles what arrives through it.
//!
//! All 256 vectors have a gate. Exceptions go to `exceptions.rs`, the sixteen
//! interrupt lines to their devices, software interrupts to whoever expects one.

use core::arch::asm;

use guest::descriptor::{absent, interrupt_gate};
use guest::trap::FIRST_INTERRUPT;

use super::gdt::CODE_SELECTOR;
use super::table::{DescriptorTable, TablePointer};
use super::{exceptions, keyboard, pic, pit, power, serial};

/// Bytes from one interrupt entry to the next (entry.s).
const ENTRY_BYTES: u32 = 16;

static IDT: DescriptorTable<256> = DescriptorTable::new();

unsafe extern "C" {
    /// The first of the 256 interrupt entries (entry.s).
    static interrupt_entries: u8;
}

/// What the interrupt entries leave on the stack, lowest address first.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    pub edi: u32,
    pub esi: u32,
    pub ebp: u32,
    /// ESP within the entry; below the processor's own part of the frame.
    pub esp: u32,
    pub ebx: u32,
    pub edx: u32,
    pub ecx: u32,
    pub eax: u32,
    pub vector: u32,
    pub error: u32,
    pub eip: u32,
    pub cs: u32,
    pub eflags: u32,
}

/// Fills the table in and makes the processor use it.
pub fn install() {
    for vector in 0..=255 {
        IDT.set(usize::from(vector), gate(vector));
    }
    let pointer = pointer();
    // SAFETY: the table is static and every gate leads to an interrupt entry.
    unsafe { asm!("lidt [{}]", in(reg) &pointer, options(readonly, nostack)) };
}

/// Where the table stands.
pub fn pointer() -> TablePointer {
    IDT.pointer()
}

/// Marks the gate of a vector as not present while `action` runs.
pub fn without_gate<R>(vector: u8, action: impl FnOnce() -> R) -> R {
    IDT.set(usize::from(vector), absent(gate(vector)));
    let result = action();
    IDT.set(usize::from(vector), gate(vector));
    result
}

fn gate(vector: u8) -> u64 {
    let entries = &raw const interrupt_entries as u32;
    interrupt_gate(CODE_SELECTOR, entries + u32::from(vector) * ENTRY_BYTES)
}

/// Every interrupt and exception arrives here, from entry.s.
#[unsafe(no_mangle)]
extern "C" fn interrupt(frame: &mut Frame) {
    let line = frame.vector.wrapping_sub(u32::from(FIRST_INTERRUPT));
    if line >= pic::LINES {
        exceptions::handle(frame);
    } else if pic::is_real(line) {
        match line {
            pit::LINE => pit::tick(),
            keyboard::LINE => keyboard::receive(),
            serial::LINE => serial::receive(),
            power::LINE => power::pressed(),
            _ => {}
        }
        pic::end_of_interrupt(line);
    }
}
