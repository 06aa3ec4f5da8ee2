//! 32-bit paging with pages of 4 MiB and of 4 KiB.

use iced_x86::code_asm::*;

use super::protected::fault_in_ring_3;
use super::toolbox::*;

const DIRECTORY: u32 = 0x5_0000;
const TABLE: u32 = 0x5_1000;
const PAGE: u32 = 0x40_0000;

/// The guest.
pub fn kernel() -> Vec<u8> {
    super::toolbox::kernel(vec![code(32, START, START, |a| {
        let show_entry =
            |a: &mut CodeAssembler| show(a, "entry ", |a| a.mov(eax, dword_ptr(DIRECTORY + 4)));
        poke(a, 0x92_3000, 0x600d_f00d)?;
        poke(a, DIRECTORY, 0x83)?;
        poke(a, DIRECTORY + 4, 0x80_0000 | 0x81)?;
        poke(a, DIRECTORY + 8, 0xc0_0000 | 0x87)?;
        set_tables(a, PSE, DIRECTORY)?;
        set_cr0(a, PG | WP)?;
        show(a, "CR0 ", |a| a.mov(eax, cr0))?;
        show(a, "CR3 ", |a| a.mov(eax, cr3))?;
        show(a, "CR4 ", |a| a.mov(eax, cr4))?;
        show(a, "aliased ", |a| a.mov(eax, dword_ptr(PAGE + 0x12_3000)))?;
        show_entry(a)?;
        fault(a, "read-only", |a| a.mov(dword_ptr(PAGE + 0x12_3000), 1))?;
        clear_cr0(a, WP)?;
        a.mov(dword_ptr(PAGE + 0x12_3000), 0x1234_5678)?;
        show_entry(a)?;
        set_cr0(a, WP)?;

        // Another frame behind the same page, then a table of small pages.
        poke(a, DIRECTORY + 4, 0xc0_0000 | 0x83)?;
        a.invlpg(ptr(PAGE))?;
        a.mov(dword_ptr(PAGE), 0x2222_2222)?;
        show(a, "remapped ", |a| a.mov(eax, dword_ptr(2 * PAGE)))?;
        poke(a, TABLE, 0x92_3000 | 7)?;
        poke(a, TABLE + 4, 0)?;
        poke(a, DIRECTORY + 4, TABLE | 7)?;
        a.mov(eax, cr3)?;
        a.mov(cr3, eax)?;
        show(a, "split ", |a| a.mov(eax, dword_ptr(PAGE)))?;
        show(a, "table ", |a| a.mov(eax, dword_ptr(TABLE)))?;
        fault(a, "not mapped", |a| a.mov(eax, dword_ptr(PAGE + 0x1000)))?;
        // An entry that becomes present needs no flush.
        poke(a, TABLE + 4, 0xc0_0000 | 7)?;
        show(a, "mapped ", |a| a.mov(eax, dword_ptr(PAGE + 0x1000)))?;

        one_frame_behind_many_pages(a)?;
        onto_a_stack_that_nobody_touched(a)?;

        // Ring 3 has the code's page, but not the first ones.
        poke(a, TABLE + 8, START | 7)?;
        user_code(a)?;
        end(a)
    })])
}

/// ENTER writes across the border of two pages, and looks at the end of its stack, across that of
/// two others: all four are one frame.
fn one_frame_behind_many_pages(a: &mut CodeAssembler) -> Done {
    const ALIASES: u32 = 0x5_3000;
    const STACK: u32 = 0xc0_0000;
    for page in 0..4 {
        poke(a, ALIASES + page * 4, 0x93_0000 | 7)?;
    }
    poke(a, DIRECTORY + 12, ALIASES | 7)?;
    a.mov(edi, esp)?;
    a.mov(ebp, 0x5555_aaaa)?;
    a.mov(esp, STACK + 0x3002)?;
    a.enter(0x2000, 0)?;
    a.mov(ebx, esp)?;
    a.mov(esp, edi)?;
    show(a, "entered ", |a| a.mov(eax, ebx))?;
    show(a, "pushed ", |a| a.mov(eax, dword_ptr(STACK + 0x2ffe)))
}

/// INT3, INTO and INTn whose frames are the first thing on their pages. They have no error code, so
/// the handler takes the address that they return to for one.
fn onto_a_stack_that_nobody_touched(a: &mut CodeAssembler) -> Done {
    const STACKS: u32 = 0x100_0000;
    for entry in [16, 20, 24] {
        poke(a, DIRECTORY + entry, 0xc0_0000 | 0x83)?;
    }
    fault(a, "INT3", |a| {
        a.mov(esp, STACKS + 0x1000)?;
        a.int3()
    })?;
    fault(a, "INTO", |a| {
        a.mov(al, 0x7f)?;
        a.add(al, 1)?;
        a.mov(esp, STACKS + PAGE + 0x1000)?;
        a.into()
    })?;
    fault(a, "INT 30h", |a| {
        a.mov(esp, STACKS + 2 * PAGE + 0x1000)?;
        a.int(0x30)
    })
}

/// Ring 3 in a directory whose first 4 MiB are small pages, all but one of them the user's.
fn user_code(a: &mut CodeAssembler) -> Done {
    const LOW: u32 = 0x5_2000;
    let mut again = a.create_label();
    a.mov(edi, LOW)?;
    a.mov(eax, 7)?;
    a.set_label(&mut again)?;
    a.mov(dword_ptr(edi), eax)?;
    a.add(edi, 4)?;
    a.add(eax, 0x1000)?;
    a.cmp(edi, LOW + 0x1000)?;
    a.jne(again)?;
    poke(a, LOW + 4, 0x1003)?;
    poke(a, LOW + 8, 0x2005)?;
    poke(a, DIRECTORY, LOW | 7)?;
    a.mov(eax, cr3)?;
    a.mov(cr3, eax)?;
    fault_in_ring_3(a, "user", |a| a.mov(eax, dword_ptr(0x1000)))?;
    fault_in_ring_3(a, "user writes", |a| a.mov(dword_ptr(0x2000), 1))?;
    show(a, "directory ", |a| a.mov(eax, dword_ptr(DIRECTORY)))?;
    show(a, "not touched ", |a| a.mov(eax, dword_ptr(LOW + 4)))
}
