//! A thousand address spaces, one after the other, three times round.

use iced_x86::code_asm::*;

use super::toolbox::*;

const SPACES: u32 = 1000;
/// The first directory, page table and page; the others follow, page by page.
const DIRECTORIES: u32 = 0x80_0000;
const TABLES: u32 = 0xc0_0000;
const PAGES: u32 = 0x100_0000;
/// Where each space has its own page.
const PAGE: u32 = 0x40_0000;

/// The guest.
pub fn kernel() -> Vec<u8> {
    super::toolbox::kernel(vec![code(32, START, START, |a| {
        for_each_space(a, |a| {
            a.mov(dword_ptr(eax + DIRECTORIES), 0x83)?;
            a.lea(ebx, ptr(eax + (TABLES + 3)))?;
            a.mov(dword_ptr(eax + (DIRECTORIES + 4)), ebx)?;
            a.lea(ebx, ptr(eax + (PAGES + 3)))?;
            a.mov(dword_ptr(eax + TABLES), ebx)?;
            a.mov(dword_ptr(eax + PAGES), esi)
        })?;
        set_tables(a, PSE, DIRECTORIES)?;
        set_cr0(a, PG | WP)?;
        a.xor(edi, edi)?;
        for _ in 0..3 {
            for_each_space(a, |a| {
                let mut wrong = a.create_label();
                a.add(eax, DIRECTORIES as i32)?;
                a.mov(cr3, eax)?;
                a.cmp(dword_ptr(PAGE), esi)?;
                a.jne(wrong)?;
                a.inc(edi)?;
                a.add(dword_ptr(PAGE + 4), esi)?;
                a.set_label(&mut wrong)?;
                a.zero_bytes()
            })?;
        }
        show(a, "own page found ", |a| a.mov(eax, edi))?;
        clear_cr0(a, PG)?;
        a.xor(edi, edi)?;
        for_each_space(a, |a| a.add(edi, dword_ptr(eax + (PAGES + 4))))?;
        show(a, "sum ", |a| a.mov(eax, edi))?;
        end(a)
    })])
}

/// Does `body` for each space: ESI is its number, EAX how far it is from the first.
fn for_each_space(a: &mut CodeAssembler, body: impl FnOnce(&mut CodeAssembler) -> Done) -> Done {
    let mut again = a.create_label();
    a.xor(esi, esi)?;
    a.set_label(&mut again)?;
    a.mov(eax, esi)?;
    a.shl(eax, 12)?;
    body(a)?;
    a.inc(esi)?;
    a.cmp(esi, SPACES as i32)?;
    a.jne(again)
}
