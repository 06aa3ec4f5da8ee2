//! The machine's memory, seen from outside: QEMU's shared memory file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ledger::{MAGIC, VERSION};

use crate::failure::{Failure, Result};

const PAGE: u64 = 4096;
const GIB: u64 = 1 << 30;

/// The file.
pub struct Memory {
    file: File,
    bytes: u64,
}

impl Memory {
    /// Opens it.
    ///
    /// # Errors
    /// There is no such file.
    pub fn open(path: &Path) -> Result<Memory> {
        let unreadable =
            |error| Failure::bad_input(format!("cannot read {}: {error}", path.display()));
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        Ok(Memory { file, bytes })
    }

    /// The numbers from a physical address on; `None`: that is no memory.
    pub fn numbers<const N: usize>(&self, address: u64) -> Option<[u64; N]> {
        let mut bytes = vec![0; 8 * N];
        let offset = self.offset(address)?;
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        let mut numbers = [0; N];
        for (number, word) in numbers.iter_mut().zip(words) {
            *number = u64::from_le_bytes(*word);
        }
        Some(numbers)
    }

    /// Where QEMU's PC keeps what is at a physical address: memory that does not fit below 4 GiB
    /// goes on above it.
    fn offset(&self, address: u64) -> Option<u64> {
        const MOST_BELOW: u64 = 3 * GIB + GIB / 2;
        let below = if self.bytes >= MOST_BELOW {
            3 * GIB
        } else {
            self.bytes
        };
        match address.checked_sub(4 * GIB) {
            None if address < below => Some(address),
            None => None,
            Some(above) => below.checked_add(above),
        }
    }

    /// Where the ledger is: it begins a page, with its magic number.
    pub fn find_ledger(&self) -> Option<u64> {
        (1..self.bytes / PAGE)
            .map(|page| page * PAGE)
            .find(|address| self.numbers(*address) == Some([MAGIC, VERSION]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_above_4_gib_follows_what_is_below() {
        let file = tempfile::tempfile().expect("a file");
        let memory = |bytes| Memory {
            file: file.try_clone().expect("a file"),
            bytes,
        };
        assert_eq!(memory(GIB).offset(GIB - 8), Some(GIB - 8));
        assert_eq!(memory(GIB).offset(GIB), None);
        assert_eq!(memory(6 * GIB).offset(4 * GIB), Some(3 * GIB));
        assert_eq!(memory(6 * GIB).offset(3 * GIB), None);
    }
}
