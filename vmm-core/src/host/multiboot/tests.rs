//! Blocks as boot loaders write them, and blocks as nobody should.

use super::version1::{
    FLAG_COMMAND_LINE, FLAG_FRAMEBUFFER, FLAG_MEMORY, FLAG_MEMORY_MAP, FLAG_MODULES, MAGIC,
};
use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec as Bytes;

const INFO: u64 = 0x9500;

/// 64 KiB of memory with a block in it.
struct Memory(Bytes<u8>);

impl Memory {
    fn new(flags: u32) -> Self {
        let mut memory = Self(vec![0; 0x10000]);
        memory.put(INFO, flags);
        memory
    }

    fn put(&mut self, at: u64, value: u32) {
        self.0[at as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }

    fn text(&mut self, at: u64, text: &[u8]) {
        self.0[at as usize..][..text.len()].copy_from_slice(text);
    }

    fn region(&mut self, at: u64, size: u32, base: u64, length: u64, kind: u32) {
        self.put(at, size);
        self.text(at + 4, &base.to_le_bytes());
        self.text(at + 12, &length.to_le_bytes());
        self.put(at + 20, kind);
    }

    fn read(&self) -> Result<BootInfo, BootInfoError> {
        self.read_at(INFO)
    }

    fn read_at(&self, info: u64) -> Result<BootInfo, BootInfoError> {
        let mut boot = BootInfo::default();
        let read = boot.read(MAGIC, info, |at| {
            usize::try_from(at)
                .ok()
                .and_then(|at| self.0.get(at).copied())
        });
        read.map(|()| boot)
    }

    fn with_map(flags: u32) -> Self {
        let mut memory = Self::new(FLAG_MEMORY_MAP | flags);
        memory.put(INFO + 44, 24 + 28);
        memory.put(INFO + 48, 0x1000);
        memory.region(0x1000, 20, 0, 0x9FC00, 1);
        // A longer entry, as newer firmware makes them.
        memory.region(0x1018, 24, 0xF000_0000, 0x1000, 2);
        memory
    }
}

#[test]
fn the_map_is_read_with_entries_of_any_size() {
    let boot = Memory::with_map(0).read().unwrap();
    assert_eq!(boot.ram().collect::<Bytes<_>>(), [Span::new(0, 0x9FC00)]);
    assert_eq!(
        boot.reserved().collect::<Bytes<_>>(),
        [Span::new(0xF000_0000, 0xF000_1000)]
    );
}

#[test]
fn modules_come_with_their_strings() {
    let mut memory = Memory::with_map(FLAG_MODULES);
    memory.put(INFO + 20, 2);
    memory.put(INFO + 24, 0x2000);
    for (at, value) in [
        (0, 0x20_0000),
        (4, 0x20_0123),
        (8, 0x3000),
        (16, 0x30_0000),
        (20, 0x30_0000),
    ] {
        memory.put(0x2000 + at, value);
    }
    memory.text(0x3000, b"kernel.elf image=demo\0");
    let boot = memory.read().unwrap();
    assert_eq!(boot.modules[0].span, Span::new(0x20_0000, 0x20_0123));
    assert_eq!(boot.modules[0].string, "kernel.elf image=demo");
    assert_eq!(boot.modules[1].string, "");
    assert!(boot.occupied.contains(&Span::new(0x3000, 0x3016)));
    assert!(boot.occupied.contains(&Span::new(0x2000, 0x2020)));
}

#[test]
fn an_empty_module_is_one_wherever_it_is_said_to_be() {
    let mut memory = Memory::with_map(FLAG_MODULES);
    memory.put(INFO + 20, 1);
    memory.put(INFO + 24, 0x2000);
    let boot = memory.read().unwrap();
    assert_eq!(boot.modules[0].span.bytes(), 0);
    assert_ne!(boot.modules[0].span.start, Span::new(0, 0).start);
}

#[test]
fn a_command_line_is_read_to_its_nul() {
    let mut memory = Memory::with_map(FLAG_COMMAND_LINE);
    memory.put(INFO + 16, 0x3000);
    memory.text(0x3000, b"tollgate \xC3\xA9 word\0not this");
    assert_eq!(memory.read().unwrap().command_line, "tollgate ?? word");
}

#[test]
fn without_a_map_the_two_sizes_serve() {
    let mut memory = Memory::new(FLAG_MEMORY);
    memory.put(INFO + 4, 639);
    memory.put(INFO + 8, 63 << 10);
    let ram: Bytes<_> = memory.read().unwrap().ram().collect();
    assert_eq!(ram, [Span::new(0, 639 << 10), Span::new(1 << 20, 64 << 20)]);
}

#[test]
fn the_screen_is_what_the_loader_left() {
    assert_eq!(Memory::with_map(0).read().unwrap().display, Display::Text);
    let mut memory = Memory::with_map(FLAG_FRAMEBUFFER);
    for (at, value) in [(88, 0xE000_0000), (96, 4096), (100, 1024), (104, 768)] {
        memory.put(INFO + at, value);
    }
    memory.text(INFO + 108, &[32, 1, 16, 8, 8, 8, 0, 8]);
    assert_eq!(
        memory.read().unwrap().display,
        Display::Pixels(Pixels {
            address: 0xE000_0000,
            pitch: 4096,
            width: 1024,
            height: 768,
            depth: 32,
            colours: [(16, 8), (8, 8), (0, 8)],
        })
    );
    // Text of a size that the VMM does not know, and of one that it does.
    memory.text(INFO + 109, &[2]);
    assert_eq!(memory.read().unwrap().display, Display::None);
    memory.put(INFO + 100, 80);
    memory.put(INFO + 104, 25);
    assert_eq!(memory.read().unwrap().display, Display::Text);
}

#[test]
fn each_defect_has_its_error() {
    let plain = Memory::with_map(0);
    assert_eq!(
        BootInfo::default().read(0x36D7_6288, INFO, |_| Some(0)),
        Err(BootInfoError::NotMultiboot(0x36D7_6288))
    );
    assert_eq!(
        plain.read_at(0xFFFF_FFF0),
        Err(BootInfoError::Unreadable(0xFFFF_FFF0))
    );
    assert_eq!(
        plain.read_at(u64::MAX),
        Err(BootInfoError::Unreadable(u64::MAX))
    );
    assert_eq!(Memory::new(0).read(), Err(BootInfoError::NoMemoryMap));

    let mut short = Memory::with_map(0);
    short.put(0x1018, 19);
    assert_eq!(short.read(), Err(BootInfoError::ShortRegion(0x1018)));

    let mut many = Memory::new(FLAG_MEMORY_MAP);
    many.put(INFO + 44, 24 * 129);
    many.put(INFO + 48, 0x1000);
    for number in 0..129 {
        many.region(0x1000 + 24 * number, 20, number << 20, 1, 1);
    }
    assert_eq!(many.read(), Err(BootInfoError::TooManyRegions));

    let mut modules = Memory::with_map(FLAG_MODULES);
    const MOST: u32 = MAX_MODULES as u32;
    modules.put(INFO + 20, MOST + 1);
    assert_eq!(modules.read(), Err(BootInfoError::TooManyModules(MOST + 1)));
    modules.put(INFO + 20, 1);
    modules.put(INFO + 24, 0x2000);
    modules.put(0x2004, 0x20_0000);
    assert_eq!(modules.read(), Err(BootInfoError::BadModule(0)));
    modules.put(0x2000, 0x20_0001);
    assert_eq!(modules.read(), Err(BootInfoError::BadModule(0)));

    let mut line = Memory::with_map(FLAG_COMMAND_LINE);
    line.put(INFO + 16, 0x3000);
    line.text(0x3000, &[b'x'; MAX_COMMAND_LINE + 1]);
    assert_eq!(
        line.read(),
        Err(BootInfoError::LongString(0x3000, MAX_COMMAND_LINE))
    );
}

proptest! {
    /// Small numbers everywhere make the block's pointers hit memory often.
    #[test]
    fn no_block_whatever_makes_the_reader_panic(
        flags in 0u32..0x2000,
        words in prop::collection::vec(prop_oneof![0u32..64, 0u32..0x1_0000, any::<u32>()], 64),
        junk in prop::collection::vec(any::<u8>(), 4096),
    ) {
        let mut memory = Memory::new(flags);
        memory.text(0x2000, &junk);
        for (number, word) in words.iter().enumerate() {
            memory.put(INFO + 4 + 4 * number as u64, *word);
        }
        let _ = memory.read();
    }

    #[test]
    fn every_region_of_the_map_is_found(
        regions in prop::collection::vec((any::<u64>(), 1u64.., 1u32..6), 0..MAX_REGIONS),
    ) {
        let mut memory = Memory::new(FLAG_MEMORY_MAP);
        memory.put(INFO + 44, 24 * regions.len() as u32);
        memory.put(INFO + 48, 0x1000);
        for (number, (base, length, kind)) in regions.iter().enumerate() {
            memory.region(0x1000 + 24 * number as u64, 20, *base, *length, *kind);
        }
        let boot = memory.read().unwrap();
        let expected: Bytes<_> = regions
            .iter()
            .map(|&(base, length, kind)| (Span::sized(base, length), kind == 1))
            .filter(|(span, _)| !span.is_empty())
            .collect();
        let found: Bytes<_> = boot.memory.iter().map(|region| (region.span, region.usable)).collect();
        prop_assert_eq!(found, expected);
    }
}
