//! Keeping shadow tables true to the guest's: what is written to a table is looked at when the
//! guest asks for that, as a TLB has it (APM 5.5).

use core::ops::Range;

use super::Shadow;
use super::frame::Place;
use super::guest::{PRESENT, read_entry};
use super::key::Key;
use super::mode::Kind;
use crate::addr::PAGE;
use crate::vm::memory::GuestMemory;

impl Shadow {
    /// Lets the guest write to a frame that is mirrored.
    pub(super) fn loosen(&mut self, memory: &GuestMemory, frame: u32) {
        if !self.pool.loosen(frame) {
            self.compare_all(memory);
            self.pool.loosen(frame);
        }
    }

    /// The guest has executed INVLPG.
    pub fn invalidate(&mut self, memory: &GuestMemory, linear: u64) {
        self.pool.owed.page();
        if !self.pool.has_loose() {
            return;
        }
        let mut table = self.pool.recent(linear).unwrap_or(self.root);
        loop {
            let key = self.pool.key(table);
            let place = Place {
                table,
                index: key.index(linear),
            };
            if self.pool.is_loose(key.frame) {
                self.compare(memory, key, place);
                // A page of 4 MiB has two entries.
                if key.mode.kind == Kind::TwoLevel && key.level == 2 {
                    let index = place.index ^ 1;
                    self.compare(memory, key, Place { table, index });
                }
            }
            let entry = self.pool.entry(place);
            if key.level == 1 || entry & PRESENT == 0 {
                return;
            }
            table = self.pool.child(entry);
        }
    }

    /// Drops every translation that is no longer what the guest's tables say.
    pub(super) fn compare_all(&mut self, memory: &GuestMemory) {
        while let Some(frame) = self.pool.a_loose_one() {
            self.tighten(memory, frame);
        }
    }

    /// The same for what mirrors one frame, which is guarded from now on.
    pub(super) fn tighten(&mut self, memory: &GuestMemory, frame: u32) {
        self.pool.tighten(frame);
        let mut next = self.pool.first_of(frame);
        while let Some(table) = next {
            let key = self.pool.key(table);
            for index in 0..512 {
                self.compare(memory, key, Place { table, index });
            }
            next = self.pool.next_of(table);
        }
    }

    /// Drops what is no longer true in a table, and in those that it leads to.
    pub(super) fn compare_below(&mut self, memory: &GuestMemory, table: u16) {
        let key = self.pool.key(table);
        if key.level > 1 {
            self.compare_all(memory);
        } else if self.pool.is_loose(key.frame) {
            for index in 0..512 {
                self.compare(memory, key, Place { table, index });
            }
        }
    }

    /// Drops an entry if it is no longer what the guest's tables say.
    fn compare(&mut self, memory: &GuestMemory, key: Key, place: Place) {
        let entry = self.pool.entry(place);
        if entry & PRESENT == 0 || !key.mirrors() {
            return;
        }
        let guest = read_entry(memory, key.mode.kind, key.source(place.index)).unwrap_or(0);
        if key.level > 1 {
            let child = self.pool.key(self.pool.child(entry));
            if self.below(key, place.index, guest) != Some(child) {
                self.pool.link(place, 0);
            }
        } else if !self.is_covered(key, guest, entry) {
            self.pool.map(place, 0);
        }
    }

    /// The VMM has written to this guest memory: the tables in it are as if the guest had.
    /// `false`: that was too much to look at, and everything is dropped; [`Shadow::activate`]
    /// must follow.
    pub fn wrote(&mut self, memory: &GuestMemory, written: Range<u64>) -> bool {
        const MANY: u64 = 16;
        let (first, end) = (written.start / PAGE, written.end.div_ceil(PAGE));
        if end.saturating_sub(first) > MANY {
            self.pool.clear();
            return false;
        }
        for frame in first..end {
            let frame = frame as u32;
            if self.pool.is_guarded(frame) {
                self.loosen(memory, frame);
            }
        }
        true
    }
}
