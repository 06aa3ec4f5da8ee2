//! Kernels of a few instructions, for what a real kernel would not do.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, ax, dword_ptr, dx, eax, esp, ptr, word_ptr};

use crate::harness::{Boot, trials};

trials![
    a_tiny_guest_powers_the_bare_machine_off,
    a_tiny_guest_that_triple_faults_ends_the_bare_machine_with_1,
];

/// Where the file is loaded.
const BASE: u32 = 0x10_0000;
/// The length of a Multiboot header with its address fields.
const HEADER: u32 = 32;

/// A 32-bit kernel of the instructions that `write` writes, as a Multiboot
/// file that is no ELF: the header's address fields say where it goes.
pub fn tiny_guest(write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Vec<u8> {
    const MAGIC: u32 = 0x1bad_b002;
    const HAS_ADDRESSES: u32 = 1 << 16;
    let checksum = 0u32.wrapping_sub(MAGIC).wrapping_sub(HAS_ADDRESSES);
    let (load_end, bss_end) = (0, 0);
    let entry = BASE + HEADER;
    let mut assembler = CodeAssembler::new(32).expect("a 32-bit assembler");
    write(&mut assembler).expect("instructions");
    let code = assembler.assemble(entry.into()).expect("machine code");
    [
        MAGIC,
        HAS_ADDRESSES,
        checksum,
        BASE,
        BASE,
        load_end,
        bss_end,
        entry,
    ]
    .into_iter()
    .flat_map(u32::to_le_bytes)
    .chain(code)
    .collect()
}

/// The PC's power switch: SLP_EN into the control register of ACPI.
pub fn power_off(assembler: &mut CodeAssembler) -> Result<(), IcedError> {
    assembler.mov(dx, 0x604)?;
    assembler.mov(ax, 0x2000)?;
    assembler.out(dx, ax)?;
    assembler.hlt()
}

/// A byte to a port.
pub fn out(a: &mut CodeAssembler, port: u32, value: u32) -> Result<(), IcedError> {
    a.mov(dx, port)?;
    a.mov(al, value)?;
    a.out(dx, al)
}

/// Sets up segments, a gate for interrupt `line` that leads to what `handler` writes, and the
/// interrupt controllers with that line alone open.
pub fn on_interrupt(
    a: &mut CodeAssembler,
    line: u32,
    handler: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Result<(), IcedError> {
    const GDT: u32 = 0x3000;
    const IDT: u32 = 0x2000;
    const TABLE: u32 = 0x1ff0;
    const FIRST_VECTOR: u32 = 0x20;
    const CASCADE: u32 = 1 << 2;
    let gate = IDT + (FIRST_VECTOR + line) * 8;
    let mut after = a.create_label();
    a.mov(esp, 0x9_0000)?;
    // The call leaves the handler's address on the stack.
    a.call(after)?;
    handler(a)?;
    a.set_label(&mut after)?;
    a.pop(eax)?;
    a.mov(word_ptr(gate), ax)?;
    a.shr(eax, 16)?;
    a.mov(word_ptr(gate + 6), ax)?;
    a.mov(dword_ptr(gate + 2), 0x8e00_0008u32)?;
    // A flat code segment for the gate's selector, 8.
    a.mov(dword_ptr(GDT + 8), 0x0000_ffff)?;
    a.mov(dword_ptr(GDT + 12), 0x00cf_9a00)?;
    for (base, limit) in [(GDT, 15), (IDT, 0x7ff)] {
        a.mov(word_ptr(TABLE), limit)?;
        a.mov(dword_ptr(TABLE + 2), base)?;
        if base == GDT {
            a.lgdt(ptr(TABLE))?;
        } else {
            a.lidt(ptr(TABLE))?;
        }
    }
    let open = 1 << line | if line < 8 { 0 } else { CASCADE };
    for (port, first_vector, wiring, open) in [
        (0x20, FIRST_VECTOR, CASCADE, open & 0xff),
        (0xa0, FIRST_VECTOR + 8, 2, open >> 8),
    ] {
        out(a, port, 0x11)?;
        for value in [first_vector, wiring, 1, !open & 0xff] {
            out(a, port + 1, value)?;
        }
    }
    Ok(())
}

/// Ends the interrupt of `line` in the controllers.
pub fn end_interrupt(a: &mut CodeAssembler, line: u32) -> Result<(), IcedError> {
    if line >= 8 {
        out(a, 0xa0, 0x20)?;
    }
    out(a, 0x20, 0x20)
}

/// Ends the VM as one that crashed, if the policy has [`EXIT_PORT`].
pub fn complain(a: &mut CodeAssembler) -> Result<(), IcedError> {
    out(a, 0xf4, 1)?;
    a.hlt()
}

/// What a VM's table needs for [`complain`].
pub const EXIT_PORT: &str = "[[vm.io]]\nports = \"0xf4\"\naction = \"exit\"\n";

fn a_tiny_guest_powers_the_bare_machine_off() {
    Boot::bare_machine()
        .kernel(&tiny_guest(power_off))
        .run()
        .ends_with(0);
}

fn a_tiny_guest_that_triple_faults_ends_the_bare_machine_with_1() {
    let kernel = tiny_guest(|assembler| {
        // No table at all: the limit is 0.
        assembler.xor(eax, eax)?;
        assembler.push(eax)?;
        assembler.push(eax)?;
        assembler.lidt(ptr(esp))?;
        assembler.int3()
    });
    Boot::bare_machine().kernel(&kernel).run().ends_with(1);
}
