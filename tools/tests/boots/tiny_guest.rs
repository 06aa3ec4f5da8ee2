//! Kernels of a few instructions, for what a real kernel would not do.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, ax, dx, eax};

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
        assembler.lidt(iced_x86::code_asm::ptr(iced_x86::code_asm::esp))?;
        assembler.int3()
    });
    Boot::bare_machine().kernel(&kernel).run().ends_with(1);
}
