//! The guest's own walk, by the figures of the manual (APM 5.2 to 5.6, 8.4.2): a second opinion,
//! which shares nothing with the first.

use core::ops::Range;

use super::*;

/// What an access comes to.
pub(crate) struct Walked {
    pub(crate) outcome: Outcome,
    /// The entries on the way that are marked as accessed, that of the page last.
    pub(crate) marked: Vec<Gpa>,
}

/// Walks as the CPU of the VMs of these tests: 40 bits of physical address, pages of 1 GiB.
pub(crate) fn walk(guest: Registers, memory: &GuestMemory, linear: u64, how: Access) -> Walked {
    let mut marked = Vec::new();
    let outcome = find(guest, memory, linear, how, &mut marked);
    Walked { outcome, marked }
}

fn find(
    guest: Registers,
    memory: &GuestMemory,
    linear: u64,
    how: Access,
    marked: &mut Vec<Gpa>,
) -> Outcome {
    let has = |register: u64, bit: u32| register >> bit & 1 != 0;
    let at = |gpa: u64| {
        if gpa < memory.bytes() {
            Outcome::At(gpa)
        } else {
            Outcome::Outside
        }
    };
    if !has(guest.cr0, 31) {
        return at(linear & 0xffff_ffff);
    }
    let (pae, long) = (has(guest.cr4, 5), has(guest.efer, 10));
    let no_execute = pae && has(guest.efer, 11);
    let fault = |why: u32| {
        let bits = [(how.write, 1), (how.user, 2), (how.fetch && no_execute, 4)];
        let how = bits.map(|(holds, bit)| u32::from(holds) << bit);
        Outcome::Fault(how.into_iter().fold(why, |error, bit| error | bit))
    };
    // The lowest bit of each level's index, and how many there are.
    let (mut table, levels): (_, &[(u32, u32)]) = match (pae, long) {
        (false, _) => (guest.cr3 & 0xffff_f000, &[(22, 10), (12, 10)]),
        (true, false) => (guest.cr3 & 0xffff_ffe0, &[(30, 2), (21, 9), (12, 9)]),
        (true, true) => (
            guest.cr3 & 0x000f_ffff_ffff_f000,
            &[(39, 9), (30, 9), (21, 9), (12, 9)],
        ),
    };
    let (mut writable, mut user, mut executable) = (true, true, true);
    for &(shift, bits) in levels {
        let index = linear >> shift & ((1 << bits) - 1);
        let place = Gpa(table + index * if pae { 8 } else { 4 });
        let entry = if pae {
            memory.read_u64(place)
        } else {
            memory.read_u32(place).map(u64::from)
        };
        let Some(entry) = entry else {
            return Outcome::Outside;
        };
        if !has(entry, 0) {
            return fault(0);
        }
        let is_pointer = pae && !long && shift == 30;
        let is_page = shift == 12
            || has(entry, 7)
                && match shift {
                    22 => has(guest.cr4, 4),
                    21 => true,
                    _ => long && shift == 30,
                };
        let must_be_zero = match (shift, is_page) {
            (22, true) => vec![21..=21],
            (21, true) => vec![13..=20],
            (30, true) => vec![13..=29],
            (39, _) => vec![7..=8],
            (30, false) if is_pointer => vec![1..=2, 5..=8, 63..=63],
            _ => vec![],
        };
        let of_the_kind = match (pae, long) {
            (false, _) => vec![],
            (true, false) => vec![40..=51, 52..=62],
            (true, true) => vec![40..=51],
        };
        let mut reserved = must_be_zero.into_iter().chain(of_the_kind).flatten();
        if reserved.any(|bit| has(entry, bit)) || pae && !no_execute && has(entry, 63) {
            return fault(0b1001);
        }
        if !is_pointer {
            marked.push(place);
            writable &= has(entry, 1);
            user &= has(entry, 2);
            executable &= !has(entry, 63);
        }
        table = entry
            & if pae {
                0x000f_ffff_ffff_f000
            } else {
                0xffff_f000
            };
        if is_page {
            let may_write = writable || !how.user && !has(guest.cr0, 16);
            if how.user && !user || how.write && !may_write || how.fetch && !executable {
                return fault(1);
            }
            // Where entries have 32 bits, a large page has eight more of its address.
            let high = if shift == 22 { entry >> 13 & 0xff } else { 0 };
            let within = (1 << shift) - 1;
            return at(high << 32 | table & !within | linear & within);
        }
    }
    unreachable!("the last level has only pages")
}

/// Entries of a guest's tables, each with its place.
pub(crate) struct Entries(Vec<(Gpa, u32)>);

impl Entries {
    /// The lower halves of those entries that the tests of two levels and of more begin their
    /// tables and the halves of them with, in these frames.
    pub(crate) fn of(memory: &GuestMemory, frames: Range<u64>) -> Entries {
        let words = || (0..6).chain(512..514);
        let places = frames.flat_map(|frame| words().map(move |word| Gpa(frame * PAGE + word * 4)));
        let read = |place| (place, memory.read_u32(place).expect("a place in memory"));
        Entries(places.map(read).collect())
    }

    /// Fails unless an access that came to what `walked` says has turned these into `after`: the
    /// entries on the way are marked as accessed, and that of a page that is written to as dirty
    /// (APM 5.4.2). One that faulted may have marked some as accessed.
    #[track_caller]
    pub(crate) fn are_marked(&self, after: &Entries, walked: &Walked, how: Access) {
        for ((place, before), (_, after)) in self.0.iter().zip(&after.0) {
            let is_on_the_way = walked.marked.contains(place);
            let dirty = if how.write && walked.marked.last() == Some(place) {
                DIRTY as u32
            } else {
                0
            };
            let accessed = if is_on_the_way { ACCESSED as u32 } else { 0 };
            let (must, may) = match walked.outcome {
                Outcome::At(_) => (accessed | dirty, accessed | dirty),
                Outcome::Fault(_) => (0, accessed),
                Outcome::Outside => (0, accessed | dirty),
            };
            let added = after & !before;
            assert!(
                before & !after == 0 && added & !may == 0 && after & must == must,
                "{place:x?}: {before:#x} is {after:#x}"
            );
        }
    }
}
