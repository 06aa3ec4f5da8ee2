//! The Multiboot 1 header: section 3.1 of the specification.

use super::super::Loaded;
use super::super::pc::{place, word};
use super::LoadError;
use crate::vm::memory::GuestMemory;

const MAGIC: u32 = 0x1bad_b002;
/// The header lies in the first 8 KiB, on a 4-byte boundary.
const SEARCHED: usize = 8192;
const HAS_ADDRESSES: u32 = 1 << 16;

/// A Multiboot 1 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What the kernel asks for.
    pub flags: u32,
    /// Where in the file the header is.
    offset: usize,
}

/// The header's address fields: how to load the file without ELF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    file_offset: usize,
    load: u32,
    load_end: u32,
    bss_end: u32,
    entry: u32,
}

impl Header {
    /// The first header in `image` whose checksum holds.
    pub fn find(image: &[u8]) -> Option<Header> {
        (0..image.len().min(SEARCHED))
            .step_by(4)
            .find_map(|offset| {
                let flags = word(image, offset + 4)?;
                let sum = word(image, offset)?
                    .wrapping_add(flags)
                    .wrapping_add(word(image, offset + 8)?);
                (word(image, offset) == Some(MAGIC) && sum == 0).then_some(Header { flags, offset })
            })
    }

    /// The address fields, if the header has them.
    pub fn addresses(&self, image: &[u8]) -> Option<Result<Addresses, LoadError>> {
        (self.flags & HAS_ADDRESSES != 0).then(|| self.read_addresses(image))
    }

    fn read_addresses(&self, image: &[u8]) -> Result<Addresses, LoadError> {
        let field = |index: usize| word(image, self.offset + 12 + 4 * index);
        let fields = (|| Some([field(0)?, field(1)?, field(2)?, field(3)?, field(4)?]))();
        let [header, load, load_end, bss_end, entry] = fields.ok_or(LoadError::Truncated {
            needs: self.offset as u64 + 32,
            has: image.len() as u64,
        })?;
        // The header's own address tells which byte of the file goes to the load address.
        let before = header.checked_sub(load).ok_or(LoadError::BadAddresses)? as usize;
        let file_offset = self
            .offset
            .checked_sub(before)
            .ok_or(LoadError::BadAddresses)?;
        Ok(Addresses {
            file_offset,
            load,
            load_end,
            bss_end,
            entry,
        })
    }
}

impl Addresses {
    /// Loads the file as the fields say; a load end of 0 means "to the end of the file", a
    /// bss end of 0 "no bss".
    pub fn load(&self, image: &[u8], memory: &mut GuestMemory) -> Result<Loaded, LoadError> {
        let rest = image.get(self.file_offset..).unwrap_or_default();
        let bytes = if self.load_end == 0 {
            rest
        } else {
            let length = self
                .load_end
                .checked_sub(self.load)
                .ok_or(LoadError::BadAddresses)? as usize;
            rest.get(..length).ok_or(LoadError::Truncated {
                needs: (self.file_offset + length) as u64,
                has: image.len() as u64,
            })?
        };
        let start = u64::from(self.load);
        let filled = start + bytes.len() as u64;
        let end = if self.bss_end == 0 {
            filled
        } else {
            self.bss_end.into()
        };
        if end < filled {
            return Err(LoadError::BadAddresses);
        }
        place(memory, start, bytes, end)?;
        if !(start..end).contains(&self.entry.into()) {
            return Err(LoadError::BadEntry(self.entry.into()));
        }
        Ok(Loaded {
            entry: self.entry,
            start,
            end,
        })
    }
}
