//! What a guest does at random means what its own tables say, on a CPU that forgets only what it is
//! told to.

use proptest::prelude::*;

use super::tlb::Tlb;
use super::*;
use crate::svm::tlb;

/// The frames that hold tables: roots in 1 and 2, others from 3 on.
const TABLES: u64 = 9;

/// An entry: mostly present, mostly of a table where it is of an upper level.
fn entry_bits() -> impl Strategy<Value = u64> {
    let flags = prop_oneof![8 => Just(PRESENT), 1 => Just(0)]
        .prop_flat_map(|present| (Just(present), 0u64..0x200))
        .prop_map(|(present, flags)| flags & !1 & !0x18 | present);
    let frame = prop_oneof![6 => 3..TABLES, 3 => 0..FRAMES as u64, 1 => 256..300u64];
    (flags, frame).prop_map(|(flags, frame)| (frame * PAGE) | flags)
}

/// One thing that a guest does.
#[derive(Clone, Debug)]
enum Step {
    Access(usize, bool, bool),
    /// Changes an entry; then INVLPG of every address in use, or a load of CR3.
    Change(u64, u64, u64, bool),
    /// Loads CR3; with CR0.WP, and with CR4.PGE.
    Load(u64, bool, bool),
}

fn mostly() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.8)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let access = (0usize..16, any::<bool>(), any::<bool>());
    let change = (1..TABLES, 0u64..3, entry_bits(), any::<bool>());
    let step = prop_oneof![
        6 => access.prop_map(|(page, write, user)| Step::Access(page, write, user)),
        3 => change.prop_map(|(table, index, bits, all)| Step::Change(table, index, bits, all)),
        1 => (1u64..3, mostly(), mostly()).prop_map(|(root, wp, pge)| Step::Load(root, wp, pge)),
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
        let leads_to_pointers = kind == Kind::Pae && matches!(bits / PAGE, 1 | 2);
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
            Step::Access(page, write, user) => {
                let how = Access {
                    write,
                    user,
                    fetch: false,
                };
                let linear = address(kind, page);
                let expected = expected(guest, &memory, linear, how);
                let cached = tlb.find(linear, how);
                let found = match cached {
                    Some((gpa, _)) => Outcome::At(gpa),
                    None => access(&mut shadow, &mut memory, linear, how),
                };
                if cached.is_none()
                    && let Some((gpa, is_global)) = cpu_find(&shadow, linear, how)
                {
                    tlb.keep(linear, gpa, how, is_global);
                }
                let is_left = matches!(cached, Some((_, true)));
                // A table outside guest memory, which the reference takes as not present.
                let is_lost = matches!(expected, Outcome::Fault(error) if error & 1 == 0)
                    && found == Outcome::Outside;
                // The reference knows nothing of reserved bits.
                const RESERVED: u32 = 1 << 3;
                let is_odd = matches!(found, Outcome::Fault(error) if error & RESERVED != 0);
                let is_alike = found == expected || is_lost || is_odd || is_left;
                assert!(is_alike, "{found:?}, not {expected:?}");
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
            Step::Load(root, wp, pge) => {
                guest = registers(kind, root * PAGE, wp);
                guest.cr4 |= if pge { CR4_PGE } else { 0 };
                shadow.activate(&memory, guest);
                let is_space = Registers {
                    cr3: guest.cr3,
                    ..before
                } == guest;
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
