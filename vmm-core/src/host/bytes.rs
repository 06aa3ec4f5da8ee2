//! Physical memory by bytes, and little-endian numbers out of it: how the tables of boot loader
//! and firmware are read. Nothing in them is believed, so every read can fail.

use heapless::String;

/// Memory behind a closure that gives the byte at a physical address, or `None` where there is
/// none to read.
#[derive(Debug)]
pub struct Bytes<F>(pub F);

/// No byte can be read at this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub u64);

impl<F: Fn(u64) -> Option<u8>> Bytes<F> {
    /// `N` bytes from `base + offset` on.
    pub fn array<const N: usize>(&self, base: u64, offset: u64) -> Result<[u8; N], Unreadable> {
        let mut bytes = [0; N];
        for (index, slot) in bytes.iter_mut().enumerate() {
            let at = base.saturating_add(offset).saturating_add(index as u64);
            *slot = (self.0)(at).ok_or(Unreadable(at))?;
        }
        Ok(bytes)
    }

    /// The byte at `base + offset`.
    pub fn u8(&self, base: u64, offset: u64) -> Result<u8, Unreadable> {
        self.array(base, offset).map(u8::from_le_bytes)
    }

    /// The 16 bits at `base + offset`.
    pub fn u16(&self, base: u64, offset: u64) -> Result<u16, Unreadable> {
        self.array(base, offset).map(u16::from_le_bytes)
    }

    /// The 32 bits at `base + offset`.
    pub fn u32(&self, base: u64, offset: u64) -> Result<u32, Unreadable> {
        self.array(base, offset).map(u32::from_le_bytes)
    }

    /// The 64 bits at `base + offset`.
    pub fn u64(&self, base: u64, offset: u64) -> Result<u64, Unreadable> {
        self.array(base, offset).map(u64::from_le_bytes)
    }

    /// The string at `at` up to its NUL; a byte that is not ASCII becomes a question mark.
    /// `None` when it is longer than `N` bytes.
    pub fn string<const N: usize>(&self, at: u64) -> Result<Option<String<N>>, Unreadable> {
        let mut text = String::new();
        for offset in 0.. {
            let byte = self.u8(at, offset)?;
            if byte == 0 {
                break;
            }
            let character = if byte.is_ascii() {
                char::from(byte)
            } else {
                '?'
            };
            if text.push(character).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(text))
    }
}
