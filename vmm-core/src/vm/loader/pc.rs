//! The PC that a boot loader would have found: where its memory is, and putting things there.

use super::LoadError;
use crate::addr::Gpa;
use crate::vm::memory::GuestMemory;

/// End of conventional memory on a PC; from here to 1 MiB the firmware would be.
pub(super) const LOW_END: u64 = 0x9_fc00;
/// Where the memory behind the firmware begins.
pub(super) const ONE_MIB: u64 = 0x10_0000;
/// The first guest-physical address that a kernel may use: page 0 stays free, so that a
/// null pointer in the boot information is never a valid one.
pub(super) const FIRST_USABLE: u64 = 0x1000;

/// Types of memory, in the words of E820: free to use, and not.
pub(super) const USABLE: u32 = 1;
pub(super) const RESERVED: u32 = 2;

/// The memory of a VM of `bytes` bytes as firmware shows it: base, length, type. A length may
/// be 0.
pub(super) fn memory_map(bytes: u64) -> [(u64, u64, u32); 3] {
    [
        (0, LOW_END.min(bytes), USABLE),
        (LOW_END, ONE_MIB - LOW_END, RESERVED),
        (ONE_MIB, bytes.saturating_sub(ONE_MIB), USABLE),
    ]
}

/// Copies `bytes` to `start` and zeroes up to `end`, if all of it is usable memory.
pub(super) fn place(
    memory: &mut GuestMemory,
    start: u64,
    bytes: &[u8],
    end: u64,
) -> Result<(), LoadError> {
    let misfit = LoadError::DoesNotFit {
        start,
        end,
        memory: memory.bytes(),
    };
    let filled = start.checked_add(bytes.len() as u64).ok_or(misfit)?;
    if start < FIRST_USABLE || end > memory.bytes() || filled > end {
        return Err(misfit);
    }
    memory.write(Gpa(start), bytes).ok_or(misfit)?;
    memory.zero(Gpa(filled), end - filled).ok_or(misfit)
}

/// Writes 32-bit words from `start` on.
pub(super) fn write_words(
    memory: &mut GuestMemory,
    start: u64,
    words: &[u32],
) -> Result<(), LoadError> {
    for (index, word) in words.iter().enumerate() {
        memory
            .write(Gpa(start + 4 * index as u64), &word.to_le_bytes())
            .ok_or(LoadError::NoRoom)?;
    }
    Ok(())
}

/// The little-endian 32-bit word at `offset` of a file.
pub(super) fn word(image: &[u8], offset: usize) -> Option<u32> {
    let bytes = image.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}
