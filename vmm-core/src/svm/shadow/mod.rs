//! Shadow page tables: what the CPU walks in the place of the guest's own, without nested
//! paging (APM 15.5.1, 15.12.15, 15.16).
//!
//! They behave as one large TLB. A translation comes into them when the guest faults, after a
//! walk of the guest's tables; it leaves them when the guest asks for that, by INVLPG or a
//! write of a control register, if it no longer is what the guest's tables say.

mod entry;
mod frame;
mod guest;
mod key;
mod mirrors;
mod mode;
mod owed;
mod place;
mod pool;
#[cfg(test)]
pub(crate) mod tests;

pub use guest::{Access, Paging, Stop};
pub use mode::{Kind, Registers};
pub use place::Room;

use frame::Place;
use guest::{ACCESSED, DIRTY, FRAME, PRESENT, USER, WRITABLE, Walk};
use key::Key;
use pool::Pool;

use intercepts::vmcb::registers::cr4;

use crate::addr::PAGE;
use crate::host::span::Span;
use crate::svm::tlb::Flush;
use crate::vm::memory::GuestMemory;

const CR4_PGE: u64 = cr4::PGE;
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

    /// What the CPU must forget of the guest's translations.
    #[inline(always)]
    pub fn take_flush(&mut self) -> Flush {
        self.pool.owed.take()
    }

    /// The guest has these registers from now on, and has had its TLB flushed.
    pub fn activate(&mut self, memory: &GuestMemory, guest: Registers) {
        self.compare_all(memory);
        if guest == self.guest && !self.pool.is_empty() {
            return;
        }
        self.pool.forget_recent();
        let is_alike =
            guest.mode() == self.guest.mode() && (guest.cr4 ^ self.guest.cr4) & CR4_PGE == 0;
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
        if !is_alike {
            self.pool.owed.all_if(true);
        } else if before != self.hardware.cr3 {
            self.pool.owed.non_global();
        }
    }

    /// Whether a CPU takes these registers, when one of them is written: in PAE paging it reads
    /// the four pointers then, which are to have no reserved bits. Those outside memory are found
    /// out when they are used.
    pub fn takes_pointers(&self, memory: &GuestMemory, guest: &Registers) -> bool {
        let mode = guest.mode();
        mode.kind != Kind::Pae
            || Paging {
                mode,
                cr3: guest.cr3,
                ..self.paging
            }
            .has_legal_pointers(memory)
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
            // No table left: begin anew, with this translation as the first. To give up the least
            // recent table alone, what leads to each would have to be kept with every link. A
            // thousand address spaces in 64 tables, one after the other, make 7,011 faults: 6,000
            // are for what is each space's own, and only the rest is for what could have stayed.
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
                index: key.index(linear),
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
}
