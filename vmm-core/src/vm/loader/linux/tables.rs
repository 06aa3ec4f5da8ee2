//! The descriptor table that both entries ask for, and the page tables of the 64-bit one.

use super::super::LoadError;
use super::super::pc::{place, write_words};
use super::at;
use crate::addr::{LARGE_PAGE, PAGE};
use crate::vm::memory::GuestMemory;

/// Null twice, code, data: selectors 10h and 18h. The 64-bit entry loads its own soon, so that
/// 32-bit descriptors do for both.
const GDT: [u32; 8] = [
    0,
    0,
    0,
    0,
    0x0000_ffff,
    0x00cf_9b00,
    0x0000_ffff,
    0x00cf_9300,
];
/// The limit of the table.
pub(super) const GDT_LIMIT: u32 = GDT.len() as u32 * 4 - 1;

/// A root, a table of pointers, and a directory for each of 4 GiB.
const TABLES: u64 = 2 + GIB;
const GIB: u64 = 4;
/// The first byte behind the tables.
pub(super) const TABLES_END: u64 = at::PAGE_TABLES + TABLES * PAGE;

/// Writes the descriptor table.
pub(super) fn write_gdt(memory: &mut GuestMemory) -> Result<(), LoadError> {
    write_words(memory, at::GDT, &GDT)
}

/// Writes page tables that map the first 4 GiB one to one; where the root is, for CR3.
pub(super) fn write_identity(memory: &mut GuestMemory) -> Result<u64, LoadError> {
    const PRESENT_WRITABLE: u64 = 0b11;
    const LARGE: u64 = 1 << 7;
    const ENTRIES: u64 = 512;
    let (root, pointers, directories) = (
        at::PAGE_TABLES,
        at::PAGE_TABLES + PAGE,
        at::PAGE_TABLES + 2 * PAGE,
    );
    place(memory, root, &[], TABLES_END)?;
    let mut entry = |table: u64, index: u64, value: u64| {
        let words = [value as u32, (value >> 32) as u32];
        write_words(memory, table + 8 * index, &words)
    };
    entry(root, 0, pointers | PRESENT_WRITABLE)?;
    for gib in 0..GIB {
        entry(pointers, gib, (directories + gib * PAGE) | PRESENT_WRITABLE)?;
    }
    for page in 0..GIB * ENTRIES {
        entry(
            directories,
            page,
            (page * LARGE_PAGE) | PRESENT_WRITABLE | LARGE,
        )?;
    }
    Ok(root)
}
