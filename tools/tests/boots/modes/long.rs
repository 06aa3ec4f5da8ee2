//! Long mode: four levels, pages of 4 KiB, 2 MiB and 1 GiB, 64-bit code and its ring 3, and back to
//! 32 bits.

use iced_x86::code_asm::*;

use super::toolbox::*;

const ROOT: u32 = 0x5_0000;
const POINTERS: u32 = 0x5_1000;
const DIRECTORY: u32 = 0x5_2000;
const TABLE: u32 = 0x5_3000;
/// Where the 64-bit code lies, and the 32-bit code after it.
const WIDE: u32 = 0x6_0000;
const BACK: u32 = 0x6_8000;
const PAGE: u32 = 0x20_0000;
const NO_EXECUTE: u64 = 1 << 63;

/// The guest.
pub fn kernel() -> Vec<u8> {
    super::toolbox::kernel(vec![
        code(32, START, START, enter),
        code(64, WIDE, WIDE, wide),
        code(32, BACK, BACK, back),
    ])
}

fn enter(a: &mut CodeAssembler) -> Done {
    poke_entry(a, ROOT, u64::from(POINTERS) | 7)?;
    poke_entry(a, ROOT + 256 * 8, u64::from(POINTERS) | 7)?;
    poke_entry(a, POINTERS, u64::from(DIRECTORY) | 7)?;
    poke_entry(a, POINTERS + 8, 0x83)?;
    poke_entry(a, DIRECTORY, 0x83)?;
    poke_entry(a, DIRECTORY + 8, u64::from(TABLE) | 7)?;
    poke_entry(a, DIRECTORY + 16, 0x80_0000 | 0x81 | NO_EXECUTE)?;
    poke_entry(a, TABLE, 0x40_0000 | 3)?;
    set_tables(a, PAE, ROOT)?;
    set_efer(a, LME | NXE)?;
    set_cr0(a, PG | WP)?;
    say(a, "compatibility mode\r\n")?;
    show(a, "EFER ", |a| {
        a.mov(ecx, 0xc000_0080u32)?;
        a.rdmsr()
    })?;
    a.push(CODE_64)?;
    a.push(WIDE)?;
    a.retf()
}

fn wide(a: &mut CodeAssembler) -> Done {
    gates_64(a)?;
    say(a, "64: begins\r\n")?;
    a.mov(dword_ptr(PAGE + 0x100), 0x600d_f00d)?;
    show(a, "1 GiB: ", |a| {
        a.mov(eax, dword_ptr(0x4000_0000u32 + 0x40_0100))
    })?;
    show(a, "pointer ", |a| a.mov(eax, dword_ptr(POINTERS + 8)))?;
    show(a, "high half: ", |a| {
        a.mov(rax, 0xffff_8000_0020_0100u64)?;
        a.mov(eax, dword_ptr(rax))
    })?;
    show(a, "table ", |a| a.mov(eax, dword_ptr(TABLE)))?;
    fault(a, "not mapped", |a| a.mov(eax, dword_ptr(PAGE + 0x1000)))?;
    fault(a, "read-only", |a| a.mov(dword_ptr(2 * PAGE), 1))?;
    fault(a, "no-execute", |a| {
        a.mov(eax, 2 * PAGE)?;
        a.call(rax)
    })?;
    a.xor(eax, eax)?;
    a.mov(cr2, rax)?;
    fault(a, "not canonical", |a| {
        a.mov(rax, 0x0000_8000_0000_0000u64)?;
        a.mov(eax, dword_ptr(rax))
    })?;
    a.mov(eax, 0x8765_4321u32)?;
    a.mov(r9, rax)?;
    a.shl(r9, 4)?;
    show(a, "64 bits: ", |a| {
        a.mov(rax, r9)?;
        a.shr(rax, 8)
    })?;
    user_code(a)?;
    // Small pages in the place of the page of 1 GiB.
    poke_entry(a, POINTERS + 8, u64::from(DIRECTORY) | 7)?;
    a.mov(eax, 0x4000_0000)?;
    a.invlpg(ptr(rax))?;
    show(a, "split: ", |a| {
        a.mov(eax, dword_ptr(0x4000_0000u32 + PAGE + 0x100))
    })?;
    a.push(CODE as i32)?;
    a.push(BACK as i32)?;
    a.retf()
}

/// Ring 3 has the first 2 MiB, and of the small pages some.
fn user_code(a: &mut CodeAssembler) -> Done {
    poke_entry(a, DIRECTORY, 0x87)?;
    poke_entry(a, TABLE + 16, 0x40_0000 | 5)?;
    poke_entry(a, TABLE + 24, 0x40_0000 | 7 | NO_EXECUTE)?;
    a.mov(rax, cr3)?;
    a.mov(cr3, rax)?;
    fault_in_ring_3_of_64(a, "user", |a| a.mov(eax, dword_ptr(PAGE)))?;
    fault_in_ring_3_of_64(a, "user, 2 MiB", |a| a.mov(eax, dword_ptr(2 * PAGE)))?;
    fault_in_ring_3_of_64(a, "user, 1 GiB", |a| a.mov(eax, dword_ptr(0x4000_0000u32)))?;
    fault_in_ring_3_of_64(a, "user writes", |a| {
        a.mov(eax, dword_ptr(PAGE + 0x2000))?;
        a.mov(dword_ptr(PAGE + 0x2000), 1)
    })?;
    fault_in_ring_3_of_64(a, "user executes", |a| {
        a.mov(dword_ptr(PAGE + 0x3000), 0x600d)?;
        a.mov(eax, PAGE + 0x3000)?;
        a.call(rax)
    })?;
    show(a, "user's page ", |a| a.mov(eax, dword_ptr(TABLE + 24)))
}

fn back(a: &mut CodeAssembler) -> Done {
    a.mov(esp, STACK)?;
    // Ring 3 has left DS without a segment.
    flat(a)?;
    gates_32(a)?;
    clear_cr0(a, PG)?;
    set_efer(a, 0)?;
    show(a, "EFER ", |a| {
        a.mov(ecx, 0xc000_0080u32)?;
        a.rdmsr()
    })?;
    say(a, "32: done\r\n")?;
    end(a)
}
