//! What a guest does at random means what its own tables say, on a CPU that forgets only what it is
//! told to.

use proptest::prelude::*;

use super::reference::{Entries, walk};
use super::tlb::Tlb;
use super::*;
use crate::svm::tlb;

/// The frames that hold tables: roots in 1 and 2, others from 3 on.
const TABLES: u64 = 9;

/// An entry: mostly present, mostly of a table where it is of an upper level.
fn entry_bits() -> impl Strategy<Value = u64> {
    let flag = |bit: u64, chance| {
        proptest::bool::weighted(chance).prop_map(move |on| if on { bit } else { 0 })
    };
    let low = (flag(PRESENT, 0.9), flag(LARGE, 0.25), flag(GLOBAL, 0.25));
    let others = (0u64..0x80).prop_map(|flags| flags & !0x19);
    let frame = prop_oneof![6 => 3..TABLES, 3 => 0..FRAMES as u64, 1 => 256..300u64];
    let high = prop_oneof![16 => Just(0), 4 => Just(NO_EXECUTE), 1 => (40..63).prop_map(|bit| 1u64 << bit)];
    (low, others, frame, high).prop_map(|((present, large, global), others, frame, high)| {
        present | large | global | others | (frame * PAGE) | high
    })
}

/// One thing that a guest does.
#[derive(Clone, Debug)]
enum Step {
    Access(usize, Access),
    /// Changes an entry; then INVLPG of every address in use, or a load of CR3.
    Change(u64, u64, u64, bool),
    /// Loads CR3; with CR0.WP, with CR4.PGE, and with EFER.NXE.
    Load(u64, bool, bool, bool),
}

fn mostly() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.8)
}

pub(crate) fn how() -> impl Strategy<Value = Access> {
    proptest::sample::select(vec![0, 0b10, 0b100, 0b110, 0b1_0000, 0b1_0100]).prop_map(Access::of)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let access = (0usize..16, how());
    let change = (1..TABLES, 0u64..3, entry_bits(), any::<bool>());
    let load = (1u64..3, mostly(), mostly(), mostly());
    let step = prop_oneof![
        6 => access.prop_map(|(page, how)| Step::Access(page, how)),
        3 => change.prop_map(|(table, index, bits, all)| Step::Change(table, index, bits, all)),
        1 => load.prop_map(|(root, wp, pge, nxe)| Step::Load(root, wp, pge, nxe)),
    ];
    proptest::collection::vec(step, 1..150)
}

/// A few addresses that reach the first entries of tables of every level.
fn address(kind: Kind, page: usize) -> u64 {
    let page = page as u64;
    let (low, middle, high) = (page & 1, page >> 1 & 1, page >> 2 & 3);
    match kind {
        Kind::Unpaged => page << 14,
        Kind::TwoLevel => (low + (high & 1) * 512) << 12 | middle << 22,
        Kind::Pae => low << 12 | middle << 21 | (high & 1) << 30,
        Kind::Long => low << 12 | middle << 21 | (high & 1) << 30 | (high >> 1) << 39,
    }
}

/// The guest writes an entry of its tables, which a mirrored frame lets it do after a fault.
fn write_entry(
    shadow: &mut Shadow,
    memory: &mut GuestMemory,
    kind: Kind,
    table: u64,
    index: u64,
    bits: u64,
) {
    if shadow.pool.is_guarded(table as u32) {
        shadow.loosen(memory, table as u32);
    }
    if kind == Kind::TwoLevel {
        // The entries that the two halves of a table begin with.
        let index = if index == 2 { 512 } else { index };
        memory.write(Gpa(table * PAGE + index * 4), &(bits as u32).to_le_bytes());
    } else {
        // PAE's four pointers have no rights, and are in no table of another level: bits that
        // are marks there are reserved in them.
        let is_pointer = kind == Kind::Pae && table < 3;
        let bits = if is_pointer { bits & !0x1e6 } else { bits };
        let leads_to_pointers = kind == Kind::Pae && matches!((bits & FRAME) / PAGE, 1 | 2);
        let bits = if leads_to_pointers {
            bits + 2 * PAGE
        } else {
            bits
        };
        memory.write(Gpa(table * PAGE + index * 8), &bits.to_le_bytes());
    }
}

fn guest_and_shadow_agree(kind: Kind, steps: &[Step], tables: usize) {
    for by_asid in [false, true] {
        with_a_tlb(kind, steps, tables, by_asid);
    }
}

/// The CPU has a TLB that forgets only what it is told to, with or without FlushByASID.
fn with_a_tlb(kind: Kind, steps: &[Step], tables: usize, by_asid: bool) {
    let mut tlb = Tlb::default();
    let (mut shadow, mut memory) = machine(tables);
    let mut guest = registers(kind, 0x1000, true);
    shadow.activate(&memory, guest);
    for step in steps {
        let before = guest;
        let mut change = Flush::Nothing;
        match *step {
            Step::Access(page, how) => {
                let linear = address(kind, page);
                let before = Entries::of(&memory, 0..TABLES);
                let expected = walk(guest, &memory, linear, how);
                let cached = tlb.find(linear, how);
                if let Some((_, true)) = cached {
                    continue;
                }
                let found = match cached {
                    Some((gpa, _)) => Outcome::At(gpa),
                    None => access(&mut shadow, &mut memory, linear, how),
                };
                if cached.is_none() {
                    tlb.fill(&shadow, linear);
                }
                assert_eq!(found, expected.outcome);
                before.are_marked(&Entries::of(&memory, 0..TABLES), &expected, how);
            }
            Step::Change(table, index, bits, all) => {
                write_entry(&mut shadow, &mut memory, kind, table, index, bits);
                if all {
                    shadow.activate(&memory, guest);
                    change = Flush::NonGlobal;
                } else {
                    change = Flush::All;
                    for page in 0..16 {
                        shadow.invalidate(&memory, address(kind, page));
                    }
                }
            }
            Step::Load(root, wp, pge, nxe) => {
                guest = registers(kind, root * PAGE, wp);
                guest.cr4 |= if pge { CR4_PGE } else { 0 };
                guest.efer |= if nxe { EFER_NXE } else { 0 };
                shadow.activate(&memory, guest);
                // Without 64-bit entries NXE means nothing.
                let is_space = guest.mode() == before.mode() && guest.cr4 == before.cr4;
                change = if is_space {
                    Flush::NonGlobal
                } else {
                    Flush::All
                };
            }
        }
        holds_together(&shadow);
        let flush = shadow.take_flush();
        tlb.enter(tlb::control(flush, by_asid));
        assert_eq!(tlb.has_other(), by_asid || flush == Flush::Nothing);
        match change {
            Flush::Nothing => {}
            Flush::NonGlobal => tlb.leave(),
            Flush::All => tlb.expect_all_fresh(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables_of_two_levels_mean_what_the_guest_wrote(steps in steps()) {
        guest_and_shadow_agree(Kind::TwoLevel, &steps, TABLES_ENOUGH);
    }

    #[test]
    fn pae_tables_mean_what_the_guest_wrote(steps in steps()) {
        guest_and_shadow_agree(Kind::Pae, &steps, TABLES_ENOUGH);
    }

    #[test]
    fn tables_of_four_levels_mean_what_the_guest_wrote(steps in steps()) {
        guest_and_shadow_agree(Kind::Long, &steps, TABLES_ENOUGH);
    }

    /// As few tables as one path of four levels and a spare one.
    #[test]
    fn an_exhausted_pool_begins_anew_and_still_agrees(steps in steps()) {
        guest_and_shadow_agree(Kind::Long, &steps, 5);
        guest_and_shadow_agree(Kind::TwoLevel, &steps, 4);
    }
}
