//! The pages that shadow tables are made of, and what is known of each guest frame.
//!
//! A shadow table mirrors one guest table, or stands for a piece of a large page. A frame that
//! is mirrored is not writable for the guest, until the guest writes to it; then its mirrors are
//! *loose*, like a TLB, and are compared with it when the guest asks for that.
//! Few entries map a frame writable, so that taking that right away needs no search.

use heapless::Vec;

use super::frame::{Frame, NO_TABLE, Place};
use super::guest::{FRAME, GLOBAL, NO_EXECUTE, PRESENT, USER, WRITABLE};
use super::key::Key;
use super::mode::{Kind, Mode};
use super::owed::Owed;
use crate::addr::{Hpa, PAGE};
use crate::svm::npt::Table;

/// As many tables may be loose at a time.
const MAX_LOOSE: usize = 64;
/// What is known of a page of the pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    key: Key,
    /// The next table of the same frame.
    next: u16,
}

impl Page {
    /// A page that is not in use.
    pub(super) const NEW: Page = Page {
        key: Key {
            frame: 0,
            level: 0,
            direct: true,
            part: 0,
            rights: 0,
            no_execute: false,
            mode: Mode {
                kind: Kind::Unpaged,
                large: false,
                no_execute: false,
                write_protect: true,
            },
        },
        next: NO_TABLE,
    };
}

/// The shadow tables of one VM.
pub struct Pool {
    tables: &'static mut [Table],
    base: Hpa,
    pages: &'static mut [Page],
    used: usize,
    frames: &'static mut [Frame],
    /// Where the guest's memory is.
    memory: Hpa,
    /// Frames whose mirrors are loose.
    loose: Vec<u32, MAX_LOOSE>,
    /// What the CPU may have cached and is to forget.
    pub(super) owed: Owed,
    /// Which 2 MiB of the address space in use were mapped last, and the table of level 1 that
    /// maps them; all tables above it are exact mirrors.
    recent: (u64, u16),
}

/// The recent table when there is none: no address is so high.
const NO_RECENT: (u64, u16) = (u64::MAX, 0);
const RECENT_SHIFT: u32 = 21;

impl Pool {
    /// Makes a pool of `tables`, which the CPU finds at `base`, for a guest with its memory at
    /// `memory`. There are as many `pages` as tables, and a frame for each of the guest's.
    pub(super) fn new(
        tables: &'static mut [Table],
        base: Hpa,
        pages: &'static mut [Page],
        frames: &'static mut [Frame],
        memory: Hpa,
    ) -> Pool {
        Pool {
            tables,
            base,
            pages,
            used: 0,
            frames,
            memory,
            loose: Vec::new(),
            owed: Owed::default(),
            recent: NO_RECENT,
        }
    }

    /// How many tables are in use.
    #[cfg(test)]
    pub(super) fn tables_in_use(&self) -> u16 {
        self.used as u16
    }

    /// The table of level 1 for `linear`, if it is the recent one.
    #[inline(always)]
    pub(super) fn recent(&self, linear: u64) -> Option<u16> {
        let (place, table) = self.recent;
        (place == linear >> RECENT_SHIFT).then_some(table)
    }

    pub(super) fn set_recent(&mut self, linear: u64, table: u16) {
        self.recent = (linear >> RECENT_SHIFT, table);
    }

    /// Another address space is in use.
    pub(super) fn forget_recent(&mut self) {
        self.recent = NO_RECENT;
    }

    /// Whether no table is in use.
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// How many frames the guest has.
    pub(super) fn frames(&self) -> u32 {
        self.frames.len() as u32
    }

    /// Where the CPU finds a table.
    pub(super) fn address(&self, table: u16) -> u64 {
        self.base.0 + u64::from(table) * PAGE
    }

    /// What a table stands for.
    #[inline(always)]
    pub(super) fn key(&self, table: u16) -> Key {
        self.pages[usize::from(table)].key
    }

    #[inline(always)]
    pub(super) fn entry(&self, place: Place) -> u64 {
        self.tables[usize::from(place.table)][usize::from(place.index)]
    }

    /// The table that a present entry of an upper level leads to.
    #[inline(always)]
    pub(super) fn child(&self, entry: u64) -> u16 {
        ((entry & FRAME).wrapping_sub(self.base.0) / PAGE) as u16
    }

    /// The table for `key`, empty if it is new; `None`: the pool is exhausted.
    pub(super) fn table(&mut self, key: Key) -> Option<(u16, bool)> {
        let mut table = self.frames.get(key.frame as usize)?.tables;
        while table != NO_TABLE {
            let page = &self.pages[usize::from(table)];
            if page.key == key {
                return Some((table, false));
            }
            table = page.next;
        }
        self.tables.get_mut(self.used)?.fill(0);
        let new = self.used as u16;
        self.used += 1;
        let frame = &mut self.frames[key.frame as usize];
        let is_loose = frame.is_loose;
        self.pages[usize::from(new)] = Page {
            key,
            next: frame.tables,
        };
        frame.tables = new;
        if key.mirrors() && !is_loose {
            self.guard(key.frame);
        }
        Some((new, true))
    }

    /// Forgets everything: no frame is mirrored, no table is in use.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.frames.fill(Frame::NEW);
        self.loose.clear();
        self.owed.all_if(true);
        self.recent = NO_RECENT;
    }

    /// Whether the guest may not write to a frame, since it is mirrored.
    #[inline(always)]
    pub(super) fn is_guarded(&self, frame: u32) -> bool {
        self.frames
            .get(frame as usize)
            .is_some_and(|frame| frame.is_guarded)
    }

    /// Whether another entry may map a frame writable and take that from none.
    pub(super) fn has_place_for_writer(&self, frame: u32) -> bool {
        self.frames
            .get(frame as usize)
            .is_some_and(Frame::has_place_for_writer)
    }

    /// Takes from the guest the right to write to a frame.
    fn guard(&mut self, frame: u32) {
        let frame = &mut self.frames[frame as usize];
        frame.is_guarded = true;
        for writer in frame.take_writers() {
            self.make_read_only(writer);
        }
    }

    fn make_read_only(&mut self, place: Place) {
        self.tables[usize::from(place.table)][usize::from(place.index)] &= !WRITABLE;
        self.owed.all_if(true);
    }

    /// Lets the guest write to a mirrored frame; `false`: too many are loose already.
    pub(super) fn loosen(&mut self, frame: u32) -> bool {
        if self.loose.push(frame).is_err() {
            return false;
        }
        self.recent = NO_RECENT;
        let frame = &mut self.frames[frame as usize];
        frame.is_guarded = false;
        frame.is_loose = true;
        true
    }

    /// Whether the mirrors of a frame may differ from it.
    #[inline(always)]
    pub(super) fn is_loose(&self, frame: u32) -> bool {
        self.frames
            .get(frame as usize)
            .is_some_and(|frame| frame.is_loose)
    }

    /// Whether any mirror may differ from its frame.
    #[inline(always)]
    pub(super) fn has_loose(&self) -> bool {
        !self.loose.is_empty()
    }

    /// A frame whose mirrors may differ from it.
    pub(super) fn a_loose_one(&self) -> Option<u32> {
        self.loose.last().copied()
    }

    /// Ends the looseness of a frame, which from now on is guarded.
    pub(super) fn tighten(&mut self, frame: u32) {
        if let Some(index) = self.loose.iter().rposition(|loose| *loose == frame) {
            self.loose.swap_remove(index);
            self.frames[frame as usize].is_loose = false;
            self.guard(frame);
        }
    }

    /// The first table with this frame in its key.
    pub(super) fn first_of(&self, frame: u32) -> Option<u16> {
        let first = self.frames.get(frame as usize)?.tables;
        (first != NO_TABLE).then_some(first)
    }

    /// The next table with the same frame in its key.
    pub(super) fn next_of(&self, table: u16) -> Option<u16> {
        let next = self.pages[usize::from(table)].next;
        (next != NO_TABLE).then_some(next)
    }

    /// Sets an entry of an upper level.
    pub(super) fn link(&mut self, place: Place, entry: u64) {
        let old = core::mem::replace(
            &mut self.tables[usize::from(place.table)][usize::from(place.index)],
            entry,
        );
        self.owed.all_if(old & PRESENT != 0 && old != entry);
        self.recent = NO_RECENT;
    }

    /// Sets an entry that maps a page. If too many map its frame writable then, the oldest no
    /// longer does.
    pub(super) fn map(&mut self, place: Place, entry: u64) {
        let slot = &mut self.tables[usize::from(place.table)][usize::from(place.index)];
        let old = core::mem::replace(slot, entry);
        if old & PRESENT != 0 {
            let moved = (old ^ entry) & FRAME != 0;
            let lost = old & !entry & (WRITABLE | USER | PRESENT | GLOBAL) != 0;
            let no_execute = entry & !old & NO_EXECUTE != 0;
            self.owed.all_if(moved || lost || no_execute);
            if old & WRITABLE != 0 {
                let frame = self.frame_of(old);
                self.frames[frame].remove_writer(place);
            }
        }
        if entry & (PRESENT | WRITABLE) == PRESENT | WRITABLE {
            let frame = self.frame_of(entry);
            if let Some(oldest) = self.frames[frame].add_writer(place) {
                self.make_read_only(oldest);
            }
        }
    }

    /// The entry that maps a frame.
    pub(super) fn address_of(&self, frame: u32) -> u64 {
        self.memory.0 + u64::from(frame) * PAGE
    }

    fn frame_of(&self, entry: u64) -> usize {
        ((entry & FRAME).wrapping_sub(self.memory.0) / PAGE) as usize
    }

    /// The guest frame that an entry maps.
    pub(super) fn mapped(&self, entry: u64) -> u32 {
        self.frame_of(entry) as u32
    }
}
