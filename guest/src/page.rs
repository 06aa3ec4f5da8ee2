//! Page tables of 32-bit paging, as data: entries, indices, and the walk.
//!
//! Follows the APM, vol. 2, section 5.2.1 (4-Kbyte pages, CR4.PAE = 0). Physical
//! memory is reached through [`TableMemory`], so all of this is tested on a host.

use bitflags::bitflags;

use crate::bitmap::FRAME_BYTES;

/// Entries of a page directory or a page table.
pub const ENTRIES: u32 = 1024;

bitflags! {
    /// The low twelve bits of an entry.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// The entry maps something.
        const PRESENT = 1 << 0;
        /// Writing is allowed.
        const WRITABLE = 1 << 1;
        /// The processor used the entry.
        const ACCESSED = 1 << 5;
        /// The processor wrote to the page.
        const DIRTY = 1 << 6;
    }
}

/// An entry of a page directory (of a table) or of a page table (of a page).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Entry(u32);

impl Entry {
    /// The entry that maps nothing.
    pub const EMPTY: Entry = Entry(0);

    /// An entry for the frame at `physical`; the bits below 4 KiB of it are dropped.
    pub const fn new(physical: u32, flags: Flags) -> Self {
        Self(physical & !(FRAME_BYTES - 1) | flags.bits())
    }

    /// The entry with these bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The entry as the processor reads it.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Its flags.
    pub const fn flags(self) -> Flags {
        Flags::from_bits_truncate(self.0)
    }

    /// The physical address it maps to, if it maps anything.
    pub fn target(self) -> Option<u32> {
        self.flags()
            .contains(Flags::PRESENT)
            .then_some(self.0 & !(FRAME_BYTES - 1))
    }
}

/// The directory entry that a virtual address goes through.
pub const fn directory_index(address: u32) -> u32 {
    address >> 22
}

/// The table entry that a virtual address goes through.
pub const fn table_index(address: u32) -> u32 {
    address >> 12 & (ENTRIES - 1)
}

/// Where page tables live, and the frames that new ones are made of.
pub trait TableMemory {
    /// Entry `index` (below [`ENTRIES`]) of the table at physical address `table`.
    fn read(&self, table: u32, index: u32) -> Entry;
    /// Replaces that entry.
    fn write(&mut self, table: u32, index: u32, entry: Entry);
    /// The physical address of a new table with all its entries empty, if there is memory.
    fn new_table(&mut self) -> Option<u32>;
}

/// Why a page could not be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// No frame was left for a page table.
    NoMemory,
    /// The virtual page is mapped already.
    Taken,
}

/// Maps the page of `virt` to the frame of `phys` in the directory at `directory`.
pub fn map(
    memory: &mut impl TableMemory,
    directory: u32,
    virt: u32,
    phys: u32,
    flags: Flags,
) -> Result<(), MapError> {
    let table = match memory.read(directory, directory_index(virt)).target() {
        Some(table) => table,
        None => {
            let table = memory.new_table().ok_or(MapError::NoMemory)?;
            let entry = Entry::new(table, Flags::PRESENT | Flags::WRITABLE);
            memory.write(directory, directory_index(virt), entry);
            table
        }
    };
    if memory.read(table, table_index(virt)).target().is_some() {
        return Err(MapError::Taken);
    }
    memory.write(
        table,
        table_index(virt),
        Entry::new(phys, flags | Flags::PRESENT),
    );
    Ok(())
}

/// Unmaps the page of `virt`; the entry that mapped it, if one did.
pub fn unmap(memory: &mut impl TableMemory, directory: u32, virt: u32) -> Option<Entry> {
    let table = memory.read(directory, directory_index(virt)).target()?;
    let entry = memory.read(table, table_index(virt));
    entry.target()?;
    memory.write(table, table_index(virt), Entry::EMPTY);
    Some(entry)
}

/// The physical address behind `virt`, if its page is mapped.
pub fn translate(memory: &impl TableMemory, directory: u32, virt: u32) -> Option<u32> {
    let table = memory.read(directory, directory_index(virt)).target()?;
    let page = memory.read(table, table_index(virt)).target()?;
    Some(page + virt % FRAME_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    struct Ram {
        entries: BTreeMap<(u32, u32), Entry>,
        next: u32,
        end: u32,
    }

    impl Ram {
        fn with_tables(tables: u32) -> (Self, u32) {
            let end = 0x1000 * (tables + 2);
            (
                Self {
                    entries: BTreeMap::new(),
                    next: 0x2000,
                    end,
                },
                0x1000,
            )
        }
    }

    impl TableMemory for Ram {
        fn read(&self, table: u32, index: u32) -> Entry {
            assert!(index < ENTRIES && table.is_multiple_of(FRAME_BYTES));
            *self.entries.get(&(table, index)).unwrap_or(&Entry::EMPTY)
        }
        fn write(&mut self, table: u32, index: u32, entry: Entry) {
            assert!(index < ENTRIES && table.is_multiple_of(FRAME_BYTES));
            self.entries.insert((table, index), entry);
        }
        fn new_table(&mut self) -> Option<u32> {
            let table = self.next;
            self.next += FRAME_BYTES;
            (table < self.end).then_some(table)
        }
    }

    #[test]
    fn a_mapped_page_translates_with_its_offset_and_an_unmapped_one_does_not() {
        let (mut ram, directory) = Ram::with_tables(1);
        map(&mut ram, directory, 0x4000_0000, 0x12_3000, Flags::WRITABLE).unwrap();
        assert_eq!(translate(&ram, directory, 0x4000_0abc), Some(0x12_3abc));
        assert_eq!(translate(&ram, directory, 0x4000_1000), None);
        let entry = unmap(&mut ram, directory, 0x4000_0000).unwrap();
        assert_eq!(entry.flags(), Flags::PRESENT | Flags::WRITABLE);
        assert_eq!(translate(&ram, directory, 0x4000_0abc), None);
        assert_eq!(unmap(&mut ram, directory, 0x4000_0000), None);
    }

    #[test]
    fn a_page_is_not_mapped_over_another() {
        let (mut ram, directory) = Ram::with_tables(1);
        map(&mut ram, directory, 0, 0x1000, Flags::empty()).unwrap();
        assert_eq!(
            map(&mut ram, directory, 0xfff, 0x2000, Flags::empty()),
            Err(MapError::Taken)
        );
    }

    #[test]
    fn no_memory_for_a_table_is_an_error() {
        let (mut ram, directory) = Ram::with_tables(0);
        assert_eq!(
            map(&mut ram, directory, 0, 0x1000, Flags::empty()),
            Err(MapError::NoMemory)
        );
    }

    proptest! {
        #[test]
        fn every_mapping_leads_where_it_was_told_to(
            pages in prop::collection::btree_map(0u32..1 << 20, 0u32..1 << 20, 0..40),
        ) {
            let (mut ram, directory) = Ram::with_tables(40);
            for (virt, phys) in &pages {
                map(&mut ram, directory, virt << 12, phys << 12, Flags::empty()).unwrap();
            }
            for (virt, phys) in &pages {
                prop_assert_eq!(translate(&ram, directory, virt << 12 | 7), Some(phys << 12 | 7));
            }
        }
    }
}
