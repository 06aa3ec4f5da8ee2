//! The VMM's own page tables: all of memory one to one, and no page both writable and executable.
//!
//! [`Plan`] decides what each address is; [`build`] writes it down as tables; [`install`] hands
//! them to the CPU. Follows APM volume 2, 5.3 (long-mode translation) and 5.6 (protection).

use core::arch::asm;
use core::fmt;

use heapless::Vec;
use x86_64::registers::control::Cr3;
use x86_64::registers::model_specific::Msr;

use super::span::Span;
use crate::addr::{Hpa, PAGE};

/// Below this, what is no RAM may be a device (memory-mapped I/O, the VGA window).
pub const DEVICE_TOP: u64 = 4 << 30;

/// Layers that a [`Plan`] holds: the memory map, the image's parts, and guard pages.
const MAX_LAYERS: usize = 288;
const ENTRIES: usize = 512;
/// Page-map level 4: the root.
const ROOT_LEVEL: u32 = 4;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
const LARGE: u64 = 1 << 7;
/// With PCD and PWT clear: entry 4 of the page attribute table.
const PAT: u64 = 1 << 7;
const PAT_OF_LARGE: u64 = 1 << 12;
const GLOBAL: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;
/// The page attribute table (APM volume 2, 7.8), an entry a byte.
const PAT_REGISTER: u32 = 0x277;
/// Its entries as they are after reset, whatever the firmware made of them: the first is
/// write-back (memory), the fourth uncacheable even where an MTRR says otherwise (devices). The
/// fifth is write-combining (pixels).
const ATTRIBUTES: u64 = 0x0007_0401_0007_0406;
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;

/// What a stretch of memory is to the VMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: an access faults. Guard pages, and page 0 for null pointers.
    Unmapped,
    /// Machine code: read and execute.
    Code,
    /// Constants: read.
    Constants,
    /// Memory: read and write.
    Memory,
    /// Device registers: read and write, uncached.
    Device,
    /// A framebuffer: read and write; writes are gathered on their way to it.
    Pixels,
}

impl Kind {
    /// The bits of a leaf entry of a table of `level`; `None` where there is to be no entry.
    const fn leaf(self, level: u32) -> Option<u64> {
        let (large, pat) = if level > 1 {
            (LARGE, PAT_OF_LARGE)
        } else {
            (0, PAT)
        };
        let bits = match self {
            Self::Unmapped => return None,
            Self::Code => PRESENT | GLOBAL,
            Self::Constants => PRESENT | GLOBAL | NO_EXECUTE,
            Self::Memory => PRESENT | GLOBAL | NO_EXECUTE | WRITABLE,
            Self::Device => {
                PRESENT | GLOBAL | NO_EXECUTE | WRITABLE | WRITE_THROUGH | CACHE_DISABLE
            }
            Self::Pixels => PRESENT | GLOBAL | NO_EXECUTE | WRITABLE | pat,
        };
        Some(bits | large)
    }
}

/// Where the parts of the VMM's image lie; each is whole pages.
#[derive(Clone, Copy, Debug)]
pub struct ImageLayout {
    /// Machine code.
    pub text: Span,
    /// Constants, the linked guest images among them.
    pub rodata: Span,
    /// Variables, the boot stack among them.
    pub data: Span,
    /// The page below the boot stack.
    pub stack_guard: Span,
    /// Among the constants, the names of the functions (`host::backtrace`).
    pub symbols: Span,
}

impl ImageLayout {
    /// All of the image.
    pub fn whole(&self) -> Span {
        Span {
            start: self.text.start,
            end: self.data.end,
        }
    }
}

/// What each address is, as layers: a later one hides an earlier one.
#[derive(Debug, Default)]
pub struct Plan {
    layers: Vec<(Span, Kind), MAX_LAYERS>,
}

/// Why the page tables cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagingError {
    /// The memory map is in more pieces than a plan holds.
    TooManyLayers,
    /// No memory for a table.
    OutOfMemory,
}

impl fmt::Display for PagingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooManyLayers => "the memory map is in too many pieces for the page tables",
            Self::OutOfMemory => "there is no memory left for the VMM's page tables",
        })
    }
}

impl Plan {
    /// The VMM's address space: RAM cached, devices below 4 GiB not, the image by its parts,
    /// and nothing at page 0, at the guards and where there is no memory.
    pub fn new(
        ram: impl IntoIterator<Item = Span>,
        reserved: impl IntoIterator<Item = Span>,
        image: &ImageLayout,
        guards: impl IntoIterator<Item = Span>,
    ) -> Result<Self, PagingError> {
        let devices = Span::new(0, DEVICE_TOP);
        let mut plan = Self::default();
        plan.add(devices, Kind::Device)?;
        for span in ram {
            plan.add(span.pages_inside(), Kind::Memory)?;
        }
        for span in reserved {
            let span = span.pages_touched();
            plan.add(span, Kind::Unmapped)?;
            plan.add(span.intersection(devices), Kind::Device)?;
        }
        plan.add(image.text, Kind::Code)?;
        plan.add(image.rodata, Kind::Constants)?;
        plan.add(image.data, Kind::Memory)?;
        plan.add(image.stack_guard, Kind::Unmapped)?;
        for guard in guards {
            plan.add(guard, Kind::Unmapped)?;
        }
        plan.add(Span::new(0, PAGE), Kind::Unmapped)?;
        Ok(plan)
    }

    /// Makes `span` a framebuffer, wherever it is.
    pub fn add_pixels(&mut self, span: Span) -> Result<(), PagingError> {
        self.add(span.pages_touched(), Kind::Pixels)
    }

    fn add(&mut self, span: Span, kind: Kind) -> Result<(), PagingError> {
        if span.is_empty() {
            return Ok(());
        }
        self.layers
            .push((span, kind))
            .map_err(|_| PagingError::TooManyLayers)
    }

    /// The end of the highest stretch with a meaning.
    fn end(&self) -> Hpa {
        self.layers
            .iter()
            .map(|(span, _)| span.end)
            .max()
            .unwrap_or_default()
    }

    /// What all of `span` is; `None` when it is not all the same.
    fn uniform(&self, span: Span) -> Option<Kind> {
        let mut kind = Kind::Unmapped;
        let mut whole = true;
        for &(layer, meaning) in &self.layers {
            if layer.contains(span) {
                (kind, whole) = (meaning, true);
            } else if layer.overlaps(span) && meaning != kind {
                whole = false;
            }
        }
        whole.then_some(kind)
    }
}

/// Memory for page tables.
pub trait Tables {
    /// A table of 512 zeroed entries; `None` when there is no memory left.
    fn allocate(&mut self) -> Option<Hpa>;
    /// Writes entry `index` of `table`.
    fn write(&mut self, table: Hpa, index: usize, entry: u64);
}

/// Writes `plan` into new tables, with the largest pages that fit (1 GiB ones if
/// `gigabyte_pages`), and returns the root for CR3.
pub fn build(
    plan: &Plan,
    tables: &mut impl Tables,
    gigabyte_pages: bool,
) -> Result<Hpa, PagingError> {
    let root = tables.allocate().ok_or(PagingError::OutOfMemory)?;
    let largest = if gigabyte_pages { 3 } else { 2 };
    fill(plan, tables, largest, root, ROOT_LEVEL, 0)?;
    Ok(root)
}

/// Fills `table`, whose entries are of `level` and cover addresses from `base` on.
fn fill(
    plan: &Plan,
    tables: &mut impl Tables,
    largest: u32,
    table: Hpa,
    level: u32,
    base: u64,
) -> Result<(), PagingError> {
    let bytes = entry_bytes(level);
    for index in 0..ENTRIES {
        let start = base + index as u64 * bytes;
        if start >= plan.end().0 {
            break;
        }
        match plan.uniform(Span::sized(start, bytes)) {
            Some(Kind::Unmapped) => {}
            Some(kind) if level <= largest => {
                if let Some(leaf) = kind.leaf(level) {
                    tables.write(table, index, start | leaf);
                }
            }
            _ => {
                let child = tables.allocate().ok_or(PagingError::OutOfMemory)?;
                tables.write(table, index, child.0 | PRESENT | WRITABLE);
                fill(plan, tables, largest, child, level - 1, start)?;
            }
        }
    }
    Ok(())
}

/// Bytes that one entry of a table of `level` covers: 4 KiB at level 1.
const fn entry_bytes(level: u32) -> u64 {
    PAGE << (9 * (level - 1))
}

/// The leaf entry for `address` in the tables under `root`, and how many bytes it maps; `None`
/// where nothing is mapped. `read` gives an entry of a table.
fn walk(root: Hpa, address: u64, read: impl Fn(Hpa, usize) -> u64) -> Option<(u64, u64)> {
    let mut table = root;
    for level in (1..=ROOT_LEVEL).rev() {
        let bytes = entry_bytes(level);
        let entry = read(table, (address / bytes) as usize % ENTRIES);
        if entry & PRESENT == 0 {
            return None;
        }
        if level == 1 || entry & LARGE != 0 {
            return Some((entry, bytes));
        }
        table = Hpa(entry & ADDRESS);
    }
    None
}

/// Makes the CPU translate by the tables under `root`, entry 4 of its page attribute table being
/// write-combining; all others stay.
///
/// # Safety
/// The tables map the running code, its stack and all memory in use as the code needs them, and
/// EFER.NXE is set.
pub unsafe fn install(root: Hpa) {
    // SAFETY: every CPU with long mode has the register, and memory and devices stay what they
    // are with the entries of reset, which the boot loader's tables had; the caller vouches for
    // the tables.
    unsafe {
        Msr::new(PAT_REGISTER).write(ATTRIBUTES);
        asm!("mov cr3, {}", in(reg) root.0, options(nostack, preserves_flags));
    }
}

/// Whether the VMM's tables map `address`: so that a report about a broken machine does not
/// break it further.
pub fn is_mapped(address: u64) -> bool {
    let root = Hpa(Cr3::read_raw().0.start_address().as_u64());
    walk(root, address, |table, index| {
        let entry = (table.0 as *const u64).wrapping_add(index);
        // SAFETY: `table` is a table in use by the CPU, mapped one to one, and `index` is below
        // 512.
        unsafe { entry.read_volatile() }
    })
    .is_some()
}

#[cfg(test)]
mod tests;
