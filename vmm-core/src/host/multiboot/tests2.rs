//! Multiboot 2 blocks, good and bad.

use super::version2::{
    ACPI_NEW, ACPI_OLD, COMMAND_LINE, END, FRAMEBUFFER, MAGIC, MEMORY_MAP, MEMORY_SIZES, MODULE,
};
use super::*;
use proptest::prelude::*;
use std::vec::Vec as List;

const INFO: u64 = 0x1_0000;

/// A block in the making.
struct Block(List<u8>);

impl Block {
    fn new() -> Self {
        Self(List::from([0; 8]))
    }

    fn tag(mut self, kind: u32, body: &[u8]) -> Self {
        self.0.extend(kind.to_le_bytes());
        self.0.extend((body.len() as u32 + 8).to_le_bytes());
        self.0.extend(body);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        self
    }

    fn map(self) -> Self {
        let mut body = List::new();
        for value in [24u32, 0] {
            body.extend(value.to_le_bytes());
        }
        for (base, length, kind) in [(0u64, 0x9_F000u64, 1u64), (0x8000_0000, 0x1000, 2)] {
            for value in [base, length, kind] {
                body.extend(value.to_le_bytes());
            }
        }
        self.tag(MEMORY_MAP, &body)
    }

    fn read(self) -> Result<BootInfo, BootInfoError> {
        let mut block = self.tag(END, &[]).0;
        let length = block.len() as u32;
        block[..4].copy_from_slice(&length.to_le_bytes());
        read(&block)
    }
}

fn read(block: &[u8]) -> Result<BootInfo, BootInfoError> {
    let mut boot = BootInfo::default();
    let read = boot.read(MAGIC, INFO, |at| {
        let index = usize::try_from(at.checked_sub(INFO)?).ok()?;
        block.get(index).copied()
    });
    read.map(|()| boot)
}

fn words(values: &[u32]) -> List<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

#[test]
fn everything_is_found_whatever_else_there_is() {
    let mut module = words(&[0x20_0000, 0x20_0123]);
    module.extend(b"image=demo\0");
    let boot = Block::new()
        .tag(77, &[1, 2, 3])
        .tag(COMMAND_LINE, b"floor\0")
        .map()
        .tag(MODULE, &module)
        .read()
        .unwrap();
    assert_eq!(boot.command_line, "floor");
    assert_eq!(boot.ram().collect::<List<_>>(), [Span::new(0, 0x9_F000)]);
    assert_eq!(
        boot.reserved().collect::<List<_>>(),
        [Span::new(0x8000_0000, 0x8000_1000)]
    );
    assert_eq!(boot.modules[0].span, Span::new(0x20_0000, 0x20_0123));
    assert_eq!(boot.modules[0].string, "image=demo");
    assert_eq!((boot.display, boot.acpi_root), (Display::None, None));
    assert_eq!(boot.occupied[0].start.0, INFO);
}

#[test]
fn the_newer_acpi_root_wins_in_any_order() {
    let old = Block::new().map().tag(ACPI_OLD, &[0; 20]).read().unwrap();
    assert!(old.acpi_root.is_some());
    let both = |first, second| {
        let block = Block::new().tag(first, &[1; 40]).tag(second, &[2; 40]);
        block.map().read().unwrap().acpi_root
    };
    assert_eq!(both(ACPI_NEW, ACPI_OLD), Some(INFO + 16));
    assert_eq!(both(ACPI_OLD, ACPI_NEW), Some(INFO + 16 + 48));
}

#[test]
fn a_framebuffer_is_described() {
    let mut body = words(&[0xC000_0000, 1, 5120, 1280, 800]);
    body.extend([32, 1, 0, 0, 16, 8, 8, 8, 0, 8]);
    let boot = Block::new().map().tag(FRAMEBUFFER, &body).read().unwrap();
    let Display::Pixels(pixels) = boot.display else {
        panic!("{:?}", boot.display)
    };
    assert_eq!((pixels.address, pixels.pitch), (0x1_C000_0000, 5120));
    assert_eq!((pixels.width, pixels.height, pixels.depth), (1280, 800, 32));
    assert_eq!(pixels.colours, [(16, 8), (8, 8), (0, 8)]);
    assert_eq!(pixels.span().bytes(), 5120 * 800);
}

#[test]
fn without_a_map_the_two_sizes_serve() {
    let sizes = Block::new().tag(MEMORY_SIZES, &words(&[639, 63 << 10]));
    let ram: List<_> = sizes.read().unwrap().ram().collect();
    assert_eq!(ram, [Span::new(0, 639 << 10), Span::new(1 << 20, 64 << 20)]);
    assert_eq!(Block::new().read(), Err(BootInfoError::NoMemoryMap));
}

#[test]
fn each_defect_has_its_error() {
    assert_eq!(
        read(&words(&[u32::MAX, 0])),
        Err(BootInfoError::BadLength(u32::MAX))
    );
    assert_eq!(
        read(&words(&[16, 0, 1, 7])),
        Err(BootInfoError::BadLength(7))
    );
    assert_eq!(
        read(&words(&[64, 0])),
        Err(BootInfoError::Unreadable(INFO + 8))
    );
    let short = Block::new().tag(MEMORY_MAP, &words(&[19, 0]));
    assert_eq!(short.read(), Err(BootInfoError::ShortRegion(INFO + 24)));
    let bad = Block::new().map().tag(MODULE, &words(&[0x2000, 0x1000, 0]));
    assert_eq!(bad.read(), Err(BootInfoError::BadModule(0)));
    let mut many = Block::new().map();
    for _ in 0..=MAX_MODULES {
        many = many.tag(MODULE, &words(&[0x2000, 0x3000, 0]));
    }
    assert_eq!(
        many.read(),
        Err(BootInfoError::TooManyModules(MAX_MODULES as u32 + 1))
    );
}

proptest! {
    #[test]
    fn no_block_whatever_makes_the_reader_panic(
        tags in prop::collection::vec((0u32..20, prop::collection::vec(any::<u8>(), 0..64)), 0..12),
        length in prop::option::of(any::<u32>()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut block = Block::new();
        for (kind, body) in tags {
            block = block.tag(kind, &body);
        }
        let mut block = block.tag(END, &[]).0;
        for (at, value) in flips {
            let at = at.index(block.len());
            block[at] = value;
        }
        let length = length.unwrap_or(block.len() as u32);
        block[..4].copy_from_slice(&length.to_le_bytes());
        let _ = read(&block);
    }
}
