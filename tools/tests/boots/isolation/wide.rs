//! A guest that reaches beyond its memory by entries of 64 bits: under PAE, then in long mode.

use iced_x86::code_asm::*;

use super::{EVERY_PAGE, MEMORY, MIB, complain, for_each};
use crate::modes::toolbox::{
    self, CODE_64, COUNT, Done, LME, PAE, PG, START, WP, clear_cr0, code, gates_64, poke_entry,
    set_cr0, set_efer, set_tables, try_to,
};
use crate::tiny_guest::power_off;

const POINTERS: u32 = 0x5_0000;
const DIRECTORY: u32 = 0x5_1000;
const TABLE: u32 = 0x5_2000;
const ROOT: u32 = 0x5_3000;
const WIDE_POINTERS: u32 = 0x5_4000;
/// Where the 64-bit code lies.
const WIDE: u32 = 0x6_0000;
const LARGE_PAGE: u32 = 2 * MIB;
/// What the second entry of the directory maps.
const WINDOW: u32 = LARGE_PAGE;
const GIB: u64 = 1 << 30;
/// Pages of 1 GiB that are tried, none of them the first.
const GIBS: u64 = 8;
/// Bits 39:32 of the addresses that large pages are given.
const HIGH: [u32; 4] = [0, 1, 0x7f, 0xff];
const EVERY: u32 = (EVERY_PAGE - MEMORY) / 4096;

/// The guest, which ends well if each access was a fault.
pub fn kernel() -> Vec<u8> {
    toolbox::kernel(vec![
        code(32, START, START, |a| {
            poke_entry(a, POINTERS, u64::from(DIRECTORY) | 1)?;
            poke_entry(a, ROOT, u64::from(WIDE_POINTERS) | 7)?;
            poke_entry(a, WIDE_POINTERS, u64::from(DIRECTORY) | 7)?;
            poke_entry(a, DIRECTORY, 0x83)?;
            set_tables(a, PAE, POINTERS)?;
            set_cr0(a, PG | WP)?;
            let faults = everywhere(a)?;
            end_unless(a, faults)?;
            clear_cr0(a, PG)?;
            set_efer(a, LME)?;
            set_tables(a, PAE, ROOT)?;
            set_cr0(a, PG)?;
            a.push(CODE_64)?;
            a.push(WIDE)?;
            a.retf()
        }),
        code(64, WIDE, WIDE, |a| {
            gates_64(a)?;
            a.mov(dword_ptr(COUNT), 0)?;
            let mut faults = everywhere(a)?;
            for gib in 1..=GIBS {
                poke_entry(a, WIDE_POINTERS + 8, (gib * GIB) | 0x83)?;
                reach(a, GIB as u32)?;
                faults += 1;
            }
            end_unless(a, faults)?;
            power_off(a)
        }),
    ])
}

/// Writes where this address leads, which is a fault.
fn reach(a: &mut CodeAssembler, at: u32) -> Done {
    const MARK: u32 = 0x0bad_0bad;
    try_to(a, |a| {
        a.invlpg(ptr(at))?;
        a.mov(dword_ptr(at), MARK)
    })
}

/// Leads the window to everything that is not the guest's, by large pages, by small ones, and by
/// tables there; how many faults that is.
fn everywhere(a: &mut CodeAssembler) -> Result<u32, iced_x86::IcedError> {
    let mut faults = 0;
    for high in HIGH {
        let first = if high == 0 { MEMORY } else { 0 };
        a.mov(dword_ptr(DIRECTORY + 12), high)?;
        for_each(a, first, 0, LARGE_PAGE, |a| {
            a.mov(eax, esi)?;
            a.or(eax, 0x83)?;
            a.mov(dword_ptr(DIRECTORY + 8), eax)?;
            reach(a, WINDOW)
        })?;
        faults += (((1 << 32) - u64::from(first)) / u64::from(LARGE_PAGE)) as u32;
    }
    a.mov(dword_ptr(DIRECTORY + 12), 0)?;
    for entry in [TABLE, DIRECTORY + 8] {
        poke_entry(a, DIRECTORY + 8, u64::from(TABLE) | 3)?;
        for_each(a, MEMORY, EVERY_PAGE, 4096, |a| {
            a.mov(eax, esi)?;
            a.or(eax, 3)?;
            a.mov(dword_ptr(entry), eax)?;
            reach(a, WINDOW)
        })?;
        faults += EVERY;
    }
    Ok(faults)
}

/// Ends the VM as one that crashed, unless there were so many faults.
fn end_unless(a: &mut CodeAssembler, faults: u32) -> Done {
    let mut right = a.create_label();
    a.cmp(dword_ptr(COUNT), faults as i32)?;
    a.je(right)?;
    complain(a)?;
    a.set_label(&mut right)?;
    a.zero_bytes()
}
