//! Which 4 KiB frames of physical memory are taken: one bit a frame, 1 = taken.
//!
//! Leaves to others where the bits themselves live, and what a frame is for.

/// Bytes of one frame.
pub const FRAME_BYTES: u32 = 4096;

/// One bit for each frame of physical memory, over storage that the caller lends.
pub struct FrameBitmap<'a> {
    words: &'a mut [u32],
    frames: u32,
}

/// Words of storage that a bitmap of `frames` frames needs.
pub const fn words_for(frames: u32) -> usize {
    frames.div_ceil(32) as usize
}

impl<'a> FrameBitmap<'a> {
    /// A bitmap of `frames` frames, all taken. Fewer if `words` has no room for so many.
    pub fn new(words: &'a mut [u32], frames: u32) -> Self {
        let room = u32::try_from(words.len())
            .unwrap_or(u32::MAX)
            .saturating_mul(32);
        words.fill(u32::MAX);
        Self {
            words,
            frames: frames.min(room),
        }
    }

    /// How many frames the bitmap knows.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// How many of them are free.
    pub fn free_frames(&self) -> u32 {
        self.words.iter().map(|word| word.count_zeros()).sum()
    }

    /// Whether the frame is taken. Frames the bitmap does not know are.
    pub fn is_taken(&self, frame: u32) -> bool {
        frame >= self.frames || self.words[frame as usize / 32] & bit(frame) != 0
    }

    /// Takes the lowest free frame; its number, or `None` if all are taken.
    pub fn take(&mut self) -> Option<u32> {
        let (index, word) = self
            .words
            .iter_mut()
            .enumerate()
            .find(|(_, word)| **word != u32::MAX)?;
        let place = word.trailing_ones();
        *word |= 1 << place;
        Some(index as u32 * 32 + place)
    }

    /// Gives a frame back. False if it was not taken, or if the bitmap does not know it.
    pub fn give_back(&mut self, frame: u32) -> bool {
        if frame >= self.frames || !self.is_taken(frame) {
            return false;
        }
        self.words[frame as usize / 32] &= !bit(frame);
        true
    }

    /// Frees every frame that lies wholly within the bytes `start..end`.
    pub fn free_bytes(&mut self, start: u64, end: u64) {
        let size = u64::from(FRAME_BYTES);
        let first = start.div_ceil(size).min(u64::from(self.frames)) as u32;
        let last = (end / size).min(u64::from(self.frames)) as u32;
        for frame in first..last {
            self.words[frame as usize / 32] &= !bit(frame);
        }
    }

    /// Takes every frame that the bytes `start..end` touch.
    pub fn reserve_bytes(&mut self, start: u64, end: u64) {
        let size = u64::from(FRAME_BYTES);
        let first = (start / size).min(u64::from(self.frames)) as u32;
        let last = end.div_ceil(size).min(u64::from(self.frames)) as u32;
        for frame in first..last {
            self.words[frame as usize / 32] |= bit(frame);
        }
    }
}

/// The frame's bit in its word.
const fn bit(frame: u32) -> u32 {
    1 << (frame % 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_new_bitmap_has_nothing_to_give() {
        let mut words = [0; 2];
        assert_eq!(FrameBitmap::new(&mut words, 64).take(), None);
    }

    #[test]
    fn a_region_that_covers_part_of_a_frame_does_not_free_it() {
        let mut words = [0; 1];
        let mut bitmap = FrameBitmap::new(&mut words, 32);
        bitmap.free_bytes(1, 3 * 4096 - 1);
        assert_eq!((bitmap.take(), bitmap.take()), (Some(1), None));
    }

    #[test]
    fn a_reservation_takes_the_frames_it_only_touches() {
        let mut words = [0; 1];
        let mut bitmap = FrameBitmap::new(&mut words, 4);
        bitmap.free_bytes(0, 4 * 4096);
        bitmap.reserve_bytes(4095, 4097);
        assert!(bitmap.is_taken(0) && bitmap.is_taken(1) && !bitmap.is_taken(2));
    }

    #[test]
    fn a_frame_can_be_given_back_only_once() {
        let mut words = [0; 1];
        let mut bitmap = FrameBitmap::new(&mut words, 4);
        assert!(bitmap.give_back(2));
        assert!(!bitmap.give_back(2));
        assert!(!bitmap.give_back(4));
    }

    proptest! {
        #[test]
        fn no_frame_is_ever_handed_out_twice(
            frames in 0u32..200,
            free in (any::<u32>(), any::<u32>()),
            reserved in (any::<u32>(), any::<u32>()),
        ) {
            let bytes = |frame: u32| u64::from(frame % 200) * 4096;
            let mut words = [0; 7];
            let mut bitmap = FrameBitmap::new(&mut words, frames);
            bitmap.free_bytes(bytes(free.0), bytes(free.1));
            bitmap.reserve_bytes(bytes(reserved.0), bytes(reserved.1));
            let expected: BTreeSet<u32> = (free.0 % 200..free.1 % 200)
                .filter(|f| *f < frames && !(reserved.0 % 200..reserved.1 % 200).contains(f))
                .collect();
            prop_assert_eq!(bitmap.free_frames() as usize, expected.len());
            let taken: std::vec::Vec<u32> = core::iter::from_fn(|| bitmap.take()).collect();
            prop_assert_eq!(taken, expected.into_iter().collect::<std::vec::Vec<_>>());
        }
    }
}
