//! The part of the VMM's ELF file that boot loaders load.
//!
//! They follow the address fields of its Multiboot header, which count from where the header lies
//! in the file. What comes behind the last loaded byte is for debuggers: it is the larger part of
//! the file, and it names folders of the machine that built it. Sources: the ELF-64 object file
//! format, 1.5; Multiboot 0.6.96, 3.1.2.

/// Where the ELF header keeps what concerns sections, which are all cut away: e_shoff, and
/// e_shnum with e_shstrndx.
const SECTION_FIELDS: [std::ops::Range<usize>; 2] = [0x28..0x30, 0x3C..0x40];
const PT_LOAD: u64 = 1;

/// `elf` up to the end of what is loaded; none if it is no 64-bit ELF file.
pub fn loaded_part(elf: &[u8]) -> Option<Vec<u8>> {
    if elf.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let table = number(elf, 0x20, 8)?;
    let entry_bytes = number(elf, 0x36, 2)?;
    let entries = number(elf, 0x38, 2)?;
    let mut end = entry_bytes.checked_mul(entries)?.checked_add(table)?;
    for index in 0..entries {
        let at = usize::try_from(table.checked_add(index.checked_mul(entry_bytes)?)?).ok()?;
        if number(elf, at, 4)? == PT_LOAD {
            let offset = number(elf, at.checked_add(0x08)?, 8)?;
            let bytes = number(elf, at.checked_add(0x20)?, 8)?;
            end = end.max(offset.checked_add(bytes)?);
        }
    }
    let mut part = elf.get(..usize::try_from(end).ok()?)?.to_vec();
    for field in SECTION_FIELDS {
        part.get_mut(field)?.fill(0);
    }
    Some(part)
}

/// The little-endian number of so many bytes, at most 8, at this offset.
fn number(bytes: &[u8], at: usize, count: usize) -> Option<u64> {
    let digits = bytes.get(at..at.checked_add(count)?)?;
    Some(
        digits
            .iter()
            .rev()
            .fold(0, |number, &digit| number << 8 | u64::from(digit)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one loaded segment, at `offset`, and 16 bytes of debugging matter behind it.
    fn elf(offset: u64, bytes: u64) -> Vec<u8> {
        let mut file = vec![0xEE; 0x100];
        file[..5].copy_from_slice(b"\x7fELF\x02");
        file[0x20..0x28].copy_from_slice(&0x40u64.to_le_bytes());
        file[0x36..0x38].copy_from_slice(&0x38u16.to_le_bytes());
        file[0x38..0x3A].copy_from_slice(&1u16.to_le_bytes());
        file[0x40..0x44].copy_from_slice(&1u32.to_le_bytes());
        file[0x48..0x50].copy_from_slice(&offset.to_le_bytes());
        file[0x60..0x68].copy_from_slice(&bytes.to_le_bytes());
        file
    }

    #[test]
    fn what_is_behind_the_loaded_part_is_gone_and_nothing_points_to_it() {
        let part = loaded_part(&elf(0x80, 0x70)).expect("a part");
        assert_eq!(part.len(), 0xF0);
        assert!(
            part[0x28..0x30]
                .iter()
                .chain(&part[0x3C..0x40])
                .all(|byte| *byte == 0)
        );
    }

    #[test]
    fn a_file_that_is_short_wrong_or_boundless_is_refused() {
        assert_eq!(loaded_part(b""), None);
        assert_eq!(loaded_part(&[0; 0x100]), None);
        assert_eq!(loaded_part(&elf(0x80, 0x81)), None);
        assert_eq!(loaded_part(&elf(u64::MAX, 2)), None);
        let whole = elf(0x80, 0x70);
        for length in 0..0x78 {
            assert_eq!(loaded_part(&whole[..length]), None, "{length}");
        }
    }
}
