//! PAE: pages of 2 MiB and of 4 KiB, no-execute, reserved bits, ring 3, global pages.

use iced_x86::code_asm::*;

use super::protected::fault_in_ring_3;
use super::toolbox::*;

const POINTERS: u32 = 0x5_0000;
const DIRECTORY: u32 = 0x5_1000;
const TABLE: u32 = 0x5_2000;
const NO_EXECUTE: u64 = 1 << 63;
const LARGE_PAGE: u32 = 0x20_0000;
const PAGE: u32 = 0x40_0000;

/// The guest.
pub fn kernel() -> Vec<u8> {
    super::toolbox::kernel(vec![code(32, START, START, |a| {
        poke(a, 0x80_0010, 0x600d_f00d)?;
        poke(a, 0x82_0000, 0x1111_1111)?;
        poke(a, 0x83_0000, 0x2222_2222)?;
        // RET, for what may be executed.
        poke(a, 0x81_0000, 0xc3)?;
        poke_entry(a, POINTERS, u64::from(DIRECTORY) | 1)?;
        poke_entry(a, DIRECTORY, 0x83)?;
        poke_entry(a, DIRECTORY + 8, 0x80_0000 | 0x81)?;
        poke_entry(a, DIRECTORY + 16, u64::from(TABLE) | 7)?;
        poke_entry(a, TABLE, 0x81_0000 | 3)?;
        poke_entry(a, TABLE + 8, 0x81_0000 | 3 | NO_EXECUTE)?;
        poke_entry(a, TABLE + 16, 0x81_0000 | 3 | 1 << 51)?;
        set_efer(a, NXE)?;
        set_tables(a, PAE, POINTERS)?;
        set_cr0(a, PG | WP)?;
        show(a, "CR4 ", |a| a.mov(eax, cr4))?;
        show(a, "2 MiB: ", |a| a.mov(eax, dword_ptr(LARGE_PAGE + 0x10)))?;
        show(a, "entry ", |a| a.mov(eax, dword_ptr(DIRECTORY + 8)))?;
        fault(a, "read-only", |a| a.mov(dword_ptr(LARGE_PAGE), 1))?;
        let call = |at: u32| {
            move |a: &mut CodeAssembler| {
                a.mov(eax, at)?;
                a.call(eax)
            }
        };
        try_to(a, call(PAGE))?;
        show(a, "executed ", |a| a.mov(eax, dword_ptr(TABLE)))?;
        fault(a, "no-execute", call(PAGE + 0x1000))?;
        // QUIRK: QEMU 7.2 says that the page is not present.
        fault(a, "~ reserved", |a| a.mov(eax, dword_ptr(PAGE + 0x2000)))?;
        fault(a, "not mapped", |a| a.mov(dword_ptr(PAGE + 0x3000), 1))?;
        a.mov(dword_ptr(PAGE + 0x1004), 0x3333_3333)?;
        show(a, "dirty ", |a| a.mov(eax, dword_ptr(TABLE + 8)))?;
        show(a, "aliased ", |a| a.mov(eax, dword_ptr(PAGE + 4)))?;

        // Another pointer, which counts once CR3 is loaded.
        poke_entry(a, POINTERS + 8, u64::from(DIRECTORY) | 1)?;
        a.mov(eax, cr3)?;
        a.mov(cr3, eax)?;
        show(a, "second GiB: ", |a| {
            a.mov(eax, dword_ptr(0x4000_0000 + LARGE_PAGE + 0x10))
        })?;
        user_code(a)?;
        global_pages(a)?;
        invpcid(a)?;
        end(a)
    })])
}

/// Ring 3 has the first 2 MiB, and of the small pages some.
fn user_code(a: &mut CodeAssembler) -> Done {
    poke_entry(a, DIRECTORY, 0x87)?;
    poke_entry(a, TABLE + 32, 0x81_0000 | 5)?;
    poke_entry(a, TABLE + 40, 0x81_0000 | 7 | NO_EXECUTE)?;
    a.mov(eax, cr3)?;
    a.mov(cr3, eax)?;
    fault_in_ring_3(a, "user", |a| a.mov(eax, dword_ptr(PAGE)))?;
    fault_in_ring_3(a, "user, 2 MiB", |a| a.mov(eax, dword_ptr(LARGE_PAGE)))?;
    fault_in_ring_3(a, "user writes", |a| {
        a.mov(eax, dword_ptr(PAGE + 0x4000))?;
        a.mov(dword_ptr(PAGE + 0x4000), 1)
    })?;
    fault_in_ring_3(a, "user executes", |a| {
        a.mov(dword_ptr(PAGE + 0x5000), 0x600d)?;
        a.mov(eax, PAGE + 0x5000)?;
        a.call(eax)
    })?;
    show(a, "user's page ", |a| a.mov(eax, dword_ptr(TABLE + 40)))
}

/// A global page leads where it did until INVLPG or a change of CR4.PGE; a load of CR3 leaves that
/// open, and is not looked at.
fn global_pages(a: &mut CodeAssembler) -> Done {
    const PGE: u32 = 1 << 7;
    const GLOBAL: u64 = 1 << 8;
    let lead_to = |a: &mut CodeAssembler, frame: u64| {
        poke_entry(a, TABLE + 48, frame | GLOBAL | 3)?;
        a.mov(eax, cr3)?;
        a.mov(cr3, eax)
    };
    let look =
        |a: &mut CodeAssembler, name: &str| show(a, name, |a| a.mov(eax, dword_ptr(PAGE + 0x6000)));
    set_tables(a, PAE | PGE, POINTERS)?;
    lead_to(a, 0x82_0000)?;
    look(a, "global ")?;
    lead_to(a, 0x83_0000)?;
    a.mov(eax, dword_ptr(PAGE + 0x6000))?;
    a.invlpg(ptr(PAGE + 0x6000))?;
    look(a, "after INVLPG ")?;
    lead_to(a, 0x82_0000)?;
    a.mov(eax, dword_ptr(PAGE + 0x6000))?;
    set_tables(a, PAE, POINTERS)?;
    set_tables(a, PAE | PGE, POINTERS)?;
    look(a, "after PGE ")?;
    show(a, "CR4 ", |a| a.mov(eax, cr4))
}

/// CPUID shows no INVPCID, and there is none.
fn invpcid(a: &mut CodeAssembler) -> Done {
    a.mov(eax, dword_ptr(COUNT))?;
    a.mov(dword_ptr(0x6000), eax)?;
    try_to(a, |a| {
        a.mov(eax, 2)?;
        a.mov(ecx, 0x6010)?;
        a.db(&[0x66, 0x0f, 0x38, 0x82, 0x01])
    })?;
    show(a, "INVPCID faults ", |a| {
        a.mov(eax, dword_ptr(COUNT))?;
        a.sub(eax, dword_ptr(0x6000))
    })
}
