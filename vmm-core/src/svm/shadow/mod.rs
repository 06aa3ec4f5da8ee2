//! Shadow page tables: what the CPU walks in the place of the guest's own, without nested
//! paging (APM 15.5.1, 15.12.15, 15.16).
//!
//! They behave as one large TLB. A translation comes into them when the guest faults, after a
//! walk of the guest's tables; it leaves them when the guest asks for that, by INVLPG or a
//! write of a control register, if it no longer is what the guest's tables say.

mod guest;
mod mode;
mod place;
mod pool;
#[cfg(test)]
mod tests;

pub use guest::{Access, Paging, Stop};
pub use mode::{Kind, Registers};
pub use place::Room;

use guest::{ACCESSED, DIRTY, FRAME, NO_EXECUTE, PRESENT, USER, WRITABLE, Walk, read_entry};
use pool::{Key, Place, Pool};

use core::ops::Range;

use crate::addr::{Gpa, PAGE};
use crate::host::span::Span;
use crate::vm::memory::GuestMemory;

const FULL: u8 = (WRITABLE | USER | DIRTY) as u8;
/// The part of a root that is nowhere in guest memory.
const NOWHERE: u8 = u8::MAX;
/// After so many detours a whole table is compared, and the way is short again.
const MANY_DETOURS: u8 = 64;
const TABLE: u64 = PRESENT | WRITABLE | USER | ACCESSED;

/// The shadow tables of a VM, and the registers that go with them.
pub struct Shadow {
    pool: Pool,
    /// The memory that all of this is in.
    memory: Span,
    /// The registers as the guest has them.
    guest: Registers,
    /// The same as the CPU has them.
    hardware: Registers,
    paging: Paging,
    root: u16,
    /// How often a table of an upper level was loose, and each entry on the way had to be
    /// compared.
    detours: u8,
    /// #PF that the guest knows nothing of.
    pub hidden_faults: u64,
}

/// What is to be done about a page fault of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The translation is there now: go on.
    Mapped,
    /// It is the guest's own.
    Stopped(Stop),
}

impl Shadow {
    /// Empty tables. `physical_bits` and `gigabyte` are as the guest's CPUID has them.
    fn new(pool: Pool, memory: Span, physical_bits: u32, gigabyte: bool) -> Shadow {
        let guest = Registers::default();
        Shadow {
            pool,
            memory,
            guest,
            hardware: guest,
            paging: Paging {
                mode: guest.mode(),
                cr3: 0,
                physical_bits,
                gigabyte,
            },
            root: 0,
            detours: 0,
            hidden_faults: 0,
        }
    }

    /// The memory that the tables and all that is known of them are in.
    pub fn memory(&self) -> Span {
        self.memory
    }

    /// The registers as the guest has them.
    #[inline(always)]
    pub fn guest(&self) -> Registers {
        self.guest
    }

    /// The registers as the CPU has them.
    #[inline(always)]
    pub fn hardware(&self) -> Registers {
        self.hardware
    }

    /// Takes over what the CPU changed by itself while the guest ran; `false`: it has loaded
    /// another page table, which only a task switch that was not intercepted can do.
    #[inline(always)]
    pub fn follow(&mut self, found: &Registers) -> bool {
        self.guest.follow(found);
        found.cr3 == self.hardware.cr3
    }

    /// Whether the CPU must forget what it knows of the guest's translations.
    #[inline(always)]
    pub fn take_stale(&mut self) -> bool {
        self.pool.take_stale()
    }

    /// The guest has these registers from now on, and has had its TLB flushed.
    pub fn activate(&mut self, memory: &GuestMemory, guest: Registers) {
        self.compare_all(memory);
        if guest == self.guest && !self.pool.is_empty() {
            return;
        }
        self.pool.forget_recent();
        self.guest = guest;
        self.paging.mode = guest.mode();
        self.paging.cr3 = guest.cr3;
        let key = self.root_key();
        let found = self.pool.table(key).or_else(|| {
            // With all tables free again there is one.
            self.pool.clear();
            self.pool.table(key)
        });
        self.root = found.map_or(0, |(root, _)| root);
        let before = self.hardware.cr3;
        self.hardware = guest.hardware(self.pool.address(self.root));
        if before != self.hardware.cr3 {
            self.pool.set_stale();
        }
    }

    /// What the root stands for. Where CR3 names no memory, that is a table that stays empty.
    fn root_key(&self) -> Key {
        let Paging { mode, cr3, .. } = self.paging;
        let (level, table, part) = match mode.kind {
            Kind::Unpaged => (3, 0, 0),
            Kind::TwoLevel => (3, cr3 & 0xffff_f000, 0),
            Kind::Pae => (3, cr3 & 0xffff_f000, (cr3 >> 5 & 0x7f) as u8),
            Kind::Long => (4, cr3 & FRAME, 0),
        };
        let key = Key {
            frame: 0,
            level,
            direct: mode.kind == Kind::Unpaged,
            part,
            rights: FULL,
            no_execute: false,
            mode,
        };
        match u32::try_from(table / PAGE) {
            Ok(frame) if frame < self.pool.frames() => Key { frame, ..key },
            _ => Key {
                direct: true,
                part: NOWHERE,
                ..key
            },
        }
    }

    /// Answers a page fault of the CPU.
    pub fn fault(&mut self, memory: &mut GuestMemory, linear: u64, access: Access) -> Verdict {
        let walk = match self.paging.walk(memory, linear, access) {
            Ok(walk) => walk,
            Err(stop) => return Verdict::Stopped(stop),
        };
        if !self.install(memory, linear, access, &walk) {
            // No table left: begin anew, with this translation as the first.
            self.pool.clear();
            let key = self.root_key();
            if let Some((root, _)) = self.pool.table(key) {
                self.root = root;
                self.hardware.cr3 = self.pool.address(root);
            }
            self.install(memory, linear, access, &walk);
        }
        Verdict::Mapped
    }

    /// Maps what the walk has found; `false`: the pool is exhausted.
    fn install(&mut self, memory: &GuestMemory, linear: u64, access: Access, walk: &Walk) -> bool {
        let mut table = self.pool.recent(linear).unwrap_or(self.root);
        let mut is_exact = true;
        loop {
            let key = self.pool.key(table);
            let place = Place {
                table,
                index: index(key, linear),
            };
            let guest = walk.entries[usize::from(key.level)];
            if key.level > 1 && self.pool.is_loose(key.frame) {
                self.detours += 1;
                if self.detours == MANY_DETOURS {
                    self.detours = 0;
                    self.tighten(memory, key.frame);
                }
            }
            if key.level == 1 {
                let frame = (walk.gpa.0 / PAGE) as u32;
                if access.write && self.pool.is_guarded(frame) {
                    self.loosen(memory, frame);
                }
                let entry = self.leaf(key, guest, frame, access);
                self.pool.map(place, entry);
                if is_exact {
                    self.pool.set_recent(linear, table);
                }
                return true;
            }
            let entry = self.pool.entry(place);
            let leads_to = if entry & PRESENT != 0 {
                self.pool.child(entry)
            } else {
                table
            };
            // What mirrors an entry that cannot have changed, but for the mark of a large page
            // as dirty, leads where it should.
            if entry & PRESENT != 0
                && !self.pool.is_loose(key.frame)
                && !self.pool.key(leads_to).direct
            {
                table = leads_to;
                continue;
            }
            is_exact = false;
            // The walk has just been through this entry, so it leads on.
            let Some(below) = self.below(key, place.index, guest) else {
                return true;
            };
            let leads_there = entry & PRESENT != 0 && self.pool.key(leads_to) == below;
            table = if leads_there {
                leads_to
            } else {
                let Some((child, is_new)) = self.pool.table(below) else {
                    return false;
                };
                if !is_new {
                    // While nothing led there, the guest had no need to flush what it changed.
                    self.compare_below(memory, child);
                }
                let is_pointer = key.level == 3 && key.mode.kind != Kind::Long;
                let rights = if is_pointer { PRESENT } else { TABLE };
                self.pool.link(place, self.pool.address(child) | rights);
                if is_new && below.direct && below.level == 1 {
                    self.fill(child, below);
                }
                child
            };
        }
    }

    /// Maps every page of a piece of a large page at once.
    fn fill(&mut self, table: u16, key: Key) {
        let reading = Access {
            write: false,
            user: true,
            fetch: false,
        };
        let last = (key.frame + 512).min(self.pool.frames());
        for (index, frame) in (0..).zip(key.frame..last) {
            let mut entry = self.leaf(key, 0, frame, reading);
            if !self.pool.has_place_for_writer(frame) {
                entry &= !WRITABLE;
            }
            self.pool.map(Place { table, index }, entry);
        }
    }

    /// The table that entry `index` of a table leads to where the guest's entry is `guest`;
    /// `None`: to none.
    fn below(&self, key: Key, index: u16, guest: u64) -> Option<Key> {
        let level = key.level - 1;
        let next = Key { level, ..key };
        if key.direct {
            let frames = u32::from(index) << (9 * level);
            return Some(Key {
                frame: key.frame.checked_add(frames)?,
                ..next
            });
        }
        let kind = key.mode.kind;
        if kind == Kind::TwoLevel && key.level == 3 {
            return Some(Key {
                part: index as u8,
                ..next
            });
        }
        let is_pointer = kind == Kind::Pae && key.level == 3;
        let paging = Paging {
            mode: key.mode,
            ..self.paging
        };
        let level = usize::from(key.level);
        if guest & PRESENT == 0
            || !is_pointer && guest & ACCESSED == 0
            || guest & paging.reserved(level, guest) != 0
        {
            return None;
        }
        let (rights, no_execute) = if is_pointer {
            (key.rights, key.no_execute)
        } else {
            let mask = guest as u8 | !(WRITABLE | USER) as u8;
            (key.rights & mask, key.no_execute || guest & NO_EXECUTE != 0)
        };
        let half = if kind == Kind::TwoLevel { index & 1 } else { 0 };
        if !paging.is_large(level, guest) {
            return Some(Key {
                frame: u32::try_from((guest & FRAME) / PAGE).ok()?,
                part: half as u8,
                rights,
                no_execute,
                ..next
            });
        }
        let first = (paging.frame(level, guest) / PAGE) & !((1 << (9 * next.level)) - 1);
        let mask = guest as u8 | !DIRTY as u8;
        Some(Key {
            frame: u32::try_from(first + u64::from(half) * 512).ok()?,
            direct: true,
            part: 0,
            rights: rights & mask,
            no_execute,
            ..next
        })
    }

    /// The entry that maps `frame` for an access that the guest's tables allow.
    fn leaf(&self, key: Key, guest: u64, frame: u32, access: Access) -> u64 {
        let (rights, is_dirty, no_execute) = rights(key, guest);
        let mut entry = self.pool.address_of(frame) | PRESENT | ACCESSED | rights & USER;
        // Without CR0.WP the supervisor writes to what the user may only read.
        let beyond = access.write && !access.user && rights & WRITABLE == 0;
        if beyond {
            entry &= !USER;
        }
        if (beyond || rights & WRITABLE != 0) && is_dirty && !self.pool.is_guarded(frame) {
            entry |= WRITABLE | DIRTY;
        }
        if no_execute {
            entry | NO_EXECUTE
        } else {
            entry
        }
    }

    /// Lets the guest write to a frame that is mirrored.
    fn loosen(&mut self, memory: &GuestMemory, frame: u32) {
        if !self.pool.loosen(frame) {
            self.compare_all(memory);
            self.pool.loosen(frame);
        }
    }

    /// The guest has executed INVLPG.
    pub fn invalidate(&mut self, memory: &GuestMemory, linear: u64) {
        if !self.pool.has_loose() {
            return;
        }
        let mut table = self.pool.recent(linear).unwrap_or(self.root);
        loop {
            let key = self.pool.key(table);
            let place = Place {
                table,
                index: index(key, linear),
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
    fn compare_all(&mut self, memory: &GuestMemory) {
        while let Some(frame) = self.pool.a_loose_one() {
            self.tighten(memory, frame);
        }
    }

    /// The same for what mirrors one frame, which is guarded from now on.
    fn tighten(&mut self, memory: &GuestMemory, frame: u32) {
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
    fn compare_below(&mut self, memory: &GuestMemory, table: u16) {
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
        let guest = read_entry(memory, key.mode.kind, source(key, place.index)).unwrap_or(0);
        if key.level > 1 {
            let child = self.pool.key(self.pool.child(entry));
            if self.below(key, place.index, guest) != Some(child) {
                self.pool.link(place, 0);
            }
        } else if !self.is_covered(key, guest, entry) {
            self.pool.map(place, 0);
        }
    }

    /// Whether the guest's entry allows all that the shadow entry does.
    fn is_covered(&self, key: Key, guest: u64, entry: u64) -> bool {
        let paging = Paging {
            mode: key.mode,
            ..self.paging
        };
        let (rights, is_dirty, no_execute) = rights(key, guest);
        let writes = entry & WRITABLE != 0;
        let by_user = entry & USER != 0;
        let may_write = rights & WRITABLE != 0 || !by_user && !key.mode.write_protect;
        guest & (PRESENT | ACCESSED) == PRESENT | ACCESSED
            && guest & paging.reserved(1, guest) == 0
            && paging.frame(1, guest) / PAGE == u64::from(self.pool.mapped(entry))
            && (!by_user || rights & USER != 0)
            && (!writes || is_dirty && may_write)
            && (entry & NO_EXECUTE != 0 || !no_execute)
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

/// The rights of a page by all levels (WRITABLE, USER), whether it is dirty, and whether code
/// may not be executed. `guest`: the entry of level 1, where there is one.
fn rights(key: Key, guest: u64) -> (u64, bool, bool) {
    let above = u64::from(key.rights);
    if key.direct {
        (above, above & DIRTY != 0, key.no_execute)
    } else {
        (
            above & guest,
            guest & DIRTY != 0,
            key.no_execute || guest & NO_EXECUTE != 0,
        )
    }
}

/// The entry of a shadow table that `linear` uses.
fn index(key: Key, linear: u64) -> u16 {
    let index = linear >> (12 + 9 * (u32::from(key.level) - 1));
    if key.level == 3 && key.mode.kind != Kind::Long {
        index as u16 & 3
    } else {
        index as u16 & 0x1ff
    }
}

/// The guest's entry that entry `index` of a shadow table comes from.
fn source(key: Key, index: u16) -> Gpa {
    let table = u64::from(key.frame) * PAGE;
    let (index, part) = (u64::from(index), u64::from(key.part));
    Gpa(match (key.mode.kind, key.level) {
        // A shadow directory is a quarter of the guest's, with two entries for each of its.
        (Kind::TwoLevel, 2) => table + (part * 256 + index / 2) * 4,
        (Kind::TwoLevel, _) => table + (part * 512 + index) * 4,
        (Kind::Pae, 3) => table + part * 32 + index * 8,
        _ => table + index * 8,
    })
}
