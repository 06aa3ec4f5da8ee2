//! A text at which a run ends: looked for in what a guest sends over its serial port.
//!
//! Whoever watches from outside sees it a little later, and never twice after the same number of
//! instructions.

use heapless::Vec;

/// Longest text that can be looked for, in bytes.
const LONGEST: usize = 128;

/// A text, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    text: Vec<u8, LONGEST>,
    /// The last bytes that came, as many as the text has.
    tail: Vec<u8, LONGEST>,
}

impl Marker {
    /// The text whose bytes these hexadecimal digits are; `None`: they are none, or too many.
    pub fn from_hex(digits: &str) -> Option<Marker> {
        let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let mut text = Vec::new();
        for pair in pairs {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            text.push((high? << 4 | low?) as u8).ok()?;
        }
        (!text.is_empty()).then_some(Marker {
            text,
            tail: Vec::new(),
        })
    }

    /// Takes a byte; true if the text ends with it. A carriage return is none of any text.
    pub fn hear(&mut self, byte: u8) -> bool {
        if byte == b'\r' {
            return false;
        }
        if self.tail.len() == self.text.len() {
            self.tail.remove(0);
        }
        // There is room: the tail is never longer than the text, which fits.
        let _ = self.tail.push(byte);
        self.tail == self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_found_wherever_it_ends() {
        let mut marker = Marker::from_hex("61 61 62".replace(' ', "").as_str()).unwrap();
        let found: std::vec::Vec<_> = b"aaa\r\rbaab"
            .iter()
            .map(|byte| marker.hear(*byte))
            .collect();
        let at: std::vec::Vec<_> = (0..found.len()).filter(|at| found[*at]).collect();
        assert_eq!(at, [5, 8]);
    }

    #[test]
    fn what_is_no_text_is_none() {
        for digits in ["", "6", "6g", "+1", &"61".repeat(LONGEST + 1)] {
            assert_eq!(Marker::from_hex(digits), None, "{digits}");
        }
        assert!(Marker::from_hex(&"61".repeat(LONGEST)).is_some());
    }
}
