//! What the boot loader tells: a Multiboot information block, read once into [`BootInfo`].
//!
//! The block is read through a closure, one byte at a time, and nothing in it is believed: a
//! broken one is an error, never a fault. How a block looks is in `version1` and `version2`.

mod version1;
mod version2;

use core::fmt;

use heapless::{String, Vec};

use super::bytes::{Bytes, Unreadable};
use super::screen::{COLUMNS, ROWS};
use super::span::Span;
use crate::addr::PAGE;

/// Memory-map entries that [`BootInfo`] can hold.
pub const MAX_REGIONS: usize = 128;
/// Modules that [`BootInfo`] can hold.
pub const MAX_MODULES: usize = 72;
/// Bytes of the VMM's command line.
pub const MAX_COMMAND_LINE: usize = 512;
/// Bytes of a module's string.
pub const MAX_MODULE_STRING: usize = 256;

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

/// What the boot loader left on the screen's wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Display {
    /// Nothing that characters can be shown on.
    #[default]
    None,
    /// The VGA in text mode, 80 by 25 characters or more rows, at its usual place.
    Text,
    /// Pixels.
    Pixels(Pixels),
}

/// A framebuffer with direct colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// The physical address of the upper left pixel.
    pub address: u64,
    /// Bytes from one row to the next.
    pub pitch: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bits of a pixel.
    pub depth: u8,
    /// Where red, green and blue are in a pixel: the lowest bit, and how many there are.
    pub colours: [(u8, u8); 3],
}

impl Pixels {
    /// The memory it takes.
    pub const fn span(&self) -> Span {
        Span::sized(self.address, self.pitch as u64 * self.height as u64)
    }
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
    /// What characters can be shown on.
    pub display: Display,
    /// Where the boot loader keeps a copy of the ACPI root pointer, if it does.
    pub acpi_root: Option<u64>,
    /// Where the block and what it points to lay, the modules' bytes apart.
    pub occupied: Vec<Span, { MAX_MODULES + 4 }>,
}

/// Why a Multiboot information block cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootInfoError {
    /// EAX held this instead of the magic number.
    NotMultiboot(u32),
    /// The block says that it is this many bytes long.
    BadLength(u32),
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
                "not started by a Multiboot boot loader: EAX was {magic:#x}, neither {:#x} nor {:#x}",
                version1::MAGIC,
                version2::MAGIC
            ),
            Self::BadLength(bytes) => write!(
                f,
                "the boot loader's information says it is {bytes} bytes long, which cannot be"
            ),
            Self::Unreadable(at) => write!(
                f,
                "the boot loader's information points to {at:#x}, which cannot be read"
            ),
            Self::NoMemoryMap => write!(f, "the boot loader tells nothing about memory"),
            Self::ShortRegion(at) => write!(
                f,
                "the memory-map entry at {at:#x} is shorter than its fields"
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

impl From<Unreadable> for BootInfoError {
    fn from(at: Unreadable) -> Self {
        Self::Unreadable(at.0)
    }
}

impl BootInfo {
    /// Reads the block at `info` into what is still empty. `magic` is what EAX held; `byte` gives the byte at a physical
    /// address, or `None` where there is none to read.
    pub fn read(
        &mut self,
        magic: u32,
        info: u64,
        byte: impl Fn(u64) -> Option<u8>,
    ) -> Result<(), BootInfoError> {
        let source = Bytes(byte);
        match magic {
            version1::MAGIC => version1::read(self, &source, info),
            version2::MAGIC => version2::read(self, &source, info),
            _ => Err(BootInfoError::NotMultiboot(magic)),
        }
    }

    fn add_region(&mut self, region: Region) -> Result<(), BootInfoError> {
        if region.span.is_empty() {
            return Ok(());
        }
        // Firmware for UEFI tells of neighbours that differ in nothing but their use by then.
        if let Some(last) = self.memory.last_mut()
            && last.usable == region.usable
            && last.span.end == region.span.start
        {
            last.span.end = region.span.end;
            return Ok(());
        }
        self.memory
            .push(region)
            .map_err(|_| BootInfoError::TooManyRegions)
    }

    /// The two sizes that a loader tells when it has no map: KiB below 1 MiB, and above.
    fn add_sizes(&mut self, lower_kib: u32, upper_kib: u32) -> Result<(), BootInfoError> {
        for (start, kib) in [(0, lower_kib), (1 << 20, upper_kib)] {
            self.add_region(Region {
                span: Span::sized(start, u64::from(kib) << 10),
                usable: true,
            })?;
        }
        Ok(())
    }

    /// Adds the module of number `number`, which lies at `start..end`.
    fn add_module(
        &mut self,
        number: u32,
        start: u32,
        end: u32,
        string: String<MAX_MODULE_STRING>,
    ) -> Result<(), BootInfoError> {
        let span = if start == end {
            // An empty one is nowhere; GRUB says in page 0.
            Span::sized(PAGE, 0)
        } else if end < start || u64::from(start) < PAGE {
            return Err(BootInfoError::BadModule(number));
        } else {
            Span::new(u64::from(start), u64::from(end))
        };
        self.modules
            .push(Module { span, string })
            .map_err(|_| BootInfoError::TooManyModules(number.saturating_add(1)))
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
    pub fn ram(&self) -> impl Iterator<Item = Span> + Clone {
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

/// The string at `at`.
fn string<const N: usize>(
    source: &Bytes<impl Fn(u64) -> Option<u8>>,
    at: u64,
) -> Result<String<N>, BootInfoError> {
    source.string(at)?.ok_or(BootInfoError::LongString(at, N))
}

/// What a framebuffer's description comes to, in either version: `at` is its address field,
/// and `colours` where red, green and blue are described.
fn display(
    source: &Bytes<impl Fn(u64) -> Option<u8>>,
    at: u64,
    colours: u64,
) -> Result<Display, BootInfoError> {
    const DIRECT: u8 = 1;
    const TEXT: u8 = 2;
    let (width, height) = (source.u32(at, 12)?, source.u32(at, 16)?);
    Ok(match source.u8(at, 21)? {
        DIRECT => {
            let [red, red_bits, green, green_bits, blue, blue_bits] = source.array(colours, 0)?;
            Display::Pixels(Pixels {
                address: source.u64(at, 0)?,
                pitch: source.u32(at, 8)?,
                width,
                height,
                depth: source.u8(at, 20)?,
                colours: [(red, red_bits), (green, green_bits), (blue, blue_bits)],
            })
        }
        TEXT if width == COLUMNS as u32 && height >= ROWS as u32 => Display::Text,
        _ => Display::None,
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests2;
