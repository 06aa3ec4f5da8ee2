//! The Multiboot 1 information block: a struct with a flag for each group of fields.
//!
//! Follows the Multiboot Specification 0.6.96, 3.3.

use heapless::String;

use super::{BootInfo, BootInfoError, Display, MAX_MODULES, Region, display, string};
use crate::host::bytes::Bytes;
use crate::host::span::Span;

/// EAX when the loader enters.
pub const MAGIC: u32 = 0x2BAD_B002;

pub const FLAG_MEMORY: u32 = 1 << 0;
pub const FLAG_COMMAND_LINE: u32 = 1 << 2;
pub const FLAG_MODULES: u32 = 1 << 3;
pub const FLAG_MEMORY_MAP: u32 = 1 << 6;
pub const FLAG_FRAMEBUFFER: u32 = 1 << 12;

const INFO_BYTES: u64 = 116;
const MODULE_BYTES: u64 = 16;
/// The least a memory-map entry says of itself: base, length and type.
const REGION_BYTES: u32 = 20;

/// Reads the block at `info`.
pub fn read(
    boot: &mut BootInfo,
    source: &Bytes<impl Fn(u64) -> Option<u8>>,
    info: u64,
) -> Result<(), BootInfoError> {
    let flags = source.u32(info, 0)?;
    boot.occupy(info, INFO_BYTES);
    if flags & FLAG_COMMAND_LINE != 0 {
        let at = u64::from(source.u32(info, 16)?);
        boot.command_line = string(source, at)?;
        boot.occupy(at, boot.command_line.len() as u64 + 1);
    }
    if flags & FLAG_MODULES != 0 {
        let (count, list) = (source.u32(info, 20)?, source.u32(info, 24)?);
        read_modules(boot, source, count, u64::from(list))?;
    }
    if flags & FLAG_MEMORY_MAP != 0 {
        let (bytes, map) = (source.u32(info, 44)?, source.u32(info, 48)?);
        read_memory_map(boot, source, u64::from(bytes), u64::from(map))?;
    } else if flags & FLAG_MEMORY != 0 {
        boot.add_sizes(source.u32(info, 4)?, source.u32(info, 8)?)?;
    } else {
        return Err(BootInfoError::NoMemoryMap);
    }
    // A loader that says nothing of the screen runs on a BIOS, which starts in text mode.
    boot.display = if flags & FLAG_FRAMEBUFFER != 0 {
        display(source, info.saturating_add(88), info.saturating_add(110))?
    } else {
        Display::Text
    };
    Ok(())
}

fn read_modules(
    boot: &mut BootInfo,
    source: &Bytes<impl Fn(u64) -> Option<u8>>,
    count: u32,
    list: u64,
) -> Result<(), BootInfoError> {
    if count as usize > MAX_MODULES {
        return Err(BootInfoError::TooManyModules(count));
    }
    boot.occupy(list, u64::from(count) * MODULE_BYTES);
    for number in 0..count {
        let entry = list + u64::from(number) * MODULE_BYTES;
        let (start, end) = (source.u32(entry, 0)?, source.u32(entry, 4)?);
        let text = match source.u32(entry, 8)? {
            0 => String::new(),
            at => {
                let text = string(source, u64::from(at))?;
                boot.occupy(u64::from(at), text.len() as u64 + 1);
                text
            }
        };
        boot.add_module(number, start, end, text)?;
    }
    Ok(())
}

fn read_memory_map(
    boot: &mut BootInfo,
    source: &Bytes<impl Fn(u64) -> Option<u8>>,
    bytes: u64,
    map: u64,
) -> Result<(), BootInfoError> {
    boot.occupy(map, bytes);
    let mut at = map;
    // Each entry is preceded by its size, which does not count itself.
    while at < map + bytes {
        let size = source.u32(at, 0)?;
        if size < REGION_BYTES {
            return Err(BootInfoError::ShortRegion(at));
        }
        let span = Span::sized(source.u64(at, 4)?, source.u64(at, 12)?);
        let usable = source.u32(at, 20)? == 1;
        boot.add_region(Region { span, usable })?;
        at += u64::from(size) + 4;
    }
    Ok(())
}
