//! Physical memory that is free, by page frames.
//!
//! What is free is a short sorted list of stretches: the VMM asks for whole VMs and for page
//! tables, not for single bytes, and gives little back. Nothing here touches the memory itself.

use core::fmt;

use heapless::Vec;

use super::span::Span;
use crate::addr::{Hpa, PAGE};

/// Stretches that the list holds.
const CAPACITY: usize = 128;

/// The allocator of page frames: sorted free stretches that neither touch nor overlap.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    free: Vec<Span, CAPACITY>,
    /// What it was given in the beginning: only this can come back.
    managed: Vec<Span, CAPACITY>,
}

/// Why [`Frames::free`] refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeError {
    /// Not whole pages.
    Unaligned(Span),
    /// Not memory that this allocator ever had.
    Foreign(Span),
    /// Some of it is free already.
    AlreadyFree(Span),
    /// The list of free stretches is full; the memory stays taken.
    Fragmented(Span),
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unaligned(span) => write!(f, "{span} given back is not whole pages"),
            Self::Foreign(span) => write!(f, "{span} given back was never handed out"),
            Self::AlreadyFree(span) => write!(f, "{span} given back is free already"),
            Self::Fragmented(span) => write!(f, "{span} given back finds no room in the free list"),
        }
    }
}

impl Frames {
    /// The whole pages of `ram` that `reserved` does not touch. The stretches may come in any
    /// order, overlap, and end in the middle of a page. Should they fall into more than 128
    /// pieces, the pieces that come last stay unused.
    pub fn new(
        ram: impl IntoIterator<Item = Span>,
        reserved: impl IntoIterator<Item = Span>,
    ) -> Self {
        let mut frames = Self::default();
        for span in ram {
            insert_union(&mut frames.free, span.pages_inside());
        }
        for span in reserved {
            subtract(&mut frames.free, span.pages_touched());
        }
        frames.managed = frames.free.clone();
        frames
    }

    /// Takes `bytes` (rounded up to whole pages) at a multiple of `align` (a power of two; at
    /// least a page), from the lowest place that has them. The memory holds whatever it held.
    ///
    /// `None` when nothing free is large enough, or `bytes` is 0.
    pub fn alloc(&mut self, bytes: u64, align: u64) -> Option<Hpa> {
        self.alloc_below(bytes, align, Hpa(u64::MAX))
    }

    /// As [`Self::alloc`], but all of it is before `end`.
    pub fn alloc_below(&mut self, bytes: u64, align: u64, end: Hpa) -> Option<Hpa> {
        let bytes = bytes
            .checked_next_multiple_of(PAGE)
            .filter(|bytes| *bytes > 0)?;
        let align = align.max(PAGE);
        if !align.is_power_of_two() {
            return None;
        }
        for index in 0..self.free.len() {
            let span = self.free[index];
            let Some(start) = span.start.0.checked_next_multiple_of(align) else {
                continue;
            };
            let taken = Span::sized(start, bytes);
            // `sized` cuts off at the end of the address space: such a piece is too short.
            if taken.bytes() < bytes || !span.contains(taken) || taken.end > end {
                continue;
            }
            let splits = taken.start != span.start && taken.end != span.end;
            if splits && self.free.is_full() {
                continue;
            }
            subtract(&mut self.free, taken);
            return Some(taken.start);
        }
        None
    }

    /// Gives back `bytes` (rounded up to whole pages) from `start`: all of what one
    /// [`Self::alloc`] returned, or a part.
    pub fn free(&mut self, start: Hpa, bytes: u64) -> Result<(), FreeError> {
        let given = Span::sized(start.0, bytes);
        let Some(bytes) = bytes.checked_next_multiple_of(PAGE) else {
            return Err(FreeError::Foreign(given));
        };
        let given = Span::sized(start.0, bytes);
        if start.page() != start {
            return Err(FreeError::Unaligned(given));
        }
        if !self.managed.iter().any(|span| span.contains(given)) {
            return Err(FreeError::Foreign(given));
        }
        if self.free.iter().any(|span| span.overlaps(given)) {
            return Err(FreeError::AlreadyFree(given));
        }
        let touches = |span: &Span| span.end == given.start || span.start == given.end;
        if self.free.is_full() && !self.free.iter().any(touches) {
            return Err(FreeError::Fragmented(given));
        }
        insert_union(&mut self.free, given);
        Ok(())
    }

    /// The stretches that are free, ascending.
    pub fn free_spans(&self) -> impl Iterator<Item = Span> {
        self.free.iter().copied()
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> u64 {
        self.free.iter().map(|span| span.bytes()).sum()
    }

    /// The longest piece that [`Self::alloc`] could hand out at a multiple of `align`.
    pub fn largest(&self, align: u64) -> u64 {
        let usable = |span: &Span| {
            let start = span.start.0.checked_next_multiple_of(align.max(PAGE))?;
            span.end.0.checked_sub(start)
        };
        self.free.iter().filter_map(usable).max().unwrap_or(0)
    }
}

/// Adds `new` to a sorted list, melting what it overlaps or touches into one. A list without
/// room stays as it is.
fn insert_union(list: &mut Vec<Span, CAPACITY>, new: Span) {
    if new.is_empty() {
        return;
    }
    let first = list.partition_point(|span| span.end < new.start);
    let mut merged = new;
    while let Some(&span) = list.get(first).filter(|span| span.start <= merged.end) {
        merged.start = merged.start.min(span.start);
        merged.end = merged.end.max(span.end);
        list.remove(first);
    }
    let _ = list.insert(first, merged);
}

/// Removes `hole` from a sorted list. If that would split a stretch and there is no room for
/// the second half, the second half is lost.
fn subtract(list: &mut Vec<Span, CAPACITY>, hole: Span) {
    if hole.is_empty() {
        return;
    }
    let mut index = list.partition_point(|span| span.end <= hole.start);
    while let Some(&span) = list.get(index).filter(|span| span.start < hole.end) {
        list.remove(index);
        let below = Span {
            start: span.start,
            end: hole.start,
        };
        let above = Span {
            start: hole.end,
            end: span.end,
        };
        for piece in [below, above] {
            if !piece.is_empty() && list.insert(index, piece).is_ok() {
                index += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec as List;

    const MIB: u64 = 1 << 20;

    fn pages(span: Span) -> impl Iterator<Item = u64> {
        (span.start.0..span.end.0).step_by(PAGE as usize)
    }

    fn free_pages(frames: &Frames) -> BTreeSet<u64> {
        frames.free.iter().flat_map(|span| pages(*span)).collect()
    }

    #[test]
    fn partly_reserved_pages_are_not_free() {
        let frames = Frames::new([Span::new(0x800, 0x5800)], [Span::new(0x2FFF, 0x3001)]);
        assert_eq!(free_pages(&frames), BTreeSet::from([0x1000, 0x4000]));
    }

    #[test]
    fn alignment_is_kept_and_the_gap_stays_usable() {
        let mut frames = Frames::new([Span::new(MIB, 8 * MIB)], []);
        assert_eq!(frames.alloc(4 * MIB, 2 * MIB), Some(Hpa(2 * MIB)));
        assert_eq!(frames.alloc(MIB, PAGE), Some(Hpa(MIB)));
        assert_eq!(frames.largest(PAGE), 2 * MIB);
        assert_eq!(frames.alloc(3 * MIB, PAGE), None);
    }

    #[test]
    fn a_piece_that_must_end_early_ends_there_or_is_not() {
        let mut frames = Frames::new([Span::new(MIB, 4 * MIB)], []);
        assert_eq!(frames.alloc_below(2 * MIB, PAGE, Hpa(3 * MIB - 1)), None);
        assert_eq!(
            frames.alloc_below(2 * MIB, PAGE, Hpa(3 * MIB)),
            Some(Hpa(MIB))
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let mut frames = Frames::new([Span::new(MIB, 2 * MIB)], []);
        assert_eq!(frames.alloc(0, PAGE), None);
        assert_eq!(frames.alloc(PAGE, 3 * PAGE), None);
        assert_eq!(frames.alloc(u64::MAX, PAGE), None);
        let taken = frames.alloc(PAGE, PAGE).unwrap();
        let span = Span::sized(taken.0, PAGE);
        assert_eq!(
            frames.free(Hpa(taken.0 + 1), PAGE).unwrap_err(),
            FreeError::Unaligned(Span::sized(taken.0 + 1, PAGE))
        );
        assert!(matches!(
            frames.free(Hpa(0), PAGE),
            Err(FreeError::Foreign(_))
        ));
        assert!(matches!(
            frames.free(taken, u64::MAX),
            Err(FreeError::Foreign(_))
        ));
        assert!(matches!(
            frames.free(taken, 2 * PAGE),
            Err(FreeError::AlreadyFree(_))
        ));
        assert_eq!(frames.free(taken, PAGE), Ok(()));
        assert_eq!(frames.free(taken, PAGE), Err(FreeError::AlreadyFree(span)));
    }

    #[test]
    fn a_full_list_loses_no_memory() {
        // Every second page free: as many stretches as the list holds.
        let mut frames = Frames::new([Span::new(0, 1000 * PAGE)], []);
        let start = frames.alloc(2 * CAPACITY as u64 * PAGE, PAGE).unwrap();
        let mut results = List::new();
        for number in 0..CAPACITY as u64 {
            results.push(frames.free(Hpa(start.0 + 2 * number * PAGE), PAGE));
        }
        let last = results.pop().unwrap();
        assert!(results.iter().all(Result::is_ok));
        assert!(matches!(last, Err(FreeError::Fragmented(_))));
        // Splitting the long stretch would need one more place than there is.
        let before = frames.free_bytes();
        assert_eq!(frames.alloc(2 * PAGE, 512 * PAGE), None);
        assert_eq!(frames.free_bytes(), before);
    }

    fn spans(most: usize) -> impl Strategy<Value = List<Span>> {
        let span = (0u64..300 * PAGE, 0u64..60 * PAGE)
            .prop_map(|(start, bytes)| Span::sized(start, bytes));
        prop::collection::vec(span, 0..most)
    }

    proptest! {
        #[test]
        fn free_is_ram_without_reserved(ram in spans(8), reserved in spans(8)) {
            let frames = Frames::new(ram.iter().copied(), reserved.iter().copied());
            // The union of stretches that share a page only in part does not make it whole
            // in this model, nor in the allocator: each is rounded by itself.
            let expected: BTreeSet<u64> = ram.iter().flat_map(|span| pages(span.pages_inside()))
                .filter(|page| !reserved.iter().any(|span| span.overlaps(Span::sized(*page, PAGE))))
                .collect();
            prop_assert_eq!(free_pages(&frames), expected);
        }

        #[test]
        fn no_frame_is_handed_out_twice_and_freeing_restores_all(
            ram in spans(6),
            reserved in spans(6),
            steps in prop::collection::vec((any::<bool>(), 1u64..20, 0u32..5, any::<prop::sample::Index>()), 1..60),
        ) {
            let mut frames = Frames::new(ram, reserved);
            let whole = free_pages(&frames);
            let mut free = whole.clone();
            let mut held: List<(Hpa, u64)> = List::new();
            for (take, count, shift, which) in steps {
                if take {
                    let align = PAGE << shift;
                    if let Some(start) = frames.alloc(count * PAGE, align) {
                        prop_assert_eq!(start.0 % align, 0);
                        for page in pages(Span::sized(start.0, count * PAGE)) {
                            prop_assert!(free.remove(&page), "{page:#x} handed out but not free");
                        }
                        held.push((start, count * PAGE));
                    } else {
                        prop_assert!(frames.largest(align) < count * PAGE);
                    }
                } else if !held.is_empty() {
                    let (start, bytes) = held.swap_remove(which.index(held.len()));
                    prop_assert_eq!(frames.free(start, bytes), Ok(()));
                    free.extend(pages(Span::sized(start.0, bytes)));
                }
                prop_assert_eq!(&free_pages(&frames), &free);
                let sorted = frames.free.windows(2).all(|pair| pair[0].end < pair[1].start);
                prop_assert!(sorted, "free stretches touch or are out of order");
            }
            for (start, bytes) in held {
                prop_assert_eq!(frames.free(start, bytes), Ok(()));
            }
            prop_assert_eq!(free_pages(&frames), whole);
        }
    }
}
