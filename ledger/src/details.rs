//! What an exit was about: which port, which MSR, which leaf of CPUID.
//!
//! A hash table with a place for each of what guests really touch. What finds no place is
//! counted as "others": nothing is lost but the name.

use crate::{Book, Number};

/// Places in the table.
pub const PLACES: usize = 512;
/// Places that are tried for one subject.
const TRIES: usize = 8;

/// What an exit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Subject {
    /// IN or INS from this port.
    PortRead = 1,
    /// OUT or OUTS to this port.
    PortWrite = 2,
    /// RDMSR of this MSR.
    Rdmsr = 3,
    /// WRMSR of this MSR.
    Wrmsr = 4,
    /// CPUID with this EAX.
    Leaf = 5,
    /// VMMCALL with this EAX.
    Call = 6,
}

impl Subject {
    /// Each.
    pub const ALL: [Subject; 6] = [
        Subject::PortRead,
        Subject::PortWrite,
        Subject::Rdmsr,
        Subject::Wrmsr,
        Subject::Leaf,
        Subject::Call,
    ];

    /// The word in records and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Subject::PortRead => "in",
            Subject::PortWrite => "out",
            Subject::Rdmsr => "rdmsr",
            Subject::Wrmsr => "wrmsr",
            Subject::Leaf => "cpuid",
            Subject::Call => "vmmcall",
        }
    }
}

/// A subject with its number: port 60h, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Detail {
    /// What.
    pub subject: Subject,
    /// Which.
    pub number: u32,
}

impl Detail {
    /// As it stands in a row. Never 0, which is an empty row.
    const fn key(self) -> u64 {
        (self.subject as u64) << 32 | self.number as u64
    }

    /// What a row's key says; `None`: the row is empty, or of a later version.
    pub fn from_key(key: u64) -> Option<Detail> {
        let subject = Subject::ALL
            .into_iter()
            .find(|subject| *subject as u64 == key >> 32)?;
        Some(Detail {
            subject,
            number: key as u32,
        })
    }

    const fn hash(self) -> usize {
        // 2^64 divided by the golden ratio spreads neighbouring numbers far apart.
        (self.key().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
    }
}

/// One subject.
#[derive(Debug)]
#[repr(C)]
pub struct Row {
    /// A subject in bits 63:32, its number in bits 31:0; 0: the row is empty.
    pub key: Number,
    /// How often.
    pub count: Number,
    /// TSC ticks between #VMEXIT and VMRUN, summed.
    pub cycles: Number,
    reserved: Number,
}

/// All subjects of a VM's exits.
#[derive(Debug)]
#[repr(C)]
pub struct Details {
    /// Exits whose subject found no row.
    pub others: Number,
    /// Their TSC ticks.
    pub other_cycles: Number,
    /// The rows, in no order.
    pub rows: [Row; PLACES],
}

impl Details {
    /// Nothing came yet.
    pub const fn new() -> Details {
        Details {
            others: Number::new(0),
            other_cycles: Number::new(0),
            rows: [const {
                Row {
                    key: Number::new(0),
                    count: Number::new(0),
                    cycles: Number::new(0),
                    reserved: Number::new(0),
                }
            }; PLACES],
        }
    }

    /// Notes an exit about `detail` that took `cycles`.
    pub fn note(&self, detail: Detail, cycles: u64) {
        let key = detail.key();
        let first = detail.hash();
        for tried in 0..TRIES {
            let row = &self.rows[(first + tried) % PLACES];
            if row.key.get() == 0 {
                row.key.set(key);
            }
            if row.key.get() == key {
                row.count.add(1);
                row.cycles.add(cycles);
                return;
            }
        }
        self.others.add(1);
        self.other_cycles.add(cycles);
    }

    /// Each subject that came, with its row, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Detail, &Row)> {
        self.rows
            .iter()
            .filter_map(|row| Some((Detail::from_key(row.key.get())?, row)))
    }
}

// SAFETY: all of it is numbers.
unsafe impl Book for Details {
    fn open(&self) {}
}

impl Default for Details {
    fn default() -> Self {
        Details::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::boxed::Box;

    use super::*;

    #[test]
    fn each_subject_has_a_row_of_its_own() {
        let details = Box::new(Details::new());
        for number in [0x20, 0x21, 0x20, 0xa0] {
            for subject in [Subject::PortRead, Subject::PortWrite] {
                details.note(Detail { subject, number }, 10);
            }
        }
        let count = |subject, number| {
            details
                .iter()
                .find(|(detail, _)| *detail == Detail { subject, number })
                .map(|(_, row)| (row.count.get(), row.cycles.get()))
        };
        assert_eq!(count(Subject::PortRead, 0x20), Some((2, 20)));
        assert_eq!(count(Subject::PortWrite, 0xa0), Some((1, 10)));
        assert_eq!(count(Subject::Rdmsr, 0x20), None);
        assert_eq!(details.iter().count(), 6);
    }

    #[test]
    fn a_full_table_loses_names_and_no_exit() {
        let details = Box::new(Details::new());
        for number in 0..0x1_0000 {
            let subject = Subject::PortRead;
            details.note(Detail { subject, number }, 1);
        }
        let named: u64 = details.iter().map(|(_, row)| row.count.get()).sum();
        assert_eq!(named + details.others.get(), 0x1_0000);
        assert!(named > 256, "{named}");
    }
}
