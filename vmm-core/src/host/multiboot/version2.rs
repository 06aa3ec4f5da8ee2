//! The Multiboot 2 information block: a list of tags, all in one place.
//!
//! Follows the Multiboot2 Specification 2.0, 3.6.

use super::{BootInfo, BootInfoError, Region, display, string};
use crate::host::bytes::Bytes;
use crate::host::span::Span;

/// EAX when the loader enters.
pub const MAGIC: u32 = 0x36D7_6289;

pub const END: u32 = 0;
pub const COMMAND_LINE: u32 = 1;
pub const MODULE: u32 = 3;
pub const MEMORY_SIZES: u32 = 4;
pub const MEMORY_MAP: u32 = 6;
pub const FRAMEBUFFER: u32 = 8;
pub const ACPI_OLD: u32 = 14;
pub const ACPI_NEW: u32 = 15;

/// Bytes before the first tag.
const FIRST_TAG: u64 = 8;
/// Type and size, with which each tag begins.
const TAG_HEADER: u32 = 8;
/// The least a memory-map entry says of itself: base, length and type.
const REGION_BYTES: u32 = 20;
/// More than any loader has to tell.
const MOST_BYTES: u32 = 1 << 20;

/// Reads the block at `info`.
pub fn read(
    boot: &mut BootInfo,
    source: &Bytes<impl Fn(u64) -> Option<u8>>,
    info: u64,
) -> Result<(), BootInfoError> {
    let bytes = source.u32(info, 0)?;
    if bytes > MOST_BYTES {
        return Err(BootInfoError::BadLength(bytes));
    }
    let end = info.saturating_add(u64::from(bytes));
    boot.occupy(info, u64::from(bytes));
    let mut sizes = None;
    let mut old_root = None;
    let mut at = info.saturating_add(FIRST_TAG);
    while at < end {
        let (kind, size) = (source.u32(at, 0)?, source.u32(at, 4)?);
        if kind == END {
            break;
        }
        if size < TAG_HEADER || size > bytes {
            return Err(BootInfoError::BadLength(size));
        }
        match kind {
            COMMAND_LINE => boot.command_line = string(source, at.saturating_add(8))?,
            MODULE => {
                let number = boot.modules.len() as u32;
                let (first, last) = (source.u32(at, 8)?, source.u32(at, 12)?);
                let text = string(source, at.saturating_add(16))?;
                boot.add_module(number, first, last, text)?;
            }
            MEMORY_SIZES => sizes = Some((source.u32(at, 8)?, source.u32(at, 12)?)),
            MEMORY_MAP => read_memory_map(boot, source, at, size)?,
            FRAMEBUFFER => {
                boot.display = display(source, at.saturating_add(8), at.saturating_add(32))?;
            }
            ACPI_OLD => old_root = Some(at.saturating_add(8)),
            ACPI_NEW => boot.acpi_root = Some(at.saturating_add(8)),
            _ => {}
        }
        at = at.saturating_add(u64::from(size).next_multiple_of(8));
    }
    boot.acpi_root = boot.acpi_root.or(old_root);
    if boot.memory.is_empty() {
        let (lower, upper) = sizes.ok_or(BootInfoError::NoMemoryMap)?;
        boot.add_sizes(lower, upper)?;
    }
    Ok(())
}

/// Reads the memory map whose tag, of `size` bytes, is at `tag`.
fn read_memory_map(
    boot: &mut BootInfo,
    source: &Bytes<impl Fn(u64) -> Option<u8>>,
    tag: u64,
    size: u32,
) -> Result<(), BootInfoError> {
    let step = source.u32(tag, 8)?;
    if step < REGION_BYTES {
        return Err(BootInfoError::ShortRegion(tag.saturating_add(16)));
    }
    let end = tag.saturating_add(u64::from(size));
    let mut at = tag.saturating_add(16);
    while at.saturating_add(u64::from(step)) <= end && at < end {
        let span = Span::sized(source.u64(at, 0)?, source.u64(at, 8)?);
        let usable = source.u32(at, 16)? == 1;
        boot.add_region(Region { span, usable })?;
        at = at.saturating_add(u64::from(step));
    }
    Ok(())
}
