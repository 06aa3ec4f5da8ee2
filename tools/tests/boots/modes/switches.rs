//! From one kind of paging to the next and back to none, several times.

use iced_x86::code_asm::*;

use super::toolbox::*;

/// The page whose frame tells the kind of paging: 4 MiB behind its own address in each.
const PAGE: u32 = 0x80_0000;
const TWO_LEVELS: u32 = 0x5_0000;
const POINTERS: u32 = 0x5_1000;
const DIRECTORY: u32 = 0x5_2000;
const ROOT: u32 = 0x5_3000;
const WIDE_POINTERS: u32 = 0x5_4000;
const WIDE_DIRECTORY: u32 = 0x5_5000;

/// The guest.
pub fn kernel() -> Vec<u8> {
    super::toolbox::kernel(vec![code(32, START, START, |a| {
        for (number, frame) in (1..=4).zip((PAGE..).step_by(0x40_0000)) {
            poke(a, frame, 0x1111_1111 * number)?;
        }
        poke(a, TWO_LEVELS, 0x83)?;
        poke(a, TWO_LEVELS + 8, (PAGE + 0x40_0000) | 0x83)?;
        poke_entry(a, POINTERS, u64::from(DIRECTORY) | 1)?;
        poke_entry(a, DIRECTORY, 0x83)?;
        poke_entry(a, DIRECTORY + 32, (u64::from(PAGE) + 0x80_0000) | 0x83)?;
        poke_entry(a, ROOT, u64::from(WIDE_POINTERS) | 7)?;
        poke_entry(a, WIDE_POINTERS, u64::from(WIDE_DIRECTORY) | 7)?;
        poke_entry(a, WIDE_DIRECTORY, 0x83)?;
        poke_entry(a, WIDE_DIRECTORY + 32, (u64::from(PAGE) + 0xc0_0000) | 0x83)?;
        for round in 0..8 {
            say(a, &format!("round {round}:"))?;
            look(a)?;
            paged(a, PSE, TWO_LEVELS)?;
            paged(a, PAE, POINTERS)?;
            set_efer(a, LME)?;
            paged(a, PAE, ROOT)?;
            set_efer(a, 0)?;
            say(a, "\r\n")?;
        }
        end(a)
    })])
}

/// Prints the page's first word.
fn look(a: &mut CodeAssembler) -> Done {
    say(a, " ")?;
    a.mov(eax, dword_ptr(PAGE))?;
    hex(a)
}

/// The same with paging on.
fn paged(a: &mut CodeAssembler, cr4_value: u32, root: u32) -> Done {
    set_tables(a, cr4_value, root)?;
    set_cr0(a, PG)?;
    look(a)?;
    clear_cr0(a, PG)
}
