//! Where the shadow tables of a VM are: one piece of host memory, with what is known of each
//! table and of each guest frame behind them.

use super::Shadow;
use super::frame::Frame;
use super::pool::{Page, Pool};
use crate::addr::{Hpa, PAGE};
use crate::host::span::Span;
use crate::svm::npt::Table;
use crate::vm::memory::GuestMemory;

/// The fewest tables that a VM can run with: a path of each mode, many times over.
const FEWEST_TABLES: usize = 64;
/// The most, since a table's number has 16 bits of which one value stands for none.
const MOST_TABLES: usize = 0xfff0;

/// How much a VM's shadow tables need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    tables: usize,
    frames: usize,
}

impl Room {
    /// Where the tables must end: CR3 of a guest outside long mode has 32 bits. The heap of a
    /// test is where it is.
    pub const END: Hpa = Hpa(if cfg!(test) { u64::MAX } else { 1 << 32 });

    /// For so many bytes of tables, and a guest with this much memory.
    pub fn new(tables: u64, memory: u64) -> Room {
        let tables = (tables / PAGE) as usize;
        Room {
            tables: tables.clamp(FEWEST_TABLES, MOST_TABLES),
            frames: memory.div_ceil(PAGE) as usize,
        }
    }

    /// Bytes of the piece, all told.
    pub const fn bytes(self) -> u64 {
        self.frames_at() + (self.frames * size_of::<Frame>()) as u64
    }

    /// Where what is known of the tables begins.
    const fn pages_at(self) -> u64 {
        (self.tables * size_of::<Table>()) as u64
    }

    /// Where what is known of guest frames begins: a whole number of pages, for alignment.
    const fn frames_at(self) -> u64 {
        (self.pages_at() + (self.tables * size_of::<Page>()) as u64).next_multiple_of(PAGE)
    }

    /// Empty shadow tables in the piece at `at`, for a guest with `memory`. `physical_bits` and
    /// `gigabyte` are as the guest's CPUID has them.
    ///
    /// # Safety
    /// The piece is mapped one to one, aligned to a page, has [`Room::bytes`] bytes before
    /// [`Room::END`], and is nobody else's for as long as the value lives.
    pub unsafe fn place(
        self,
        at: Hpa,
        memory: &GuestMemory,
        physical_bits: u32,
        gigabyte: bool,
    ) -> Shadow {
        let pages = (at.0 + self.pages_at()) as *mut Page;
        let frames = (at.0 + self.frames_at()) as *mut Frame;
        // SAFETY: by the caller's promise; every element is written before a slice is made of
        // it, but for the tables: any bytes are entries, and a table is zeroed before its use.
        let pool = unsafe {
            for index in 0..self.tables {
                pages.add(index).write(Page::NEW);
            }
            for index in 0..self.frames {
                frames.add(index).write(Frame::NEW);
            }
            Pool::new(
                core::slice::from_raw_parts_mut(at.0 as *mut Table, self.tables),
                at,
                core::slice::from_raw_parts_mut(pages, self.tables),
                core::slice::from_raw_parts_mut(frames, self.frames),
                memory.base(),
            )
        };
        Shadow::new(
            pool,
            Span::sized(at.0, self.bytes()),
            physical_bits,
            gigabyte,
        )
    }

    /// Room for as many tables as a test wants.
    #[cfg(test)]
    pub(super) fn of(tables: usize, frames: usize) -> Room {
        Room { tables, frames }
    }
}
