//! A drill: whether anything has written where no VM may.
//!
//! Free memory is filled with words that tell their own address, and what must never change, the
//! VMM's code and constants, is summed. At the end both are looked at again. A VM that starts
//! while the drill goes on must not take more memory than one that has ended gave back.

use super::frames::Frames;
use super::span::Span;
use crate::addr::Hpa;

/// What no bytes that a guest writes are likely to be.
const MARK: u64 = 0xc0a1_c0a1_c0a1_c0a1;
const WORD: usize = size_of::<u64>();

/// What the memory of the drill was like in the beginning.
#[derive(Debug)]
pub struct Canary {
    free: Frames,
    constant: Span,
    sum: u64,
}

/// What the drill has found to be as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intact {
    /// Bytes that were free.
    pub free: u64,
    /// Bytes of the VMM's code and constants.
    pub constant: u64,
}

impl Canary {
    /// Begins the drill.
    ///
    /// # Safety
    /// What `frames` has free is memory that is mapped one to one and that nobody uses;
    /// `constant` is mapped too.
    pub unsafe fn set(frames: &Frames, constant: Span) -> Canary {
        for span in frames.free_spans() {
            for address in words(span) {
                // SAFETY: by the caller's promise.
                unsafe { (address as *mut u64).write_volatile(address ^ MARK) };
            }
        }
        Canary {
            free: frames.clone(),
            constant,
            // SAFETY: by the caller's promise.
            sum: unsafe { sum(constant) },
        }
    }

    /// Looks at what was free then and is free in `frames` now, and at the constants.
    ///
    /// # Errors
    /// The first place that is not as it was; for the constants, their start.
    ///
    /// # Safety
    /// As for [`Canary::set`].
    pub unsafe fn look(&self, frames: &Frames) -> Result<Intact, Hpa> {
        let mut free = 0;
        for span in self.free.free_spans() {
            for now in frames.free_spans() {
                let span = span.intersection(now);
                for address in words(span) {
                    // SAFETY: by the caller's promise.
                    if unsafe { (address as *const u64).read_volatile() } != address ^ MARK {
                        return Err(Hpa(address));
                    }
                }
                free += span.bytes();
            }
        }
        // SAFETY: by the caller's promise.
        if unsafe { sum(self.constant) } != self.sum {
            return Err(self.constant.start);
        }
        Ok(Intact {
            free,
            constant: self.constant.bytes(),
        })
    }
}

/// The addresses of a span's words.
fn words(span: Span) -> impl Iterator<Item = u64> {
    (span.start.0..span.end.0).step_by(WORD)
}

/// A sum that tells words apart that have changed places.
///
/// # Safety
/// The span is whole words and mapped.
unsafe fn sum(span: Span) -> u64 {
    words(span).fold(0, |sum: u64, address| {
        // SAFETY: by the caller's promise.
        let word = unsafe { (address as *const u64).read_volatile() };
        sum.rotate_left(5).wrapping_mul(MARK | 1).wrapping_add(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::PAGE;

    /// Three pages of heap: two are free, and the last is the constants.
    fn pages() -> (Frames, Span) {
        let heap = Box::leak(vec![0u64; 4 * PAGE as usize / WORD].into_boxed_slice());
        let start = (heap.as_mut_ptr() as u64).next_multiple_of(PAGE);
        (
            Frames::new([Span::sized(start, 2 * PAGE)], []),
            Span::sized(start + 2 * PAGE, PAGE),
        )
    }

    #[test]
    fn untouched_memory_is_intact_and_one_changed_byte_is_found() {
        let (frames, constant) = pages();
        let start = frames.free_spans().next().unwrap().start.0;
        // SAFETY: the pages are leaked and this test's own.
        unsafe {
            let canary = Canary::set(&frames, constant);
            let intact = Intact {
                free: 2 * PAGE,
                constant: PAGE,
            };
            assert_eq!(canary.look(&frames), Ok(intact));
            let byte = (start + PAGE + 13) as *mut u8;
            *byte ^= 1;
            assert_eq!(canary.look(&frames), Err(Hpa(start + PAGE + 8)));
            *byte ^= 1;
            *(constant.start.0 as *mut u8) ^= 0x80;
            assert_eq!(canary.look(&frames), Err(constant.start));
        }
    }

    #[test]
    fn memory_that_a_vm_has_taken_is_its_own() {
        let (mut frames, constant) = pages();
        // SAFETY: as above.
        unsafe {
            let canary = Canary::set(&frames, constant);
            let taken = frames.alloc(PAGE, PAGE).unwrap();
            *(taken.0 as *mut u8) ^= 1;
            assert_eq!(canary.look(&frames).map(|intact| intact.free), Ok(PAGE));
        }
    }
}
