//! A number of bytes, written as a person would: `64 MiB`, `639 KiB`, `12 bytes`.

use core::fmt;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    /// The largest unit that divides the size without a rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes != 0 && bytes.is_multiple_of(1 << 30) => {
                write!(f, "{} GiB", bytes >> 30)
            }
            bytes if bytes != 0 && bytes.is_multiple_of(1 << 20) => {
                write!(f, "{} MiB", bytes >> 20)
            }
            bytes if bytes != 0 && bytes.is_multiple_of(1 << 10) => {
                write!(f, "{} KiB", bytes >> 10)
            }
            1 => write!(f, "1 byte"),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_size_is_written_in_its_largest_whole_unit() {
        let written: std::vec::Vec<_> = [0, 1, 12, 639 << 10, 64 << 20, 1 << 30, (1 << 30) + 1024]
            .map(|bytes| Size(bytes).to_string())
            .into();
        assert_eq!(
            written,
            [
                "0 bytes",
                "1 byte",
                "12 bytes",
                "639 KiB",
                "64 MiB",
                "1 GiB",
                "1048577 KiB"
            ]
        );
    }
}
