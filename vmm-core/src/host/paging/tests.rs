//! A PC's memory map as page tables, and any plan whatever.

use super::*;
use proptest::prelude::*;
use std::vec::Vec as List;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Tables in a list; a table's address is its place in it, in pages from 1 on.
#[derive(Default)]
struct Paper(List<[u64; ENTRIES]>);

impl Tables for Paper {
    fn allocate(&mut self) -> Option<Hpa> {
        self.0.push([0; ENTRIES]);
        Some(Hpa(self.0.len() as u64 * PAGE))
    }
    fn write(&mut self, table: Hpa, index: usize, entry: u64) {
        self.0[(table.0 / PAGE) as usize - 1][index] = entry;
    }
}

impl Paper {
    fn leaf(&self, root: Hpa, address: u64) -> Option<(u64, u64)> {
        walk(root, address, |table, index| {
            self.0[(table.0 / PAGE) as usize - 1][index]
        })
    }
}

fn image() -> ImageLayout {
    ImageLayout {
        text: Span::new(MIB, MIB + 0x8000),
        rodata: Span::new(MIB + 0x8000, MIB + 0x9000),
        data: Span::new(MIB + 0x9000, MIB + 0x20000),
        stack_guard: Span::new(MIB + 0xA000, MIB + 0xB000),
        symbols: Span::default(),
    }
}

fn pc() -> Plan {
    let ram = [Span::new(0, 0x9_FC00), Span::new(MIB, 5 * GIB)];
    let reserved = [Span::new(0x9_FC00, 0xA_0000), Span::new(3 * GIB, 4 * GIB)];
    Plan::new(
        ram,
        reserved,
        &image(),
        [Span::new(2 * MIB, 2 * MIB + PAGE)],
    )
    .unwrap()
}

#[test]
fn nothing_is_both_writable_and_executable() {
    for kind in [
        Kind::Unmapped,
        Kind::Code,
        Kind::Constants,
        Kind::Memory,
        Kind::Device,
        Kind::Pixels,
    ] {
        let leaf = kind.leaf(1).unwrap_or(0);
        assert!(leaf & WRITABLE == 0 || leaf & NO_EXECUTE != 0, "{kind:?}");
    }
}

/// The level of a table whose entries map `bytes`.
fn level(bytes: u64) -> u32 {
    (1..=ROOT_LEVEL)
        .find(|level| entry_bytes(*level) == bytes)
        .unwrap()
}

#[test]
fn a_framebuffer_gathers_writes_wherever_it_is() {
    let mut plan = pc();
    let pixels = Span::new(6 * GIB, 6 * GIB + 2 * MIB + PAGE);
    plan.add_pixels(pixels).unwrap();
    let mut tables = Paper::default();
    let root = build(&plan, &mut tables, true).unwrap();
    let (large, bytes) = tables.leaf(root, 6 * GIB).unwrap();
    assert_eq!(
        (bytes, large & (PAT_OF_LARGE | LARGE)),
        (2 * MIB, PAT_OF_LARGE | LARGE)
    );
    let (small, bytes) = tables.leaf(root, 6 * GIB + 2 * MIB).unwrap();
    assert_eq!(
        (bytes, small & (PAT | WRITE_THROUGH | CACHE_DISABLE)),
        (PAGE, PAT)
    );
    assert_eq!(tables.leaf(root, 6 * GIB + 2 * MIB + PAGE), None);
}

#[test]
fn each_part_of_a_pc_is_mapped_as_it_should_be() {
    let mut tables = Paper::default();
    let root = build(&pc(), &mut tables, true).unwrap();
    for (address, kind) in [
        (0, Kind::Unmapped),
        (PAGE, Kind::Memory),
        (0x9_F000, Kind::Device),
        (0xB_8000, Kind::Device),
        (MIB, Kind::Code),
        (MIB + 0x8000, Kind::Constants),
        (MIB + 0x9000, Kind::Memory),
        (MIB + 0xA000, Kind::Unmapped),
        (2 * MIB, Kind::Unmapped),
        (2 * MIB + PAGE, Kind::Memory),
        (GIB, Kind::Memory),
        (4 * GIB - PAGE, Kind::Device),
        (4 * GIB, Kind::Memory),
        (5 * GIB, Kind::Unmapped),
    ] {
        let found = tables.leaf(root, address);
        let expected = |bytes| {
            kind.leaf(level(bytes))
                .map(|leaf| leaf | (address / bytes * bytes))
        };
        match found {
            Some((leaf, bytes)) => assert_eq!(Some(leaf), expected(bytes), "{address:#x}"),
            None => assert_eq!(kind, Kind::Unmapped, "{address:#x}"),
        }
    }
}

#[test]
fn large_pages_are_used_where_they_fit() {
    let mut tables = Paper::default();
    let root = build(&pc(), &mut tables, true).unwrap();
    assert_eq!(tables.leaf(root, 4 * GIB).unwrap().1, GIB);
    assert_eq!(tables.leaf(root, 4 * MIB).unwrap().1, 2 * MIB);
    // Root, pointers, one directory, two tables for the first 4 MiB.
    assert_eq!(tables.0.len(), 5);
    let mut small = Paper::default();
    let root = build(&pc(), &mut small, false).unwrap();
    assert_eq!(small.leaf(root, 4 * GIB).unwrap().1, 2 * MIB);
}

#[test]
fn firmware_memory_above_4_gib_is_left_alone() {
    let reserved = Span::new(GIB, 6 * GIB);
    let plan = Plan::new([Span::new(MIB, 8 * GIB)], [reserved], &image(), []).unwrap();
    assert_eq!(plan.uniform(Span::sized(2 * GIB, PAGE)), Some(Kind::Device));
    assert_eq!(
        plan.uniform(Span::sized(5 * GIB, PAGE)),
        Some(Kind::Unmapped)
    );
    assert_eq!(plan.uniform(Span::sized(7 * GIB, PAGE)), Some(Kind::Memory));
}

#[test]
fn running_out_of_memory_is_an_error() {
    struct Few(usize);
    impl Tables for Few {
        fn allocate(&mut self) -> Option<Hpa> {
            self.0 = self.0.checked_sub(1)?;
            Some(Hpa(PAGE))
        }
        fn write(&mut self, _: Hpa, _: usize, _: u64) {}
    }
    assert_eq!(
        build(&pc(), &mut Few(4), true),
        Err(PagingError::OutOfMemory)
    );
}

proptest! {
    /// The tables say of every page what the last layer over it says.
    #[test]
    fn tables_say_what_the_layers_say(
        layers in prop::collection::vec((0u64..2000, 1u64..1200, 0usize..6), 1..12),
        gigabyte_pages: bool,
        probes in prop::collection::vec(0u64..3300, 50),
    ) {
        let kinds = [Kind::Unmapped, Kind::Code, Kind::Constants, Kind::Memory, Kind::Device, Kind::Pixels];
        let mut plan = Plan::default();
        for (start, pages, kind) in &layers {
            plan.add(Span::sized(start * PAGE, pages * PAGE), kinds[*kind]).unwrap();
        }
        let mut tables = Paper::default();
        let root = build(&plan, &mut tables, gigabyte_pages).unwrap();
        for page in probes {
            let address = page * PAGE;
            let over = layers.iter().rev().find(|(start, pages, _)| (*start..start + pages).contains(&page));
            let kind = over.map_or(Kind::Unmapped, |(_, _, kind)| kinds[*kind]);
            match tables.leaf(root, address) {
                Some((leaf, bytes)) => {
                    let expected = kind.leaf(level(bytes)).map(|leaf| leaf | (address / bytes * bytes));
                    prop_assert_eq!(Some(leaf), expected, "page {:#x}", page);
                }
                None => prop_assert_eq!(kind, Kind::Unmapped, "page {:#x}", page),
            }
        }
    }
}

/// APM volume 2, 7.8.2: PAT, PCD and PWT number an entry of the table; 7.8.1: what each is.
#[test]
fn memory_is_cached_devices_never_and_pixels_are_gathered() {
    const UNCACHEABLE: u64 = 0;
    const COMBINING: u64 = 1;
    const BACK: u64 = 6;
    for level in [1, 2, 3] {
        let kind_of = |kind: Kind| {
            let leaf = kind.leaf(level).unwrap();
            let pat = if level > 1 { leaf >> 12 } else { leaf >> 7 };
            let entry = (pat & 1) << 2 | (leaf >> 4 & 1) << 1 | leaf >> 3 & 1;
            ATTRIBUTES >> (entry * 8) & 7
        };
        assert_eq!(kind_of(Kind::Device), UNCACHEABLE);
        assert_eq!(kind_of(Kind::Pixels), COMBINING);
        for kind in [Kind::Code, Kind::Constants, Kind::Memory] {
            assert_eq!(kind_of(kind), BACK);
        }
    }
}
