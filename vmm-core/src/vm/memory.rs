//! A guest's memory: one contiguous, zeroed piece of host memory, at guest-physical 0.
//!
//! Every access is checked against the size; what lies beyond is not memory. The guest may
//! change any byte at any time between exits, so nothing here hands out references.

use core::ops::Range;

use crate::addr::{Gpa, Hpa, PAGE};
use crate::journal;

/// The memory of one VM.
pub struct GuestMemory {
    start: *mut u8,
    bytes: u64,
    /// What the VMM has written to since that was last asked, in one range.
    written: Range<u64>,
}

/// A range that any other reaches beyond on both sides.
const NOTHING: Range<u64> = Range {
    start: u64::MAX,
    end: 0,
};

impl GuestMemory {
    /// The memory at `hpa`, `bytes` long, which the VMM maps one to one.
    ///
    /// # Safety
    /// The range must be RAM that belongs to this VM alone and stays so while the value lives.
    pub unsafe fn new(hpa: Hpa, bytes: u64) -> Self {
        GuestMemory {
            start: hpa.0 as *mut u8,
            bytes,
            written: NOTHING,
        }
    }

    /// A memory of these words.
    #[cfg(feature = "journal")]
    pub fn over(words: &'static mut [u64]) -> Self {
        let (start, bytes) = (words.as_mut_ptr().cast(), size_of_val(words) as u64);
        GuestMemory {
            start,
            bytes,
            written: NOTHING,
        }
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where guest-physical 0 is in host memory.
    pub fn base(&self) -> Hpa {
        Hpa(self.start as u64)
    }

    /// A pointer to `len` bytes at `gpa`, if all of them are memory.
    #[inline(always)]
    fn at(&self, gpa: Gpa, len: usize) -> Option<*mut u8> {
        let end = gpa.0.checked_add(len as u64)?;
        if end > self.bytes {
            return None;
        }
        // SAFETY: gpa + len is within the piece, by the check above.
        Some(unsafe { self.start.add(gpa.0 as usize) })
    }

    /// One byte.
    #[inline(always)]
    pub fn read_u8(&self, gpa: Gpa) -> Option<u8> {
        let place = self.at(gpa, 1)?;
        // SAFETY: `at` checked the range; the guest does not run meanwhile.
        let [byte] = journal::memory(gpa, || [unsafe { place.read_volatile() }]);
        Some(byte)
    }

    /// A little-endian 32-bit word; any alignment.
    #[inline]
    pub fn read_u32(&self, gpa: Gpa) -> Option<u32> {
        let place = self.at(gpa, 4)?;
        // SAFETY: as in `read_u8`, and the read may be unaligned.
        let bytes = journal::memory(gpa, || unsafe { place.cast::<[u8; 4]>().read_unaligned() });
        Some(u32::from_le_bytes(bytes))
    }

    /// A little-endian 64-bit word; any alignment.
    #[inline]
    pub fn read_u64(&self, gpa: Gpa) -> Option<u64> {
        let place = self.at(gpa, 8)?;
        // SAFETY: as in `read_u8`, and the read may be unaligned.
        let bytes = journal::memory(gpa, || unsafe { place.cast::<[u8; 8]>().read_unaligned() });
        Some(u64::from_le_bytes(bytes))
    }

    /// Fills `bytes` from guest memory; `None`, and nothing read, if not all of it is memory.
    pub fn read(&self, gpa: Gpa, bytes: &mut [u8]) -> Option<()> {
        let place = self.at(gpa, bytes.len())?;
        journal::much_memory(gpa, bytes, |bytes| {
            // SAFETY: `at` checked the range, and `bytes`, the VMM's own, cannot overlap it.
            unsafe { core::ptr::copy_nonoverlapping(place, bytes.as_mut_ptr(), bytes.len()) };
        });
        Some(())
    }

    /// Writes `bytes` into guest memory; `None`, and nothing written, if not all fits.
    pub fn write(&mut self, gpa: Gpa, bytes: &[u8]) -> Option<()> {
        let place = self.at(gpa, bytes.len())?;
        self.note(gpa, bytes.len() as u64);
        journal::wrote_memory(gpa, bytes);
        // SAFETY: as in `read`.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
        Some(())
    }

    /// Writes the first byte of an entry of the guest's page tables, in which a walk marks it as
    /// accessed and dirty: nobody is to learn of that as of a write.
    #[inline]
    pub fn mark(&mut self, gpa: Gpa, marked: u8) -> Option<()> {
        let place = self.at(gpa, 1)?;
        // SAFETY: as in `read_u8`.
        unsafe { place.write_volatile(marked) };
        Some(())
    }

    /// Zeroes `len` bytes; `None`, and nothing written, if not all of it is memory.
    pub fn zero(&mut self, gpa: Gpa, len: u64) -> Option<()> {
        let bytes = usize::try_from(len).ok()?;
        let place = self.at(gpa, bytes)?;
        self.note(gpa, len);
        journal::zeroed(gpa, len);
        // SAFETY: `at` checked the range.
        unsafe { core::ptr::write_bytes(place, 0, bytes) };
        Some(())
    }

    #[inline]
    fn note(&mut self, gpa: Gpa, len: u64) {
        self.written.start = self.written.start.min(gpa.0);
        self.written.end = self.written.end.max(gpa.0 + len);
    }

    /// What the VMM has written to since this was last asked: one range around all of it.
    #[inline]
    pub fn take_written(&mut self) -> Option<Range<u64>> {
        let written = core::mem::replace(&mut self.written, NOTHING);
        (!written.is_empty()).then_some(written)
    }

    /// The page that holds `gpa`, for repeated small reads; `None` if not all of it is memory.
    pub fn page(&self, gpa: Gpa) -> Option<GuestPage> {
        let bytes = self.at(gpa.page(), PAGE as usize)?;
        Some(GuestPage { bytes })
    }

    /// Copies out `cells` 16-bit text cells at `gpa`, as far as they are memory.
    pub fn read_cells(&self, gpa: Gpa, cells: &mut [u16]) {
        for (index, cell) in cells.iter_mut().enumerate() {
            let mut bytes = [0; 2];
            let place = Gpa(gpa.0.saturating_add(index as u64 * 2));
            *cell = match self.read(place, &mut bytes) {
                Some(()) => u16::from_le_bytes(bytes),
                None => 0,
            };
        }
    }
}

static ZEROES: [u8; PAGE as usize] = [0; PAGE as usize];

/// A page of guest memory. A VM's memory outlives its vCPU, which alone keeps these.
#[derive(Clone, Copy)]
pub struct GuestPage {
    bytes: *const u8,
}

impl GuestPage {
    /// A page of zeroes that is no guest's.
    pub const EMPTY: GuestPage = GuestPage {
        bytes: (&raw const ZEROES).cast(),
    };

    /// Whether `bytes` are at `offset`; `false` if it is not on the page, or so near its end
    /// that an instruction might run over it.
    #[inline(always)]
    pub fn starts_with<const N: usize>(&self, offset: u64, bytes: [u8; N]) -> bool {
        self.read(offset) == Some(bytes)
    }

    /// The bytes at `offset`; `None` as for [`GuestPage::starts_with`].
    #[inline(always)]
    pub fn read<const N: usize>(&self, offset: u64) -> Option<[u8; N]> {
        const LONGEST_INSTRUCTION: u64 = 15;
        const { assert!(N as u64 <= LONGEST_INSTRUCTION) };
        if offset > PAGE - LONGEST_INSTRUCTION {
            return None;
        }
        // SAFETY: `page` found all 4 KiB to be guest memory, and the read ends within them.
        Some(journal::code(offset, || unsafe {
            self.bytes
                .add(offset as usize)
                .cast::<[u8; N]>()
                .read_unaligned()
        }))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Guest memory of `bytes` bytes for tests of other modules, whole pages; never freed.
    pub(crate) fn leaked(bytes: usize) -> GuestMemory {
        let piece = Box::leak(vec![0u64; (bytes + PAGE as usize) / 8].into_boxed_slice());
        let start = (piece.as_mut_ptr() as u64).next_multiple_of(PAGE);
        // SAFETY: the leaked box belongs to the value alone and lives forever.
        unsafe { GuestMemory::new(Hpa(start), bytes as u64) }
    }

    #[test]
    fn what_was_written_is_told_once() {
        let mut memory = leaked(4096);
        memory.write(Gpa(8), &[1, 2]);
        memory.zero(Gpa(64), 16);
        assert_eq!(memory.take_written(), Some(8..80));
        memory.write(Gpa(4095), &[1, 2]);
        assert_eq!(memory.take_written(), None);
    }

    #[test]
    fn the_last_byte_is_memory_and_the_next_is_not() {
        let mut memory = leaked(4096);
        assert_eq!(memory.write(Gpa(4095), &[7]), Some(()));
        assert_eq!(memory.read_u8(Gpa(4095)), Some(7));
        assert_eq!(memory.read_u8(Gpa(4096)), None);
        assert_eq!(memory.read_u32(Gpa(4093)), None);
        assert_eq!(memory.write(Gpa(4095), &[1, 2]), None);
        assert_eq!(memory.zero(Gpa(1), 4096), None);
        assert_eq!(memory.read_u8(Gpa(u64::MAX)), None);
    }
}
