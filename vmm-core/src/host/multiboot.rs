//! What the boot loader tells: the Multiboot 1 information block, read once into [`BootInfo`].
//!
//! The block is read through a closure, one byte at a time, and nothing in it is believed: a
//! broken one is an error, never a fault. Follows the Multiboot Specification 0.6.96, 3.3.

use core::fmt;

use heapless::{String, Vec};

use super::span::Span;

/// EAX when a Multiboot 1 loader enters.
pub const LOADER_MAGIC: u32 = 0x2BAD_B002;
/// Memory-map entries that [`BootInfo`] can hold.
pub const MAX_REGIONS: usize = 128;
/// Modules that [`BootInfo`] can hold.
pub const MAX_MODULES: usize = 16;
/// Bytes of the VMM's command line.
pub const MAX_COMMAND_LINE: usize = 512;
/// Bytes of a module's string.
pub const MAX_MODULE_STRING: usize = 256;

const FLAG_MEMORY: u32 = 1 << 0;
const FLAG_COMMAND_LINE: u32 = 1 << 2;
const FLAG_MODULES: u32 = 1 << 3;
const FLAG_MEMORY_MAP: u32 = 1 << 6;

const INFO_BYTES: u64 = 116;
const MODULE_BYTES: u64 = 16;
/// The least a memory-map entry says of itself: base, length and type.
const REGION_BYTES: u32 = 20;

/// What firmware says of a stretch of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Where it is; as the firmware gives it, so neither page-aligned nor free of overlaps.
    pub span: Span,
    /// Whether it is RAM for whoever runs (type 1). Everything else is to be left alone.
    pub usable: bool,
}

/// A file that the boot loader put into memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its bytes.
    pub span: Span,
    /// Its string: by custom the file's name, then words.
    pub string: String<MAX_MODULE_STRING>,
}

/// Everything the VMM wants to know from the boot loader, copied out of its hands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootInfo {
    /// The VMM's own command line; empty when there is none.
    pub command_line: String<MAX_COMMAND_LINE>,
    /// The firmware's memory map, in its order.
    pub memory: Vec<Region, MAX_REGIONS>,
    /// The modules, in the boot loader's order.
    pub modules: Vec<Module, MAX_MODULES>,
    /// Where the block and what it points to lay, the modules' bytes apart.
    pub occupied: Vec<Span, { MAX_MODULES + 4 }>,
}

/// Why a Multiboot information block cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootInfoError {
    /// EAX held this instead of the magic number.
    NotMultiboot(u32),
    /// The block, or something it points to, is not in readable memory.
    Unreadable(u64),
    /// Neither a memory map nor a memory size.
    NoMemoryMap,
    /// The memory-map entry at this address is shorter than its fields.
    ShortRegion(u64),
    /// More than [`MAX_REGIONS`] memory-map entries.
    TooManyRegions,
    /// More than [`MAX_MODULES`] modules; how many there are.
    TooManyModules(u32),
    /// The module of this number ends before it starts, or lies in page 0.
    BadModule(u32),
    /// The string at this address is longer than this many bytes.
    LongString(u64, usize),
}

impl fmt::Display for BootInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotMultiboot(magic) => write!(
                f,
                "not started by a Multiboot 1 boot loader: EAX was {magic:#x}, not {LOADER_MAGIC:#x}"
            ),
            Self::Unreadable(at) => write!(
                f,
                "the boot loader's information points to {at:#x}, which cannot be read"
            ),
            Self::NoMemoryMap => write!(f, "the boot loader tells nothing about memory"),
            Self::ShortRegion(at) => write!(
                f,
                "the memory-map entry at {at:#x} is shorter than {REGION_BYTES} bytes"
            ),
            Self::TooManyRegions => {
                write!(f, "the memory map has more than {MAX_REGIONS} entries")
            }
            Self::TooManyModules(count) => {
                write!(f, "{count} modules were loaded; {MAX_MODULES} is the most")
            }
            Self::BadModule(number) => write!(
                f,
                "module {number} has no usable place: it ends before it starts, or lies in page 0"
            ),
            Self::LongString(at, most) => {
                write!(
                    f,
                    "the boot loader's string at {at:#x} is longer than {most} bytes"
                )
            }
        }
    }
}

impl BootInfo {
    /// Reads the block at `info`. `magic` is what EAX held; `byte` gives the byte at a physical
    /// address, or `None` where there is none to read.
    pub fn read(
        magic: u32,
        info: u64,
        byte: impl Fn(u64) -> Option<u8>,
    ) -> Result<Self, BootInfoError> {
        if magic != LOADER_MAGIC {
            return Err(BootInfoError::NotMultiboot(magic));
        }
        let source = Source(byte);
        let flags = source.u32(info, 0)?;
        let mut boot = Self::default();
        boot.occupy(info, INFO_BYTES);
        if flags & FLAG_COMMAND_LINE != 0 {
            let at = u64::from(source.u32(info, 16)?);
            boot.command_line = source.string(at)?;
            boot.occupy(at, boot.command_line.len() as u64 + 1);
        }
        if flags & FLAG_MODULES != 0 {
            let (count, list) = (source.u32(info, 20)?, source.u32(info, 24)?);
            boot.read_modules(&source, count, u64::from(list))?;
        }
        if flags & FLAG_MEMORY_MAP != 0 {
            let (bytes, map) = (source.u32(info, 44)?, source.u32(info, 48)?);
            boot.read_memory_map(&source, u64::from(bytes), u64::from(map))?;
        } else if flags & FLAG_MEMORY != 0 {
            let kib = |at| source.u32(info, at).map(|kib| u64::from(kib) << 10);
            boot.add_region(Region {
                span: Span::sized(0, kib(4)?),
                usable: true,
            })?;
            boot.add_region(Region {
                span: Span::sized(1 << 20, kib(8)?),
                usable: true,
            })?;
        } else {
            return Err(BootInfoError::NoMemoryMap);
        }
        Ok(boot)
    }

    fn read_modules(
        &mut self,
        source: &Source<impl Fn(u64) -> Option<u8>>,
        count: u32,
        list: u64,
    ) -> Result<(), BootInfoError> {
        if count as usize > MAX_MODULES {
            return Err(BootInfoError::TooManyModules(count));
        }
        self.occupy(list, u64::from(count) * MODULE_BYTES);
        for number in 0..count {
            let entry = list + u64::from(number) * MODULE_BYTES;
            let (start, end) = (source.u32(entry, 0)?, source.u32(entry, 4)?);
            if end < start || start < 0x1000 {
                return Err(BootInfoError::BadModule(number));
            }
            let string = match source.u32(entry, 8)? {
                0 => String::new(),
                at => {
                    let string: String<MAX_MODULE_STRING> = source.string(u64::from(at))?;
                    self.occupy(u64::from(at), string.len() as u64 + 1);
                    string
                }
            };
            let span = Span::new(u64::from(start), u64::from(end));
            self.modules
                .push(Module { span, string })
                .map_err(|_| BootInfoError::TooManyModules(count))?;
        }
        Ok(())
    }

    fn read_memory_map(
        &mut self,
        source: &Source<impl Fn(u64) -> Option<u8>>,
        bytes: u64,
        map: u64,
    ) -> Result<(), BootInfoError> {
        self.occupy(map, bytes);
        let mut at = map;
        // Each entry is preceded by its size, which does not count itself.
        while at < map + bytes {
            let size = source.u32(at, 0)?;
            if size < REGION_BYTES {
                return Err(BootInfoError::ShortRegion(at));
            }
            let span = Span::sized(source.u64(at, 4)?, source.u64(at, 12)?);
            let usable = source.u32(at, 20)? == 1;
            self.add_region(Region { span, usable })?;
            at += u64::from(size) + 4;
        }
        Ok(())
    }

    fn add_region(&mut self, region: Region) -> Result<(), BootInfoError> {
        if region.span.is_empty() {
            return Ok(());
        }
        self.memory
            .push(region)
            .map_err(|_| BootInfoError::TooManyRegions)
    }

    /// Notes that the boot loader's data lie at `start`. There is room for every part that
    /// [`MAX_MODULES`] modules can have, so the push cannot fail.
    fn occupy(&mut self, start: u64, bytes: u64) {
        let fits = self.occupied.push(Span::sized(start, bytes)).is_ok();
        debug_assert!(
            fits,
            "one span for the block, map, list and command line, and one a module"
        );
    }

    /// The stretches that are RAM for whoever runs.
    pub fn ram(&self) -> impl Iterator<Item = Span> {
        self.memory
            .iter()
            .filter(|region| region.usable)
            .map(|region| region.span)
    }

    /// The stretches that firmware wants left alone. Where one overlaps RAM, it prevails.
    pub fn reserved(&self) -> impl Iterator<Item = Span> {
        self.memory
            .iter()
            .filter(|region| !region.usable)
            .map(|region| region.span)
    }
}

/// Physical memory by bytes, and little-endian numbers out of it.
struct Source<F>(F);

impl<F: Fn(u64) -> Option<u8>> Source<F> {
    fn bytes<const N: usize>(&self, base: u64, offset: u64) -> Result<[u8; N], BootInfoError> {
        let mut bytes = [0; N];
        for (index, slot) in bytes.iter_mut().enumerate() {
            let at = base.saturating_add(offset).saturating_add(index as u64);
            *slot = (self.0)(at).ok_or(BootInfoError::Unreadable(at))?;
        }
        Ok(bytes)
    }

    fn u32(&self, base: u64, offset: u64) -> Result<u32, BootInfoError> {
        self.bytes(base, offset).map(u32::from_le_bytes)
    }

    fn u64(&self, base: u64, offset: u64) -> Result<u64, BootInfoError> {
        self.bytes(base, offset).map(u64::from_le_bytes)
    }

    /// The string at `at` up to its NUL; a byte that is not ASCII becomes a question mark.
    fn string<const N: usize>(&self, at: u64) -> Result<String<N>, BootInfoError> {
        let mut text = String::new();
        for offset in 0.. {
            let [byte] = self.bytes(at, offset)?;
            if byte == 0 {
                break;
            }
            let character = if byte.is_ascii() {
                char::from(byte)
            } else {
                '?'
            };
            text.push(character)
                .map_err(|_| BootInfoError::LongString(at, N))?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
