//! Bits that must be 0 in an entry, level by level as the manual's figures have them (APM 5.2 to
//! 5.4): each one alone makes an access a page fault that says so.

use super::*;

/// RSVD and P of the error code.
const RESERVED: u32 = 0b1001;
/// Where the tables are, the root first.
const TABLES: [u64; 4] = [0x1000, 0x2000, 0x3000, 0x4000];

/// The error code of a read of address 0 through tables of this kind, with NXE or without, where
/// the first entry of `level` has these bits beside those that it needs.
fn read(kind: Kind, nxe: bool, level: usize, bits: u64) -> Outcome {
    let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
    let (depth, width) = match kind {
        Kind::Unpaged => (0, 0),
        Kind::TwoLevel => (2, 4),
        Kind::Pae => (3, 8),
        Kind::Long => (4, 8),
    };
    for at in 1..=depth {
        let is_pointer = kind == Kind::Pae && at == 3;
        let flags = if is_pointer { PRESENT } else { 7 };
        let extra = if at == level { bits } else { 0 };
        // A large page is the first one.
        let next = match extra & LARGE {
            0 => TABLES[depth - at] + PAGE,
            _ => 0,
        };
        let entry = (next | flags | extra).to_le_bytes();
        let place = Gpa(TABLES[depth - at]);
        memory.write(place, &entry[..width]).unwrap();
    }
    let mut guest = registers(kind, TABLES[0], true);
    guest.efer |= if nxe { EFER_NXE } else { 0 };
    shadow.activate(&memory, guest);
    access(&mut shadow, &mut memory, 0, Access::of(0))
}

#[track_caller]
fn are_reserved(
    kind: Kind,
    nxe: bool,
    level: usize,
    with: u64,
    bits: impl IntoIterator<Item = u32>,
) {
    for bit in bits {
        assert_eq!(
            read(kind, nxe, level, with | 1 << bit),
            Outcome::Fault(RESERVED),
            "{kind:?}, level {level}, bit {bit}"
        );
    }
}

#[track_caller]
fn are_free(kind: Kind, nxe: bool, level: usize, with: u64, bits: impl IntoIterator<Item = u32>) {
    for bit in bits {
        let found = read(kind, nxe, level, with | 1 << bit);
        let is_there = matches!(found, Outcome::At(_));
        assert!(is_there, "{kind:?}, level {level}, bit {bit}: {found:?}");
    }
}

#[test]
fn a_page_of_4_mib_has_one_reserved_bit_and_a_table_of_two_levels_none() {
    are_reserved(Kind::TwoLevel, false, 2, LARGE, [21]);
    are_free(Kind::TwoLevel, false, 2, LARGE, [3, 4, 8, 9, 10, 11, 12]);
    are_free(Kind::TwoLevel, false, 2, 0, [3, 4, 6, 8, 9, 10, 11]);
    are_free(Kind::TwoLevel, false, 1, 0, [3, 4, 7, 8, 9, 10, 11]);
}

#[test]
fn pae_s_entries_have_the_manual_s_reserved_bits() {
    let pointer = [1, 2, 5, 6, 7, 8].into_iter().chain(40..=63);
    are_reserved(Kind::Pae, true, 3, 0, pointer);
    are_free(Kind::Pae, true, 3, 0, [3, 4, 9, 10, 11]);
    for (level, large) in [(2, 0), (2, LARGE), (1, 0)] {
        are_reserved(Kind::Pae, true, level, large, 40..=62);
        are_reserved(Kind::Pae, false, level, large, [63]);
        are_free(Kind::Pae, true, level, large, [63, 8, 9, 10, 11]);
    }
    are_reserved(Kind::Pae, true, 2, LARGE, 13..=20);
    are_free(Kind::Pae, true, 2, LARGE, [12]);
}

#[test]
fn entries_of_long_mode_have_the_manual_s_reserved_bits() {
    are_reserved(Kind::Long, true, 4, 0, [7, 8]);
    for (level, large) in [(4, 0), (3, 0), (3, LARGE), (2, 0), (2, LARGE), (1, 0)] {
        are_reserved(Kind::Long, true, level, large, 40..=51);
        are_reserved(Kind::Long, false, level, large, [63]);
        are_free(
            Kind::Long,
            true,
            level,
            large,
            (52..=63).chain([6, 9, 10, 11]),
        );
    }
    are_free(Kind::Long, true, 3, 0, [8]);
    are_reserved(Kind::Long, true, 3, LARGE, 13..=29);
    are_reserved(Kind::Long, true, 2, LARGE, 13..=20);
    are_free(Kind::Long, true, 3, LARGE, [12]);
    are_free(Kind::Long, true, 2, LARGE, [12]);
}

/// A CPU without pages of 1 GiB takes their bit for a reserved one.
#[test]
fn without_pages_of_1_gib_their_bit_is_reserved() {
    let (_, mut memory) = machine(TABLES_ENOUGH);
    for (table, entry) in [(0x1000, 0x2007u64), (0x2000, 0x87)] {
        memory.write(Gpa(table), &entry.to_le_bytes()).unwrap();
    }
    let paging = |gigabyte| Paging {
        mode: registers(Kind::Long, 0, true).mode(),
        cr3: 0x1000,
        physical_bits: 40,
        gigabyte,
    };
    let mut walk = |gigabyte| paging(gigabyte).walk(&mut memory, 0, Access::of(0));
    let fault = walk(false).unwrap_err();
    assert!(matches!(fault, Stop::Fault(fault) if fault.error == RESERVED));
    assert!(walk(true).is_ok());
}
