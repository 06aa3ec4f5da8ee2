//! A queue of bytes from an interrupt handler to the rest of the kernel.
//!
//! One side puts, the other takes, and neither waits: the handler may come
//! between any two instructions of the taker. A full queue drops what comes.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Places in the queue; it holds one byte less.
const PLACES: usize = 1024;

/// The queue. One putter and one taker, else bytes may be lost.
#[derive(Debug)]
pub struct Ring {
    bytes: [AtomicU8; PLACES],
    /// Where the next byte is put; only the putter moves it.
    put_at: AtomicUsize,
    /// Where the next byte is taken; only the taker moves it.
    take_at: AtomicUsize,
}

impl Ring {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            bytes: [const { AtomicU8::new(0) }; PLACES],
            put_at: AtomicUsize::new(0),
            take_at: AtomicUsize::new(0),
        }
    }

    /// Puts a byte at the end. False if the queue is full.
    pub fn put(&self, byte: u8) -> bool {
        let at = self.put_at.load(Ordering::Relaxed);
        let next = (at + 1) % PLACES;
        if next == self.take_at.load(Ordering::Acquire) {
            return false;
        }
        self.bytes[at].store(byte, Ordering::Relaxed);
        self.put_at.store(next, Ordering::Release);
        true
    }

    /// Takes the oldest byte.
    pub fn take(&self) -> Option<u8> {
        let at = self.take_at.load(Ordering::Relaxed);
        if at == self.put_at.load(Ordering::Acquire) {
            return None;
        }
        let byte = self.bytes[at].load(Ordering::Relaxed);
        self.take_at.store((at + 1) % PLACES, Ordering::Release);
        Some(byte)
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in_until_it_is_full(
            moves in prop::collection::vec(prop::option::weighted(0.8, any::<u8>()), 0..3000),
        ) {
            let ring = Ring::new();
            let mut model = VecDeque::new();
            for step in moves {
                match step {
                    Some(byte) => {
                        let room = model.len() < PLACES - 1;
                        prop_assert_eq!(ring.put(byte), room);
                        if room {
                            model.push_back(byte);
                        }
                    }
                    None => prop_assert_eq!(ring.take(), model.pop_front()),
                }
            }
        }
    }

    #[test]
    fn a_full_ring_refuses_and_keeps_what_it_has() {
        let ring = Ring::new();
        assert!((1..PLACES).all(|_| ring.put(1)));
        assert!(!ring.put(2));
        assert!((1..PLACES).all(|_| ring.take() == Some(1)));
        assert_eq!(ring.take(), None);
    }
}
