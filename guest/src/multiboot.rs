//! What a Multiboot 1 loader tells a kernel: its command line and the memory map.
//!
//! Follows the Multiboot Specification 0.6.96, section 3.3. Pure parsing of
//! bytes that somebody else fetched; a damaged table ends early, nothing panics.

/// What EAX holds when a Multiboot 1 loader enters the kernel.
pub const LOADER_MAGIC: u32 = 0x2BAD_B002;

/// Bytes of the information structure that this kernel reads.
pub const INFO_BYTES: usize = 52;

/// The parts of the information structure that this kernel uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Info {
    /// Memory above 1 MiB up to the first hole, in KiB; 0 if not told.
    pub upper_kib: u32,
    /// Memory from 0 up to the first hole, in KiB; 0 if not told.
    pub lower_kib: u32,
    /// Physical address of the command line, a C string; `None` if there is none.
    pub cmdline: Option<u32>,
    /// Physical address and bytes of the memory map; `None` if there is none.
    pub memory_map: Option<(u32, u32)>,
}

impl Info {
    /// Reads the structure; a field whose flag bit is clear is left out.
    pub fn parse(bytes: &[u8; INFO_BYTES]) -> Self {
        let word = |offset| word(bytes, offset).unwrap_or(0);
        let flags = word(0);
        let has = |bit: u32| flags & (1 << bit) != 0;
        Self {
            lower_kib: if has(0) { word(4) } else { 0 },
            upper_kib: if has(0) { word(8) } else { 0 },
            cmdline: has(2).then(|| word(16)),
            memory_map: has(6).then(|| (word(48), word(44))),
        }
    }
}

/// One entry of the memory map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// First byte beyond.
    pub end: u64,
    /// Whether it is RAM that a kernel may use.
    pub usable: bool,
}

impl Region {
    /// Bytes of the region.
    pub fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// The entries of a memory map, one after the other; stops at the first damaged one.
pub fn regions(mut map: &[u8]) -> impl Iterator<Item = Region> {
    core::iter::from_fn(move || {
        let rest = usize::try_from(word(map, 0)?).ok()?;
        let entry = map.get(4..rest.checked_add(4)?)?;
        let start = long(entry, 0)?;
        let region = Region {
            start,
            end: start.saturating_add(long(entry, 8)?),
            usable: word(entry, 16)? == 1,
        };
        map = &map[4 + rest..];
        Some(region)
    })
}

/// The little-endian 32-bit word at `offset`, if the bytes reach so far.
fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let word = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*word))
}

/// The little-endian 64-bit word at `offset`, if the bytes reach so far.
fn long(bytes: &[u8], offset: usize) -> Option<u64> {
    let long = bytes.get(offset..)?.first_chunk()?;
    Some(u64::from_le_bytes(*long))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn entry(size: u32, start: u64, length: u64, kind: u32) -> Vec<u8> {
        let mut bytes = size.to_le_bytes().to_vec();
        bytes.extend(start.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.resize(4 + size as usize, 0);
        bytes
    }

    #[test]
    fn a_memory_map_is_read_whatever_the_size_of_its_entries() {
        let mut map = entry(20, 0, 0x9fc00, 1);
        map.extend(entry(24, 0x9fc00, 0x60400, 2));
        map.extend(entry(20, 0x10_0000, 63 << 20, 1));
        let read: Vec<_> = regions(&map).collect();
        assert_eq!(
            read,
            [
                Region {
                    start: 0,
                    end: 0x9fc00,
                    usable: true
                },
                Region {
                    start: 0x9fc00,
                    end: 0x10_0000,
                    usable: false
                },
                Region {
                    start: 0x10_0000,
                    end: 64 << 20,
                    usable: true
                },
            ]
        );
        assert_eq!(read[2].bytes(), 63 << 20);
    }

    #[test]
    fn an_entry_that_is_cut_off_or_too_small_ends_the_map() {
        let whole = entry(20, 0, 4096, 1);
        assert_eq!(regions(&whole[..23]).count(), 0);
        assert_eq!(regions(&entry(8, 0, 4096, 1)[..12]).count(), 0);
        assert_eq!(regions(&[0xff; 24]).count(), 0);
    }

    #[test]
    fn a_field_without_its_flag_is_not_read() {
        let mut bytes = [0xaa; INFO_BYTES];
        bytes[..4].fill(0);
        assert_eq!(Info::parse(&bytes), Info::default());
        bytes[0] = 1 << 2;
        assert_eq!(Info::parse(&bytes).cmdline, Some(0xaaaa_aaaa));
    }

    proptest! {
        #[test]
        fn no_memory_map_is_read_beyond_its_end_or_for_ever(
            map in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            for region in regions(&map) {
                prop_assert!(region.start <= region.end);
            }
        }
    }
}
