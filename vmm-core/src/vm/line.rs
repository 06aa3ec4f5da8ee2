//! What a guest has begun to send over its serial port: kept until it is a line.
//!
//! All VMs share the line for people. Sent byte by byte, what two of them print at the same time
//! would be torn to pieces. A piece of a line goes out when no more is to be expected soon: a
//! prompt, the echo of a key.

use heapless::Vec;

/// Longest line kept together, in bytes.
const LONGEST: usize = 256;

/// A line that has begun.
#[derive(Debug, Default)]
pub struct Line {
    bytes: Vec<u8, LONGEST>,
    /// It has grown since the last look.
    has_grown: bool,
    /// How long its VM had run when it was last seen to have grown.
    grown_at: u64,
}

impl Line {
    /// Adds a byte; true if what there is now is to be [sent](Self::take): its line is complete,
    /// or no more fits.
    pub fn push(&mut self, byte: u8) -> bool {
        // Whoever is told to send does, so there is room.
        let _ = self.bytes.push(byte);
        self.has_grown = true;
        byte == b'\n' || self.bytes.is_full()
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the VM, which has run for so many ticks in all, has begun a line and let `patience`
    /// ticks of its own time pass without going on with it.
    pub fn rests(&mut self, run: u64, patience: u64) -> bool {
        if core::mem::take(&mut self.has_grown) {
            self.grown_at = run;
        }
        !self.is_empty() && run.saturating_sub(self.grown_at) >= patience
    }

    /// What there is, to be sent.
    pub fn take(&mut self) -> Vec<u8, LONGEST> {
        core::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_sent_whole() {
        let mut line = Line::default();
        let due: std::vec::Vec<bool> = b"two\r\n".iter().map(|byte| line.push(*byte)).collect();
        assert_eq!(due, [false, false, false, false, true]);
        assert_eq!(line.take(), b"two\r\n");
        assert!(line.is_empty());
    }

    #[test]
    fn a_prompt_is_sent_once_its_vm_has_run_on_without_adding_to_it() {
        let mut line = Line::default();
        line.push(b'>');
        assert!(!line.rests(1000, 50));
        assert!(!line.rests(1049, 50));
        line.push(b' ');
        assert!(!line.rests(1060, 50));
        assert!(!line.rests(1109, 50));
        assert!(line.rests(1110, 50));
        line.take();
        assert!(!line.rests(9999, 50));
    }

    #[test]
    fn a_vm_that_does_not_run_rests_on_no_line() {
        let mut line = Line::default();
        line.push(b'>');
        assert!((0..100).all(|_| !line.rests(1000, 50)));
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_changed(text in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut line = Line::default();
            let mut sent = std::vec::Vec::new();
            for byte in &text {
                if line.push(*byte) {
                    sent.extend(line.take());
                }
            }
            sent.extend(line.take());
            prop_assert_eq!(sent, text);
        }
    }
}
