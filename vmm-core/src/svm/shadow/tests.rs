//! The shadow tables against the walk of the guest's own, for random tables and accesses.

use std::collections::BTreeMap;

use intercepts::vmcb::Save;
use proptest::prelude::*;

use super::*;
use crate::addr::Hpa;
use crate::svm::tlb::{self, Flush};
use crate::vm::walk;

const FRAMES: usize = 256;
/// More tables than a test needs.
const TABLES_ENOUGH: usize = 64;
const CR0_PG: u64 = 1 << 31;
const CR0_WP: u64 = 1 << 16;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;

#[repr(C, align(4096))]
#[derive(Clone)]
struct WholePage([u8; PAGE as usize]);

/// Aligned pages of this byte; never freed.
fn whole_pages(count: usize, byte: u8) -> GuestMemory {
    let pages = vec![WholePage([byte; PAGE as usize]); count].into_boxed_slice();
    let start = Box::leak(pages).as_mut_ptr();
    // SAFETY: the leaked box belongs to the value alone and lives forever.
    unsafe { GuestMemory::new(Hpa(start as u64), count as u64 * PAGE) }
}

/// A VM of 1 MiB with as many shadow tables as asked for.
fn machine(tables: usize) -> (Shadow, GuestMemory) {
    let memory = whole_pages(FRAMES, 0);
    let room = Room::of(tables, FRAMES);
    // What a table was before it is one is not to matter.
    let piece = whole_pages(room.bytes().div_ceil(PAGE) as usize, 0x55);
    // SAFETY: the pages are leaked, aligned, and nobody else's; no CPU has them in CR3.
    let shadow = unsafe { room.place(piece.base(), &memory, 40, true) };
    (shadow, memory)
}

fn registers(kind: Kind, cr3: u64, write_protect: bool) -> Registers {
    let wp = if write_protect { CR0_WP } else { 0 };
    let (cr0, cr4, efer) = match kind {
        Kind::Unpaged => (0, 0, 0),
        Kind::TwoLevel => (CR0_PG, CR4_PSE, 0),
        Kind::Pae => (CR0_PG, CR4_PAE, 0),
        Kind::Long => (CR0_PG, CR4_PAE, walk::EFER_LMA),
    };
    Registers {
        cr0: cr0 | wp | 1,
        cr3,
        cr4,
        efer,
    }
}

/// The walk of the CPU, which has CR0.WP on: the guest-physical address, if it is allowed.
fn cpu_walk(shadow: &Shadow, linear: u64, access: Access) -> Option<u64> {
    let pool = &shadow.pool;
    let mut table = pool.child(shadow.hardware.cr3);
    let mut rights = WRITABLE | USER;
    loop {
        let key = pool.key(table);
        let index = index(key, linear);
        let entry = pool.entry(Place { table, index });
        if entry & PRESENT == 0 {
            return None;
        }
        if key.level < 3 || key.mode.kind == Kind::Long {
            rights &= entry;
        }
        if key.level == 1 {
            let forbidden = access.write && rights & WRITABLE == 0
                || access.user && rights & USER == 0
                || access.fetch && entry & NO_EXECUTE != 0;
            let gpa = (u64::from(pool.mapped(entry)) * PAGE) | linear & 0xfff;
            return (!forbidden).then_some(gpa);
        }
        table = pool.child(entry);
    }
}

/// The CPU's TLB: what it may hold until VMRUN is told to flush it, by ASID and page.
#[derive(Default)]
struct Tlb(BTreeMap<(u32, u64), (u64, Access)>);

/// The ASID of the guest, and one of somebody else.
const ASID: u32 = 1;
const OTHER: u32 = 2;

impl Tlb {
    /// What VMRUN does as TLB_CONTROL says (APM 15.16.1).
    fn enter(&mut self, control: u8) {
        match control {
            0 => {}
            1 => self.0.clear(),
            3 | 7 => self.0.retain(|(asid, _), _| *asid != ASID),
            other => panic!("TLB_CONTROL {other}"),
        }
    }

    /// What a translation is that the TLB has, if it allows the access.
    fn find(&self, linear: u64, how: Access) -> Option<u64> {
        let (frame, allowed) = self.0.get(&(ASID, linear / PAGE))?;
        let allows = allowed.write >= how.write && allowed.user >= how.user;
        allows.then_some(frame * PAGE + linear % PAGE)
    }

    fn keep(&mut self, linear: u64, gpa: u64, how: Access) {
        let page = self
            .0
            .entry((ASID, linear / PAGE))
            .or_insert((gpa / PAGE, how));
        let wider = |a: Access, b: Access| a.write >= b.write && a.user >= b.user;
        // A page that is walked anew has the rights of that walk.
        if page.0 != gpa / PAGE || wider(how, page.1) {
            *page = (gpa / PAGE, how);
        }
    }
}

/// What an access comes to: where it goes, the error code of its page fault, or nowhere.
#[derive(Debug, PartialEq)]
enum Outcome {
    At(u64),
    Fault(u32),
    Outside,
}

fn access(shadow: &mut Shadow, memory: &mut GuestMemory, linear: u64, how: Access) -> Outcome {
    for _ in 0..2 {
        if let Some(gpa) = cpu_walk(shadow, linear, how) {
            return Outcome::At(gpa);
        }
        match shadow.fault(memory, linear, how) {
            Verdict::Mapped => {}
            Verdict::Stopped(Stop::Fault(fault)) => return Outcome::Fault(fault.error),
            Verdict::Stopped(Stop::Outside { .. }) => return Outcome::Outside,
        }
    }
    match cpu_walk(shadow, linear, how) {
        Some(gpa) => Outcome::At(gpa),
        None => panic!("the same fault again and again at {linear:#x}, {how:?}"),
    }
}

/// What the guest's own tables say.
fn expected(guest: Registers, memory: &GuestMemory, linear: u64, how: Access) -> Outcome {
    let mut save = Save::zeroed();
    guest.put(&mut save);
    let by = walk::Access {
        write: how.write,
        user: how.user,
    };
    match walk::translate_for(&save, memory, linear, by) {
        Ok(gpa) if gpa.0 < memory.bytes() => Outcome::At(gpa.0),
        Ok(_) => Outcome::Outside,
        Err(fault) => Outcome::Fault(fault.error),
    }
}

/// No entry leads out of guest memory, no frame that is guarded can be written to, and none has
/// more than two entries that allow it.
fn holds_together(shadow: &Shadow) {
    let mut writers = [0; FRAMES];
    let pool = &shadow.pool;
    for table in 0..pool.tables_in_use() {
        for index in 0..512 {
            let entry = pool.entry(Place { table, index });
            if entry & PRESENT == 0 {
                continue;
            }
            if pool.key(table).level > 1 {
                assert!(pool.child(entry) < pool.tables_in_use());
                continue;
            }
            let frame = pool.mapped(entry);
            assert!((frame as usize) < FRAMES, "{entry:#x} leads out of the VM");
            if entry & WRITABLE != 0 {
                assert!(!pool.is_guarded(frame), "a mirrored frame is writable");
                writers[frame as usize] += 1;
            }
        }
    }
    assert!(writers.iter().all(|writers| *writers <= 2));
}

/// The frames that hold tables: roots in 1 and 2, others from 3 on.
const TABLES: u64 = 9;

/// An entry: mostly present, mostly of a table where it is of an upper level.
fn entry_bits() -> impl Strategy<Value = u64> {
    let flags = prop_oneof![8 => Just(PRESENT), 1 => Just(0)]
        .prop_flat_map(|present| (Just(present), 0u64..0x100))
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
    Load(u64, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let access = (0usize..16, any::<bool>(), any::<bool>());
    let change = (1..TABLES, 0u64..3, entry_bits(), any::<bool>());
    let step = prop_oneof![
        6 => access.prop_map(|(page, write, user)| Step::Access(page, write, user)),
        3 => change.prop_map(|(table, index, bits, all)| Step::Change(table, index, bits, all)),
        1 => (1u64..3, any::<bool>()).prop_map(|(root, wp)| Step::Load(root, wp)),
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
        match *step {
            Step::Access(page, write, user) => {
                let how = Access {
                    write,
                    user,
                    fetch: false,
                };
                let linear = address(kind, page);
                let expected = expected(guest, &memory, linear, how);
                let found = match tlb.find(linear, how) {
                    Some(gpa) => Outcome::At(gpa),
                    None => access(&mut shadow, &mut memory, linear, how),
                };
                if let Outcome::At(gpa) = found {
                    tlb.keep(linear, gpa, how);
                }
                // A table outside guest memory, which the reference takes as not present.
                let is_lost = matches!(expected, Outcome::Fault(error) if error & 1 == 0)
                    && found == Outcome::Outside;
                // The reference knows nothing of reserved bits.
                const RESERVED: u32 = 1 << 3;
                let is_odd = matches!(found, Outcome::Fault(error) if error & RESERVED != 0);
                let is_alike = found == expected || is_lost || is_odd;
                assert!(is_alike, "{found:?}, not {expected:?}");
            }
            Step::Change(table, index, bits, all) => {
                write_entry(&mut shadow, &mut memory, kind, table, index, bits);
                if all {
                    shadow.activate(&memory, guest);
                } else {
                    for page in 0..16 {
                        shadow.invalidate(&memory, address(kind, page));
                    }
                }
            }
            Step::Load(root, wp) => {
                guest = registers(kind, root * PAGE, wp);
                shadow.activate(&memory, guest);
            }
        }
        holds_together(&shadow);
        let flush = if shadow.take_stale() {
            Flush::All
        } else {
            Flush::Nothing
        };
        tlb.0.insert((OTHER, 0), (0, Access::of(0)));
        tlb.enter(tlb::control(flush, by_asid));
        let spares_the_other = by_asid || flush == Flush::Nothing;
        assert_eq!(tlb.0.contains_key(&(OTHER, 0)), spares_the_other);
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

/// One thing that a guest without sense does.
#[derive(Clone, Debug)]
enum Nonsense {
    Registers(u64, u64, u64, u64),
    Access(u64, u32),
    Invlpg(u64),
    Write(u64, u64),
}

fn nonsense() -> impl Strategy<Value = Nonsense> {
    // Addresses in memory, and any.
    let address = prop_oneof![0..FRAMES as u64 * PAGE, any::<u64>()];
    let entry = prop_oneof![any::<u64>(), 0..FRAMES as u64 * PAGE];
    let cr0 = prop_oneof![any::<u64>(), Just(CR0_PG | 1)];
    let efer = prop_oneof![any::<u64>(), Just(walk::EFER_LMA)];
    prop_oneof![
        1 => (cr0, address.clone(), any::<u64>(), efer)
            .prop_map(|(cr0, cr3, cr4, efer)| Nonsense::Registers(cr0, cr3, cr4, efer)),
        4 => (address.clone(), any::<u32>()).prop_map(|(at, how)| Nonsense::Access(at, how)),
        1 => address.prop_map(Nonsense::Invlpg),
        3 => (0..FRAMES as u64 * PAGE / 8, entry).prop_map(|(at, entry)| Nonsense::Write(at * 8, entry)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Memory full of random entries, any registers, any address: each access is mapped or told,
    /// at once, and no entry leads out of guest memory.
    #[test]
    fn no_table_and_no_register_leads_astray(
        seed: u64, tables in 5usize..TABLES_ENOUGH, steps in proptest::collection::vec(nonsense(), 1..200),
    ) {
        let (mut shadow, mut memory) = machine(tables);
        let mut random = seed | 1;
        for place in (0..FRAMES as u64 * PAGE).step_by(8) {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            // Mostly present, mostly in memory.
            let entry = if random >> 62 == 0 { random } else { random >> 20 & 0xf_f0ff | 1 };
            memory.write(Gpa(place), &entry.to_le_bytes());
        }
        shadow.activate(&memory, Registers::default());
        for step in steps {
            match step {
                Nonsense::Registers(cr0, cr3, cr4, efer) => {
                    shadow.activate(&memory, Registers { cr0, cr3, cr4, efer });
                }
                Nonsense::Access(linear, error) => {
                    let how = Access { fetch: false, ..Access::of(error) };
                    // It panics if the same fault comes again and again.
                    access(&mut shadow, &mut memory, linear, how);
                }
                Nonsense::Invlpg(linear) => shadow.invalidate(&memory, linear),
                Nonsense::Write(at, entry) => {
                    memory.take_written();
                    memory.write(Gpa(at), &entry.to_le_bytes());
                    let written = memory.take_written().unwrap();
                    prop_assert!(shadow.wrote(&memory, written));
                }
            }
            holds_together(&shadow);
        }
    }
}

/// A buffer that is mapped twice in a row, so that what runs over its end arrives at its start.
#[test]
fn one_write_may_span_two_pages_that_are_one_frame() {
    let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
    memory.write(Gpa(0x1000), &0x2007u32.to_le_bytes());
    memory.write(Gpa(0x2000), &0x5007u32.to_le_bytes());
    memory.write(Gpa(0x2004), &0x5007u32.to_le_bytes());
    shadow.activate(&memory, registers(Kind::TwoLevel, 0x1000, true));
    let write = Access::of(0b10);
    for linear in [0xfff, 0x1000] {
        access(&mut shadow, &mut memory, linear, write);
    }
    assert_eq!(cpu_walk(&shadow, 0xfff, write), Some(0x5fff));
    assert_eq!(cpu_walk(&shadow, 0x1000, write), Some(0x5000));
    holds_together(&shadow);
}

/// A guest without any table, as one that has loaded CR3 with nonsense.
#[test]
fn a_root_outside_memory_maps_nothing_and_names_the_place() {
    for kind in [Kind::TwoLevel, Kind::Pae, Kind::Long] {
        let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
        shadow.activate(&memory, registers(kind, 0x7654_3000, true));
        assert_eq!(cpu_walk(&shadow, 0, Access::of(0)), None);
        let verdict = shadow.fault(&mut memory, 0, Access::of(0));
        let outside = Stop::Outside {
            gpa: Gpa(0x7654_3000),
            is_table: true,
        };
        assert_eq!(verdict, Verdict::Stopped(outside));
        shadow.activate(&memory, registers(Kind::Unpaged, 0, true));
        let found = access(&mut shadow, &mut memory, 0x123, Access::of(0));
        assert_eq!(found, Outcome::At(0x123));
    }
}

/// An entry that becomes present needs no flush, whatever it leads to.
#[test]
fn a_table_that_changed_while_nothing_led_there_is_read_anew() {
    let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
    let guest = registers(Kind::TwoLevel, 0x1000, true);
    let read = Access::of(0);
    let write = |shadow: &mut Shadow, memory: &mut GuestMemory, at: u64, entry: u32| {
        memory.write(Gpa(at), &entry.to_le_bytes());
        assert!(shadow.wrote(memory, at..at + 4));
    };
    write(&mut shadow, &mut memory, 0x1000, 0x2007);
    write(&mut shadow, &mut memory, 0x2000, 0x5007);
    shadow.activate(&memory, guest);
    access(&mut shadow, &mut memory, 0, read);
    write(&mut shadow, &mut memory, 0x1000, 0);
    shadow.activate(&memory, guest);
    write(&mut shadow, &mut memory, 0x2000, 0x6007);
    write(&mut shadow, &mut memory, 0x1000, 0x2007);
    let found = access(&mut shadow, &mut memory, 0, read);
    assert_eq!(found, Outcome::At(0x6000));
}

/// The VMM writes a guest's table for it, as INS does: the guest sees it after INVLPG.
#[test]
fn a_table_that_the_vmm_writes_is_compared_when_the_guest_asks() {
    let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
    memory.write(Gpa(0x1000), &0x2007u32.to_le_bytes());
    memory.write(Gpa(0x2000), &0x5007u32.to_le_bytes());
    shadow.activate(&memory, registers(Kind::TwoLevel, 0x1000, true));
    let read = Access::of(0);
    access(&mut shadow, &mut memory, 0, read);
    memory.take_written();
    memory.write(Gpa(0x2000), &0x6007u32.to_le_bytes());
    let written = memory.take_written().unwrap();
    assert!(shadow.wrote(&memory, written));
    shadow.invalidate(&memory, 0);
    let found = access(&mut shadow, &mut memory, 0, read);
    assert_eq!(found, Outcome::At(0x6000));
    assert!(
        !shadow.wrote(&memory, 0..0x10_0000),
        "more than it looks at"
    );
}

#[test]
fn an_unpaged_guest_sees_its_memory_and_nothing_else() {
    let (mut shadow, mut memory) = machine(TABLES_ENOUGH);
    shadow.activate(&memory, registers(Kind::Unpaged, 0, false));
    let write = Access::of(0b10);
    let mut at = |linear| access(&mut shadow, &mut memory, linear, write);
    assert_eq!(at(0x1234), Outcome::At(0x1234));
    assert_eq!(at(0xf_ffff), Outcome::At(0xf_ffff));
    assert_eq!(at(0x10_0000), Outcome::Outside);
    assert_eq!(at(0xffff_f000), Outcome::Outside);
    holds_together(&shadow);
}
