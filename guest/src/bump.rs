//! The simplest allocator: memory is handed out upwards and never given back.
//!
//! It is what a kernel needs while it sets itself up. Only addresses here; the
//! machine side turns them into pointers.

/// A range of addresses of which the part below `next` is handed out.
#[derive(Debug, Clone)]
pub struct Bump {
    start: u32,
    next: u32,
    end: u32,
}

impl Bump {
    /// An allocator of the bytes `start..end`.
    pub const fn new(start: u32, end: u32) -> Self {
        Self {
            start,
            next: start,
            end,
        }
    }

    /// The address of `size` new bytes, a multiple of `align`. `None` if the
    /// rest is too small, or if `align` is not a power of two.
    pub fn take(&mut self, size: u32, align: u32) -> Option<u32> {
        if !align.is_power_of_two() {
            return None;
        }
        let address = self.next.checked_next_multiple_of(align)?;
        let next = address.checked_add(size).filter(|next| *next <= self.end)?;
        self.next = next;
        Some(address)
    }

    /// Bytes handed out so far, what alignment cost included.
    pub const fn used(&self) -> u32 {
        self.next - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_exhausted_range_gives_nothing_and_stays_usable() {
        let mut bump = Bump::new(0x1000, 0x1010);
        assert_eq!(bump.take(0x11, 1), None);
        assert_eq!(bump.take(0x10, 1), Some(0x1000));
        assert_eq!(bump.take(1, 1), None);
        assert_eq!(bump.used(), 0x10);
    }

    #[test]
    fn an_alignment_that_is_no_power_of_two_is_refused() {
        assert_eq!(Bump::new(0, 100).take(4, 3), None);
        assert_eq!(Bump::new(0, 100).take(4, 0), None);
    }

    proptest! {
        #[test]
        fn allocations_are_aligned_apart_and_inside(
            start in any::<u32>(),
            length in any::<u32>(),
            wants in prop::collection::vec((0u32..10_000, 0u32..32), 0..20),
        ) {
            let end = start.saturating_add(length);
            let mut bump = Bump::new(start, end);
            let mut floor = start;
            for (size, shift) in wants {
                let align = 1u32 << shift;
                if let Some(address) = bump.take(size, align) {
                    prop_assert_eq!(address % align, 0);
                    prop_assert!(address >= floor && address + size <= end);
                    floor = address + size;
                }
            }
        }
    }
}
