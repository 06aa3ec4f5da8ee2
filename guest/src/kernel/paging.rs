//! Page directories in use: the kernel's, identity-mapped, and others beside it.
//!
//! The walk is in the library (`page.rs`); here is the memory it walks through
//! and the registers that make it count. The first page stays unmapped, so that
//! a null pointer faults, and the kernel's code and constants are read-only.

use core::arch::asm;
use core::ptr;

use guest::bitmap::{FRAME_BYTES, FrameBitmap};
use guest::page::{self, ENTRIES, Entry, Flags, MapError, TableMemory, directory_index};

use super::cpu::{self, CR0_PG, CR0_WP};
use super::memory::read_only_image;

/// Physical memory below this is mapped at its own address; page tables are there.
pub const IDENTITY_END: u32 = 16 << 20;
/// A page for looking at any physical frame; see [`AddressSpace::look`].
const WINDOW: u32 = 0xE000_0000;

/// Page tables in identity-mapped frames.
struct IdentityTables<'a>(&'a mut FrameBitmap<'static>);

impl TableMemory for IdentityTables<'_> {
    fn read(&self, table: u32, index: u32) -> Entry {
        // SAFETY: page tables are frames below IDENTITY_END, mapped at their own address.
        Entry::from_bits(unsafe { ptr::read_volatile((table + index * 4) as *const u32) })
    }

    fn write(&mut self, table: u32, index: u32, entry: Entry) {
        // SAFETY: as in `read`; the frame belongs to this table alone.
        unsafe { ptr::write_volatile((table + index * 4) as *mut u32, entry.bits()) };
    }

    fn new_table(&mut self) -> Option<u32> {
        let frame = self.0.take()?;
        let table = frame * FRAME_BYTES;
        if table >= IDENTITY_END {
            self.0.give_back(frame);
            return None;
        }
        for index in 0..ENTRIES {
            self.write(table, index, Entry::EMPTY);
        }
        Some(table)
    }
}

/// A page directory and the tables below it.
pub struct AddressSpace {
    /// Physical address of the directory.
    directory: u32,
}

impl AddressSpace {
    /// The kernel's: everything below [`IDENTITY_END`] at its own address.
    pub fn identity(frames: &mut FrameBitmap<'static>) -> Result<Self, MapError> {
        let mut tables = IdentityTables(frames);
        let directory = tables.new_table().ok_or(MapError::NoMemory)?;
        let read_only = read_only_image();
        for address in (FRAME_BYTES..IDENTITY_END).step_by(FRAME_BYTES as usize) {
            let flags = if read_only.contains(&address) {
                Flags::empty()
            } else {
                Flags::WRITABLE
            };
            page::map(&mut tables, directory, address, address, flags)?;
        }
        Ok(Self { directory })
    }

    /// Another one, which shares the kernel's part with this one and nothing else.
    pub fn beside(&self, frames: &mut FrameBitmap<'static>) -> Result<Self, MapError> {
        let mut tables = IdentityTables(frames);
        let directory = tables.new_table().ok_or(MapError::NoMemory)?;
        for index in 0..directory_index(IDENTITY_END) {
            let entry = tables.read(self.directory, index);
            tables.write(directory, index, entry);
        }
        Ok(Self { directory })
    }

    /// Gives back the frames of a directory made by [`AddressSpace::beside`] and of
    /// its own tables. It must not be the one in use; it is handed back if it is.
    pub fn release(self, frames: &mut FrameBitmap<'static>) -> Result<(), Self> {
        if cpu::cr3() == self.directory {
            return Err(self);
        }
        for index in directory_index(IDENTITY_END)..ENTRIES {
            if let Some(table) = IdentityTables(frames).read(self.directory, index).target() {
                frames.give_back(table / FRAME_BYTES);
            }
        }
        frames.give_back(self.directory / FRAME_BYTES);
        Ok(())
    }

    /// Physical address of the directory.
    pub fn directory(&self) -> u32 {
        self.directory
    }

    /// Makes the processor use this directory, with paging on and CR0.WP set.
    pub fn activate(&self) {
        let cr0 = cpu::cr0() | CR0_PG | CR0_WP;
        // SAFETY: every directory maps the kernel, its stack and its tables at
        // their own addresses, so nothing the kernel holds changes its meaning.
        unsafe {
            asm!("mov cr3, {}", "mov cr0, {}", in(reg) self.directory, in(reg) cr0,
                options(nostack));
        }
    }

    /// Maps the page of `virt`, beyond the kernel's part, to the frame of `phys`, writable.
    pub fn map(
        &mut self,
        virt: u32,
        phys: u32,
        frames: &mut FrameBitmap<'static>,
    ) -> Result<(), MapError> {
        page::map(
            &mut IdentityTables(frames),
            self.directory,
            virt,
            phys,
            Flags::WRITABLE,
        )?;
        flush(virt);
        Ok(())
    }

    /// Unmaps the page of `virt`; the entry that mapped it, if one did.
    pub fn unmap(&mut self, virt: u32, frames: &mut FrameBitmap<'static>) -> Option<Entry> {
        let entry = page::unmap(&mut IdentityTables(frames), self.directory, virt);
        flush(virt);
        entry
    }

    /// The physical address behind `virt`, if its page is mapped.
    pub fn translate(&self, virt: u32, frames: &mut FrameBitmap<'static>) -> Option<u32> {
        page::translate(&IdentityTables(frames), self.directory, virt)
    }

    /// The entry for the page of `virt`, if there is a table for it: mapped at its own address.
    pub fn entry(&self, virt: u32, frames: &mut FrameBitmap<'static>) -> Option<*mut u32> {
        let tables = IdentityTables(frames);
        let table = tables
            .read(self.directory, directory_index(virt))
            .target()?;
        Some((table + page::table_index(virt) * 4) as *mut u32)
    }

    /// Shows `action` the physical address `phys` through a page mapped for the
    /// time being; the pointer is good for the rest of that frame.
    pub fn look<R>(
        &mut self,
        phys: u32,
        frames: &mut FrameBitmap<'static>,
        action: impl FnOnce(*mut u32) -> R,
    ) -> Result<R, MapError> {
        self.map(WINDOW, phys, frames)?;
        let result = action((WINDOW + phys % FRAME_BYTES) as *mut u32);
        self.unmap(WINDOW, frames);
        Ok(result)
    }
}

/// Makes the processor forget what it knows of one page.
pub fn flush(virt: u32) {
    // SAFETY: the processor only looks the page up anew.
    unsafe { asm!("invlpg [{}]", in(reg) virt, options(nostack)) };
}
