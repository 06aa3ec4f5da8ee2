//! What is kept on a VM's exits: its books in the [`ledger`], and what this life began with.
//!
//! The books are the VM's through all of its lives. The world switch writes the totals and the
//! times, with the slot that [`dispatch`](crate::exits::dispatch) leaves; [`exits::watch`]
//! writes the rest.
//!
//! [`exits::watch`]: crate::exits::watch

use intercepts::{EXITS, Exit, ExitCode, SLOTS, slot};
use ledger::{Book, Details, OWN, Progress, Ring, Times, Totals};

use crate::addr::Hpa;
use crate::host::frames::Frames;
use crate::policy::Counters;
use crate::vm::create::{book, books};

/// A VM's books; those that are not kept are missing.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Books {
    /// How often and how long, by exit.
    pub totals: Option<&'static Totals>,
    /// How the times are spread.
    pub times: Option<&'static Times>,
    /// What they were about.
    pub details: Option<&'static Details>,
    /// The last ones.
    pub ring: Option<Ring>,
}

impl Books {
    /// None.
    pub const NONE: Books = Books {
        totals: None,
        times: None,
        details: None,
        ring: None,
    };

    /// Those that `counters` asks for, and a ring with room for `trace` exits, if that is not 0;
    /// `None`: there is no memory for them.
    pub fn open(counters: Counters, trace: u32, frames: &mut Frames) -> Option<Books> {
        // Whoever is traced is counted: an exit's slot is found where it is counted.
        let counters = if trace == 0 {
            counters
        } else {
            counters.max(Counters::Totals)
        };
        Some(Books {
            totals: wanted(counters >= Counters::Totals, frames)?,
            times: wanted(counters >= Counters::Times, frames)?,
            details: wanted(counters >= Counters::Details, frames)?,
            ring: if trace == 0 {
                None
            } else {
                let entries = books(trace.next_power_of_two() as usize, frames)?;
                Ring::new(book::<Progress>(frames)?, entries)
            },
        })
    }

    /// Each exit that happened, in the order of the codes, with its slot.
    pub fn exits(&self) -> impl Iterator<Item = (&'static Exit, u8)> + use<> {
        let totals = self.totals;
        EXITS
            .iter()
            .map(|exit| (exit, slot(exit.code as u64)))
            .filter(move |(_, slot)| totals.is_some_and(|totals| totals.of(*slot).count.get() != 0))
    }

    /// How often, and how many TSC ticks in all.
    pub fn total(&self, slot: u8) -> (u64, u64) {
        self.totals.map_or((0, 0), |totals| {
            let total = totals.of(slot);
            (total.count.get(), total.cycles.get())
        })
    }

    /// How many exits there were, without those that serve the VMM alone.
    pub fn count(&self) -> u64 {
        self.exits()
            .fold(0, |sum, (_, slot)| sum.wrapping_add(self.total(slot).0))
    }

    /// TSC ticks that the VMM took, over all exits, its own too.
    pub fn vmm_cycles(&self) -> u64 {
        self.totals
            .into_iter()
            .flat_map(Totals::iter)
            .fold(0, |sum, total| sum.wrapping_add(total.cycles.get()))
    }
}

fn wanted<T: Book>(is_wanted: bool, frames: &mut Frames) -> Option<Option<&'static T>> {
    if is_wanted {
        book(frames).map(Some)
    } else {
        Some(None)
    }
}

/// Where a book is, for the ledger; 0 for one that is not kept.
pub fn address<T>(book: Option<&'static T>) -> Hpa {
    Hpa(book.map_or(0, |book| &raw const *book as u64))
}

/// A ring as the world switch writes it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Tape {
    /// Address of the next entry.
    pub next: u64,
    /// Address behind the last entry.
    pub end: u64,
    /// Bytes from the first entry to there.
    pub bytes: u64,
    /// Address of the number of exits written.
    pub written: u64,
    /// Exits until the VMM wants to look.
    pub left: u64,
}

impl Tape {
    const NONE: Tape = Tape {
        next: 0,
        end: 0,
        bytes: 0,
        written: 0,
        left: u64::MAX,
    };

    /// The ring, where an earlier life left it.
    fn of(ring: Ring) -> Tape {
        let entries = ring.entries();
        let bytes = size_of_val(entries) as u64;
        Tape {
            next: address(ring.entry(ring.next())).0,
            end: address(entries.first()).0 + bytes,
            bytes,
            written: address(Some(&ring.progress().written)).0,
            left: u64::MAX,
        }
    }
}

/// What is kept on the exits of one life.
#[repr(C)]
pub struct Stats {
    /// The VM's books.
    pub books: Books,
    /// The slot under which the exit that is being handled is counted.
    pub slot: u8,
    /// TSC ticks that this life had the CPU, its exits included.
    pub run_cycles: u64,
    /// Where the world switch writes the ring.
    pub tape: Tape,
    /// The counts when this life began.
    before: [u64; SLOTS],
}

impl Stats {
    /// A life that begins, of a VM with these books.
    pub fn new(books: Books) -> Stats {
        let mut before = [0; SLOTS];
        if let Some(totals) = books.totals {
            for (before, total) in before.iter_mut().zip(totals.iter()) {
                *before = total.count.get();
            }
        }
        Stats {
            books,
            slot: OWN,
            run_cycles: 0,
            tape: books.ring.map_or(Tape::NONE, Tape::of),
            before,
        }
    }

    /// How many exits of this code have been handled in this life.
    pub fn count(&self, code: ExitCode) -> u64 {
        let slot = slot(code as u64);
        let before = self.before[usize::from(slot)];
        self.books.total(slot).0.wrapping_sub(before)
    }

    /// The ring is streamed: half of it may wait.
    pub fn expect_stream(&mut self) {
        if let Some(ring) = self.books.ring {
            self.tape.left = (ring.entries().len() as u64).div_ceil(2);
        }
    }

    /// Whether the ring is streamed and is to be sent on.
    pub fn is_full(&self) -> bool {
        self.tape.left == 0
    }

    /// The exit that is being handled serves the VMM alone, and is counted as that.
    pub fn forgive(&mut self) {
        self.slot = OWN;
    }
}
