//! What a shadow table stands for, and which entries of the guest's its own come from.

use super::guest::{DIRTY, GLOBAL, LARGE, NO_EXECUTE};
use super::mode::{Kind, Mode};
use crate::addr::{Gpa, PAGE};

/// What a shadow table stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The guest frame that it mirrors, or that it begins to map.
    pub(super) frame: u32,
    /// 1: its entries map pages.
    pub(super) level: u8,
    /// It maps consecutive frames and mirrors nothing.
    pub(super) direct: bool,
    /// Which part of the guest's table, where that has more entries, or the table less.
    pub(super) part: u8,
    /// The rights of the levels above: WRITABLE, USER; of a large page DIRTY, and LARGE if it is
    /// global.
    pub(super) rights: u8,
    /// Whether code may not be executed, by the levels above.
    pub(super) no_execute: bool,
    /// How the guest's tables are read.
    pub(super) mode: Mode,
}

impl Key {
    /// Whether the table's entries come from entries of the guest's.
    pub(super) fn mirrors(&self) -> bool {
        !(self.direct || self.mode.kind == Kind::TwoLevel && self.level == 3)
    }

    /// The entry of the table that `linear` uses.
    #[inline(always)]
    pub(super) fn index(&self, linear: u64) -> u16 {
        let index = linear >> (12 + 9 * (u32::from(self.level) - 1));
        if self.level == 3 && self.mode.kind != Kind::Long {
            index as u16 & 3
        } else {
            index as u16 & 0x1ff
        }
    }

    /// The guest's entry that entry `index` of the table comes from.
    pub(super) fn source(&self, index: u16) -> Gpa {
        let table = u64::from(self.frame) * PAGE;
        let (index, part) = (u64::from(index), u64::from(self.part));
        Gpa(match (self.mode.kind, self.level) {
            // A shadow directory is a quarter of the guest's, with two entries for each of its.
            (Kind::TwoLevel, 2) => table + (part * 256 + index / 2) * 4,
            (Kind::TwoLevel, _) => table + (part * 512 + index) * 4,
            (Kind::Pae, 3) => table + part * 32 + index * 8,
            _ => table + index * 8,
        })
    }

    /// What all levels allow for a page. `guest`: the entry of level 1, where there is one.
    #[inline(always)]
    pub(super) fn rights(&self, guest: u64) -> Rights {
        let above = u64::from(self.rights);
        if self.direct {
            Rights {
                bits: above,
                is_dirty: above & DIRTY != 0,
                no_execute: self.no_execute,
                global: (above & LARGE) << 1,
            }
        } else {
            Rights {
                bits: above & guest,
                is_dirty: guest & DIRTY != 0,
                no_execute: self.no_execute || guest & NO_EXECUTE != 0,
                global: guest & GLOBAL,
            }
        }
    }
}

/// The rights of a page by all levels, and what else its last entry says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights {
    /// WRITABLE and USER count.
    pub(super) bits: u64,
    /// It has been marked as written to.
    pub(super) is_dirty: bool,
    /// Code there may not be executed.
    pub(super) no_execute: bool,
    /// GLOBAL or nothing.
    pub(super) global: u64,
}

const _: () = assert!(LARGE << 1 == GLOBAL, "a key has LARGE for GLOBAL");
