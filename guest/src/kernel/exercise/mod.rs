//! Every instruction that a processor can be told to stop at, run one by one.
//!
//! Each is an [`Entry`] in the table of its family. An entry runs, checks what
//! can be checked, and says how it ended; the result is one line. Lines that
//! depend on the processor's model are marked, as everywhere.
//!
//! The names are the APM's, vol. 3.

mod control;
mod debug;
mod faults;
mod general;
mod msr;
mod ports;
mod svm;
mod tables;

use guest::trap::Trap;

use super::Kernel;
use super::console::println;

/// Whether an entry ends alike on every processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// It does: its line is compared.
    Same,
    /// It may not: its line is marked.
    May,
}
use Mark::{May, Same};

/// How an entry ended.
#[derive(Debug)]
enum Finding {
    /// It ran, and did what it should.
    Ran,
    /// It raised this exception or software interrupt.
    Trapped(Trap),
    /// It ran, and did something else.
    Wrong(&'static str),
    /// CPUID says that it is not there.
    NotOffered,
}
use Finding::{NotOffered, Ran, Trapped, Wrong};

impl From<Option<Trap>> for Finding {
    fn from(trap: Option<Trap>) -> Self {
        trap.map_or(Ran, Trapped)
    }
}

/// An instruction, or one way to use it.
struct Entry {
    name: &'static str,
    mark: Mark,
    run: fn(&mut Kernel) -> Finding,
}

/// An entry; a constructor keeps the tables at one line each.
const fn entry(name: &'static str, mark: Mark, run: fn(&mut Kernel) -> Finding) -> Entry {
    Entry { name, mark, run }
}

/// What an entry found: the trap if there was one, else whether a check holds.
fn check(trap: Option<Trap>, holds: bool, complaint: &'static str) -> Finding {
    match trap {
        Some(trap) => Trapped(trap),
        None if holds => Ran,
        None => Wrong(complaint),
    }
}

/// The families, in the order in which they run.
const FAMILIES: [&[Entry]; 8] = [
    general::ENTRIES,
    msr::ENTRIES,
    ports::ENTRIES,
    control::ENTRIES,
    tables::ENTRIES,
    debug::ENTRIES,
    svm::ENTRIES,
    faults::ENTRIES,
];

/// Runs every entry and prints how it ended.
pub fn run(kernel: &mut Kernel) {
    let mut entries = 0;
    let mut wrong = 0;
    for entry in FAMILIES.into_iter().flatten() {
        let mark = if entry.mark == May { "~ " } else { "" };
        let name = entry.name;
        match (entry.run)(kernel) {
            Ran => println!("{mark}exercise: {name} ... ok"),
            Trapped(trap) => println!("{mark}exercise: {name} ... {trap}"),
            NotOffered => println!("{mark}exercise: {name} ... not offered"),
            Wrong(complaint) => {
                println!("{mark}exercise: {name} ... WRONG: {complaint}");
                wrong += usize::from(entry.mark == Same);
            }
        }
        entries += 1;
    }
    println!("exercise: done, {entries} entries, {wrong} wrong");
}
