//! A stretch of host-physical memory, from its first byte to the one after its last.

use core::fmt;

use crate::addr::{Hpa, PAGE};

/// `start..end` in host-physical memory; empty when `end <= start`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: Hpa,
    /// The byte after the last.
    pub end: Hpa,
}

impl Span {
    /// `start..end`, in bytes.
    pub const fn new(start: u64, end: u64) -> Self {
        Self {
            start: Hpa(start),
            end: Hpa(end),
        }
    }

    /// `bytes` from `start` on, cut off at the end of the 64-bit space.
    pub const fn sized(start: u64, bytes: u64) -> Self {
        Self::new(start, start.saturating_add(bytes))
    }

    /// Its length.
    pub const fn bytes(self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }

    /// Whether it holds no byte.
    pub const fn is_empty(self) -> bool {
        self.bytes() == 0
    }

    /// Whether a byte is in both.
    pub fn overlaps(self, other: Self) -> bool {
        !self.intersection(other).is_empty()
    }

    /// Whether every byte of `other` is in `self`.
    pub fn contains(self, other: Self) -> bool {
        other.is_empty() || (self.start <= other.start && other.end <= self.end)
    }

    /// The bytes in both.
    pub fn intersection(self, other: Self) -> Self {
        Self {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        }
    }

    /// The whole pages inside it.
    pub const fn pages_inside(self) -> Self {
        let start = match self.start.0.checked_next_multiple_of(PAGE) {
            Some(start) => start,
            None => return Self::new(0, 0),
        };
        Self::new(start, self.end.page().0)
    }

    /// The whole pages it touches.
    pub const fn pages_touched(self) -> Self {
        if self.is_empty() {
            return Self::new(0, 0);
        }
        let last = !(PAGE - 1);
        let end = match self.end.0.checked_next_multiple_of(PAGE) {
            Some(end) => end,
            None => last,
        };
        Self::new(self.start.page().0, end)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pages_inside_are_inside_and_pages_touched_surround(start: u64, bytes: u64) {
            let span = Span::sized(start, bytes);
            prop_assert!(span.contains(span.pages_inside()));
            if span.end.0 <= !(PAGE - 1) {
                prop_assert!(span.pages_touched().contains(span));
            }
        }

        #[test]
        fn spans_overlap_when_a_byte_is_in_both(a in 0u64..20, b in 0u64..20, c in 0u64..20, d in 0u64..20) {
            let common = (0..20).any(|byte| (a..b).contains(&byte) && (c..d).contains(&byte));
            prop_assert_eq!(Span::new(a, b).overlaps(Span::new(c, d)), common);
        }
    }
}
