//! Software interrupts, and every exception that a kernel can raise and survive.

use core::sync::atomic::AtomicU32;

use guest::trap::Trap;

use super::{Entry, Finding, May, Same, Trapped, Wrong, entry};
use crate::kernel::cpu::{CR0_EM, CR0_NE, CR0_TS};
use crate::kernel::exceptions::attempt;
use crate::kernel::gdt::{ABSENT, BEYOND, SHORT_TASK};
use crate::kernel::shell::UNMAPPED;
use crate::kernel::{cpu, idt};

/// Vector of the general-protection exception.
const GENERAL_PROTECTION: u8 = 13;

pub(super) const ENTRIES: &[Entry] = &[
    entry("INT 80h", Same, |_| attempt!("int 0x80").into()),
    entry("INT 3", Same, |_| attempt!("int3").into()),
    entry("INT 3, of two bytes", Same, |_| {
        attempt!(".byte 0xcd, 3").into()
    }),
    entry("INTO, overflow", Same, |_| {
        attempt!("mov al, 0x7f", "add al, 1", "into"; out("al") _).into()
    }),
    entry("INTO, no overflow", Same, |_| {
        attempt!("xor al, al", "into"; out("al") _).into()
    }),
    entry("ICEBP", May, |_| attempt!(".byte 0xf1").into()),
    entry("BOUND, inside", Same, |_| bound(5)),
    entry("BOUND, outside", Same, |_| bound(11)),
    entry("UD2", Same, |_| attempt!("ud2").into()),
    entry("DIV by zero", Same, |_| {
        attempt!("div {0}"; in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _).into()
    }),
    // QUIRK: QEMU 7.2 (TCG) itself dies when the lowest 64-bit number is divided by
    // -1, so the quotient is too large by less than it could be.
    entry("IDIV, quotient too large", Same, |_| {
        attempt!("idiv {0}"; in(reg) 1, inout("eax") 0 => _, inout("edx") 1 => _).into()
    }),
    entry("x87 instruction while CR0.TS is set", Same, |_| {
        x87_not_available()
    }),
    entry("x87 division by zero, unmasked", Same, |_| x87_error()),
    entry("JMP to a task that is too short", Same, |_| {
        attempt!(".byte 0xea", ".long 0", ".short {task}"; task = const SHORT_TASK).into()
    }),
    entry("segment that is not present", Same, |_| {
        attempt!("mov fs, {:x}"; in(reg) ABSENT).into()
    }),
    entry("stack segment that is not present", Same, |_| {
        attempt!("mov ss, {:x}"; in(reg) ABSENT).into()
    }),
    entry("segment beyond the table", Same, |_| {
        attempt!("mov fs, {:x}"; in(reg) BEYOND).into()
    }),
    entry("null stack segment", Same, |_| {
        attempt!("mov ss, {:x}"; in(reg) 0_u16).into()
    }),
    entry("read of an unmapped page", Same, |_| {
        page_fault(
            attempt!("mov {0}, dword ptr [{0}]"; inout(reg) UNMAPPED => _),
            UNMAPPED,
        )
    }),
    entry("write to an unmapped page", Same, |_| {
        page_fault(
            attempt!("mov dword ptr [{0}], {0}"; in(reg) UNMAPPED),
            UNMAPPED,
        )
    }),
    entry("jump to an unmapped page", Same, |_| {
        page_fault(attempt!("jmp {}"; in(reg) UNMAPPED), UNMAPPED)
    }),
    entry("write to a read-only page", Same, |_| {
        page_fault(
            attempt!("mov dword ptr [{0}], {0}"; in(reg) READ_ONLY.as_ptr()),
            READ_ONLY.as_ptr() as u32,
        )
    }),
    entry("double fault", Same, |_| double_fault()),
];

/// The bounds of BOUND: 0 to 10.
static BOUNDS: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(10)];
/// Something among the kernel's constants.
static READ_ONLY: [u32; 1] = [0x5EA1_ED00];

fn bound(index: u32) -> Finding {
    attempt!("bound {0}, [{1}]"; in(reg) index, in(reg) BOUNDS.as_ptr()).into()
}

/// A page fault, if CR2 holds the address expected.
fn page_fault(trap: Option<Trap>, address: u32) -> Finding {
    match trap {
        Some(trap) if trap.address != address => Wrong("CR2 holds another address"),
        trap => trap.into(),
    }
}

/// Sets CR0.TS, which makes x87 instructions raise #NM, and clears it again.
fn x87_not_available() -> Finding {
    let cr0 = cpu::cr0() & !CR0_EM;
    let trap = attempt!("mov cr0, {}", "fnop"; in(reg) cr0 | CR0_TS);
    attempt!("mov cr0, {}"; in(reg) cr0);
    trap.into()
}

/// Divides by zero with the exception unmasked and CR0.NE set; it is reported
/// when the next x87 instruction waits for it.
fn x87_error() -> Finding {
    let cr0 = cpu::cr0();
    let control = 0x037B_u16;
    let trap = attempt!(
        "mov cr0, {cr0}", "fninit", "fldcw word ptr [{control}]", "fld1", "fldz", "fdivp", "fwait";
        cr0 = in(reg) cr0 & !CR0_EM | CR0_NE, control = in(reg) &raw const control
    );
    attempt!("fninit", "mov cr0, {}"; in(reg) cr0);
    trap.into()
}

/// Raises #GP while its gate is not present: the fault on the way to the
/// handler makes a double fault of it.
fn double_fault() -> Finding {
    let trap = idt::without_gate(
        GENERAL_PROTECTION,
        || attempt!("mov fs, {:x}"; in(reg) BEYOND),
    );
    trap.map_or(Wrong("it did not come"), Trapped)
}
