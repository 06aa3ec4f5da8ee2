//! Linux bzImages, started from protected mode or from long mode.
//!
//! Without the kernel's real-mode part nothing asks a BIOS: the loader fills in what that part
//! would have found, in the "zero page". Names are those of the kernel's documentation, "The
//! Linux/x86 Boot Protocol", 32-bit and 64-bit.

mod header;
mod tables;
mod zero_page;

use intercepts::vmcb::start::{self, Selectors};

use super::pc::{ONE_MIB, place};
use super::{Files, LoadError};
use crate::addr::{Gpa, PAGE};
use crate::vm::memory::GuestMemory;
use crate::vm::vcpu::Vcpu;
use header::Header;
use zero_page::Ramdisk;

/// Where a kernel may be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// In 32-bit protected mode, without paging.
    Protected,
    /// In 64-bit mode, with all that the kernel was given mapped one to one.
    Long,
}

/// Where the loader's own things go: page 0 stays free, and all of it is below the kernel.
mod at {
    /// The segment descriptors.
    pub const GDT: u64 = 0x1000;
    pub const ZERO_PAGE: u64 = 0x2000;
    /// The command line, up to the page tables.
    pub const COMMAND_LINE: u64 = 0x3000;
    pub const PAGE_TABLES: u64 = 0x8000;
}

/// Whether the file has a Linux setup header.
pub(super) fn is_kernel(image: &[u8]) -> bool {
    Header::read(image).is_ok()
}

/// Loads the kernel with its initial file system, and puts `vcpu` at its entry.
pub(super) fn load(
    files: &Files<'_>,
    memory: &mut GuestMemory,
    vcpu: &mut Vcpu,
    entry: Entry,
) -> Result<(), LoadError> {
    let header = Header::read(files.image)?;
    if !files.modules.is_empty() {
        return Err(LoadError::NoUse {
            kernel: "a Linux kernel",
            key: "modules",
        });
    }
    let kernel = header.protected_mode_part()?;
    let offset = match entry {
        Entry::Protected => 0,
        Entry::Long => header.long_entry()?,
    };
    let start = header.load_address()?;
    let end = start + kernel.len() as u64;
    place(memory, start, kernel, end)?;
    let needs = header.runtime(start, end);
    if needs > memory.bytes() {
        return Err(LoadError::DoesNotFit {
            start,
            end: needs,
            memory: memory.bytes(),
        });
    }
    let ramdisk = match files.initrd {
        Some(bytes) => Some(place_ramdisk(bytes, &header, needs, memory)?),
        None => None,
    };
    place_command_line(files.command_line, &header, memory)?;
    zero_page::write(files, &header, ramdisk, memory)?;
    tables::write_gdt(memory)?;

    let save = vcpu.save_mut();
    match entry {
        Entry::Protected => start::protected(save, Selectors::LINUX),
        Entry::Long => start::long(save, Selectors::LINUX, tables::write_identity(memory)?),
    }
    save.rip = start + offset;
    save.gdtr.base = at::GDT;
    save.gdtr.limit = tables::GDT_LIMIT;
    vcpu.gprs.rsi = at::ZERO_PAGE;
    Ok(())
}

/// Puts the initial file system as high as the kernel reaches, out of the way of what it
/// unpacks itself to, which ends at `lowest`.
fn place_ramdisk(
    bytes: &[u8],
    header: &Header,
    lowest: u64,
    memory: &mut GuestMemory,
) -> Result<Ramdisk, LoadError> {
    let top = memory.bytes().min(header.ramdisk_end());
    let start = top
        .checked_sub(bytes.len() as u64)
        .map(|start| start & !(PAGE - 1))
        .filter(|start| *start >= lowest)
        .ok_or(LoadError::NoRoom)?;
    memory.write(Gpa(start), bytes).ok_or(LoadError::NoRoom)?;
    Ok(Ramdisk {
        start: start as u32,
        bytes: bytes.len() as u32,
    })
}

fn place_command_line(
    line: &str,
    header: &Header,
    memory: &mut GuestMemory,
) -> Result<(), LoadError> {
    let room = (at::PAGE_TABLES - at::COMMAND_LINE - 1) as usize;
    let most = header.command_line_most().min(room);
    if line.len() > most {
        return Err(LoadError::LongCommandLine {
            has: line.len(),
            most,
        });
    }
    let end = at::COMMAND_LINE + line.len() as u64 + 1;
    place(memory, at::COMMAND_LINE, line.as_bytes(), end)
}

const _: () = assert!(tables::TABLES_END <= ONE_MIB);

#[cfg(test)]
mod tests;
