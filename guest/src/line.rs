//! The line that a person is typing.
//!
//! Pure editing: it says what to show, somebody else shows it.

use crate::keymap::{BACKSPACE, CTRL_C};

/// Longest line, in bytes.
pub const LINE_BYTES: usize = 72;

/// What a typed byte did to the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// The byte was put at the end: show it.
    Put(u8),
    /// The last byte went away: erase it.
    Erased,
    /// The line is complete.
    Complete,
    /// The line was thrown away.
    Dropped,
    /// Nothing changed.
    Ignored,
}

/// A line being typed.
#[derive(Debug, Clone)]
pub struct Line {
    bytes: [u8; LINE_BYTES],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: [0; LINE_BYTES],
            length: 0,
        }
    }
}

impl Line {
    /// Takes a typed byte in. Both carriage return and newline complete a line.
    pub fn feed(&mut self, byte: u8) -> Edit {
        match byte {
            b'\n' | b'\r' => Edit::Complete,
            CTRL_C => {
                self.length = 0;
                Edit::Dropped
            }
            BACKSPACE | 0x7F if self.length > 0 => {
                self.length -= 1;
                Edit::Erased
            }
            b' '..=b'~' => match self.bytes.get_mut(self.length) {
                Some(place) => {
                    *place = byte;
                    self.length += 1;
                    Edit::Put(byte)
                }
                None => Edit::Ignored,
            },
            _ => Edit::Ignored,
        }
    }

    /// What the line says.
    pub fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(bytes: &[u8]) -> Line {
        let mut line = Line::default();
        for byte in bytes {
            line.feed(*byte);
        }
        line
    }

    #[test]
    fn backspace_takes_one_character_and_none_from_an_empty_line() {
        assert_eq!(after(b"ab\x08c").text(), "ac");
        assert_eq!(Line::default().feed(BACKSPACE), Edit::Ignored);
        assert_eq!(after(b"a").feed(0x7F), Edit::Erased);
    }

    #[test]
    fn enter_completes_a_line_and_ctrl_c_drops_it() {
        assert_eq!(after(b"help").feed(b'\r'), Edit::Complete);
        let mut line = after(b"help");
        assert_eq!(line.feed(CTRL_C), Edit::Dropped);
        assert_eq!(line.text(), "");
    }

    proptest! {
        #[test]
        fn a_line_shows_what_it_holds(bytes: std::vec::Vec<u8>) {
            let mut line = Line::default();
            let mut shown = std::string::String::new();
            for byte in bytes {
                match line.feed(byte) {
                    Edit::Put(byte) => shown.push(char::from(byte)),
                    Edit::Erased => { shown.pop(); }
                    Edit::Dropped => shown.clear(),
                    Edit::Complete | Edit::Ignored => {}
                }
                prop_assert_eq!(line.text(), &shown);
            }
        }
    }
}
