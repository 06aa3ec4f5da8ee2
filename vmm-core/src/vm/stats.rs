//! What is kept on a VM's exits: its books in the [`ledger`], and what this life began with.
//!
//! The books are the VM's through all of its lives. The world switch writes the totals and the
//! times, with the slot that [`dispatch`](crate::exits::dispatch) leaves; [`exits::watch`]
//! writes the rest.
//!
//! [`exits::watch`]: crate::exits::watch

use intercepts::{EXITS, Exit, ExitCode, SLOTS, slot};
use ledger::{Book, Details, OWN, Times, Totals};

use crate::addr::Hpa;
use crate::host::frames::Frames;
use crate::policy::Counters;
use crate::vm::create::book;

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
}

impl Books {
    /// None.
    pub const NONE: Books = Books {
        totals: None,
        times: None,
        details: None,
    };

    /// Those that `counters` asks for; `None`: there is no memory for them.
    pub fn open(counters: Counters, frames: &mut Frames) -> Option<Books> {
        Some(Books {
            totals: wanted(counters >= Counters::Totals, frames)?,
            times: wanted(counters >= Counters::Times, frames)?,
            details: wanted(counters >= Counters::Details, frames)?,
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

/// What is kept on the exits of one life.
#[repr(C)]
pub struct Stats {
    /// The VM's books.
    pub books: Books,
    /// The slot under which the exit that is being handled is counted.
    pub slot: u8,
    /// TSC ticks that this life had the CPU, its exits included.
    pub run_cycles: u64,
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
            before,
        }
    }

    /// How many exits of this code have been handled in this life.
    pub fn count(&self, code: ExitCode) -> u64 {
        let slot = slot(code as u64);
        let before = self.before[usize::from(slot)];
        self.books.total(slot).0.wrapping_sub(before)
    }

    /// The exit that is being handled serves the VMM alone, and is counted as that.
    pub fn forgive(&mut self) {
        self.slot = OWN;
    }
}
