//! The walk of a guest's tables as its CPU does it: with rights, reserved bits, and accessed
//! and dirty bits set on the way (APM 5.2 to 5.6, 8.4.2).

use super::mode::{Kind, Mode};
use crate::addr::Gpa;
use crate::vm::memory::GuestMemory;
use crate::vm::walk::PageFault;

pub(super) const PRESENT: u64 = 1 << 0;
pub(super) const WRITABLE: u64 = 1 << 1;
pub(super) const USER: u64 = 1 << 2;
pub(super) const ACCESSED: u64 = 1 << 5;
pub(super) const DIRTY: u64 = 1 << 6;
pub(super) const LARGE: u64 = 1 << 7;
pub(super) const GLOBAL: u64 = 1 << 8;
pub(super) const NO_EXECUTE: u64 = 1 << 63;
pub(super) const FRAME: u64 = 0x000f_ffff_ffff_f000;

const ERROR_PRESENT: u32 = 1 << 0;
const ERROR_WRITE: u32 = 1 << 1;
const ERROR_USER: u32 = 1 << 2;
const ERROR_RESERVED: u32 = 1 << 3;
const ERROR_FETCH: u32 = 1 << 4;

/// What the guest did, as the error code of its page fault tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// A write.
    pub write: bool,
    /// By CPL 3, and not to a system table.
    pub user: bool,
    /// An instruction fetch.
    pub fetch: bool,
}

impl Access {
    /// From the error code that the CPU gave.
    pub fn of(error: u32) -> Access {
        Access {
            write: error & ERROR_WRITE != 0,
            user: error & ERROR_USER != 0,
            fetch: error & ERROR_FETCH != 0,
        }
    }
}

/// Why a walk found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest's own page fault.
    Fault(PageFault),
    /// A table, or the page itself, is not in guest memory.
    Outside {
        /// Where.
        gpa: Gpa,
        /// Whether a table would be there.
        is_table: bool,
    },
}

/// A walk that found a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The address.
    pub gpa: Gpa,
    /// The entry used at each level, with the bits that the walk set.
    pub entries: [u64; 5],
}

/// The guest's address translation: its tables, and how they are read.
#[derive(Clone, Copy, Debug)]
pub struct Paging {
    /// How.
    pub mode: Mode,
    /// CR3.
    pub cr3: u64,
    /// Bits of a physical address, 32 to 52.
    pub physical_bits: u32,
    /// Whether there are pages of 1 GiB.
    pub gigabyte: bool,
}

impl Paging {
    /// Walks to `linear`.
    ///
    /// # Errors
    /// The page fault that the guest has coming, or what of it lies outside its memory.
    pub fn walk(
        &self,
        memory: &mut GuestMemory,
        linear: u64,
        access: Access,
    ) -> Result<Walk, Stop> {
        // One copy of the code for each kind, in which most questions have been answered.
        match self.mode.kind {
            Kind::Unpaged => self.walk_as(Kind::Unpaged, memory, linear, access),
            Kind::TwoLevel => self.walk_as(Kind::TwoLevel, memory, linear, access),
            Kind::Pae => self.walk_as(Kind::Pae, memory, linear, access),
            Kind::Long => self.walk_as(Kind::Long, memory, linear, access),
        }
    }

    #[inline(always)]
    fn walk_as(
        &self,
        kind: Kind,
        memory: &mut GuestMemory,
        linear: u64,
        access: Access,
    ) -> Result<Walk, Stop> {
        let this = Paging {
            mode: Mode { kind, ..self.mode },
            ..*self
        };
        let mut entries = [0; 5];
        let (mut level, mut table) = match kind {
            Kind::Unpaged => {
                let gpa = Gpa(linear & 0xffff_ffff);
                return within(memory, gpa, entries);
            }
            Kind::TwoLevel => (2, self.cr3 & 0xffff_f000),
            Kind::Pae => (3, self.cr3 & 0xffff_ffe0),
            Kind::Long => (4, self.cr3 & FRAME),
        };
        let mut rights = WRITABLE | USER;
        loop {
            let place = this.place(table, linear, level);
            let outside = Stop::Outside {
                gpa: place,
                is_table: true,
            };
            let entry = read_entry(memory, this.mode.kind, place).ok_or(outside)?;
            if entry & PRESENT == 0 {
                return Err(this.fault(linear, access, 0));
            }
            if entry & this.reserved(level, entry) != 0 {
                return Err(this.fault(linear, access, ERROR_PRESENT | ERROR_RESERVED));
            }
            // The four pointers of PAE have no rights, and are not marked as accessed.
            let is_pointer = this.mode.kind == Kind::Pae && level == 3;
            if !is_pointer {
                rights = rights & (entry | !(WRITABLE | USER)) | entry & NO_EXECUTE;
            }
            let is_leaf = level == 1 || this.is_large(level, entry);
            if is_leaf && this.forbids(rights, access) {
                return Err(this.fault(linear, access, ERROR_PRESENT));
            }
            let marks = match (is_pointer, is_leaf && access.write) {
                (true, _) => 0,
                (false, false) => ACCESSED,
                (false, true) => ACCESSED | DIRTY,
            };
            let marked = entry | marks;
            if marked != entry {
                // All these marks are in the entry's first byte.
                memory.mark(place, marked as u8).ok_or(outside)?;
            }
            entries[level] = marked;
            if is_leaf {
                let span = this.span(level);
                let base = this.frame(level, entry) & !(span - 1);
                return within(memory, Gpa(base | linear & (span - 1)), entries);
            }
            table = entry & FRAME;
            level -= 1;
        }
    }

    /// Whether none of PAE's four pointers that are present has a reserved bit.
    pub(super) fn has_legal_pointers(&self, memory: &GuestMemory) -> bool {
        const POINTERS: usize = 3;
        (0..4u64).all(|index| {
            let place = Gpa((self.cr3 & 0xffff_ffe0) + 8 * index);
            memory.read_u64(place).is_none_or(|pointer| {
                pointer & PRESENT == 0 || pointer & self.reserved(POINTERS, pointer) == 0
            })
        })
    }

    /// Bytes that an entry of this level maps.
    #[inline(always)]
    fn span(&self, level: usize) -> u64 {
        match self.mode.kind {
            Kind::TwoLevel => 1 << (12 + 10 * (level - 1)),
            _ => 1 << (12 + 9 * (level - 1)),
        }
    }

    /// Where the entry of a table is that `linear` uses.
    #[inline(always)]
    fn place(&self, table: u64, linear: u64, level: usize) -> Gpa {
        Gpa(match self.mode.kind {
            Kind::TwoLevel => table + 4 * ((linear / self.span(level)) & 0x3ff),
            Kind::Pae if level == 3 => table + 8 * (linear >> 30 & 3),
            _ => table + 8 * ((linear / self.span(level)) & 0x1ff),
        })
    }

    /// Whether an entry maps a page although it is not of the last level.
    #[inline(always)]
    pub(super) fn is_large(&self, level: usize, entry: u64) -> bool {
        entry & LARGE != 0
            && match (self.mode.kind, level) {
                (Kind::TwoLevel, 2) => self.mode.large,
                (Kind::Pae | Kind::Long, 2) => true,
                (Kind::Long, 3) => self.gigabyte,
                _ => false,
            }
    }

    /// The physical address in an entry that maps a page.
    #[inline(always)]
    pub(super) fn frame(&self, level: usize, entry: u64) -> u64 {
        match (self.mode.kind, level) {
            // PSE-36: bits 20:13 are physical address bits 39:32.
            (Kind::TwoLevel, 2) => entry & 0xffc0_0000 | (entry >> 13 & 0xff) << 32,
            (Kind::TwoLevel, _) => entry & 0xffff_f000,
            _ => entry & FRAME,
        }
    }

    /// The bits that must be 0 in an entry of this level.
    #[inline(always)]
    pub(super) fn reserved(&self, level: usize, entry: u64) -> u64 {
        let kind = self.mode.kind;
        let is_large = self.is_large(level, entry);
        if kind == Kind::TwoLevel {
            return if is_large { 1 << 21 } else { 0 };
        }
        let beyond = FRAME & !((1 << self.physical_bits) - 1);
        let ignored_in_long = if kind == Kind::Pae { 0x7ff << 52 } else { 0 };
        let execute = if self.mode.no_execute { 0 } else { NO_EXECUTE };
        let shape = match (kind, level) {
            (Kind::Pae, 3) => 0x1e6 | NO_EXECUTE,
            (Kind::Long, 4) => LARGE | GLOBAL,
            (Kind::Long, 3) if !self.gigabyte => LARGE,
            // All but PAT between the flags and the page's own address.
            (_, 2 | 3) if is_large => (self.span(level) - 1) & !0x1fff,
            _ => 0,
        };
        beyond | ignored_in_long | execute | shape
    }

    #[inline(always)]
    fn forbids(&self, rights: u64, access: Access) -> bool {
        access.user && rights & USER == 0
            || access.write && rights & WRITABLE == 0 && (access.user || self.mode.write_protect)
            || access.fetch && rights & NO_EXECUTE != 0
    }

    fn fault(&self, linear: u64, access: Access, why: u32) -> Stop {
        let bit = |holds: bool, bit: u32| if holds { bit } else { 0 };
        Stop::Fault(PageFault {
            linear,
            error: why
                | bit(access.write, ERROR_WRITE)
                | bit(access.user, ERROR_USER)
                | bit(access.fetch && self.mode.no_execute, ERROR_FETCH),
        })
    }
}

/// An entry of a guest's table.
#[inline(always)]
pub(super) fn read_entry(memory: &GuestMemory, kind: Kind, place: Gpa) -> Option<u64> {
    if kind == Kind::TwoLevel {
        memory.read_u32(place).map(u64::from)
    } else {
        memory.read_u64(place)
    }
}

fn within(memory: &GuestMemory, gpa: Gpa, entries: [u64; 5]) -> Result<Walk, Stop> {
    if gpa.0 < memory.bytes() {
        Ok(Walk { gpa, entries })
    } else {
        Err(Stop::Outside {
            gpa,
            is_table: false,
        })
    }
}
