//! Ctrl-], which begins a word to the VMM on the serial line.

/// Ctrl-].
const CTRL_BRACKET: u8 = 0x1d;

/// What a byte on the serial line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// The guest's.
    Guest(u8),
    /// `Ctrl-] q`: end everything.
    Quit,
    /// Ctrl-] and a key without meaning: tell which have one.
    Help,
    /// Part of a word: wait for the rest.
    Nothing,
}

/// Tells the guest's bytes from the VMM's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Escape {
    begun: bool,
}

impl Escape {
    /// What `byte` is, after those before it. Ctrl-] twice is one for the guest.
    pub fn feed(&mut self, byte: u8) -> Typed {
        let begun = core::mem::take(&mut self.begun);
        match (begun, byte) {
            (false, CTRL_BRACKET) => {
                self.begun = true;
                Typed::Nothing
            }
            (false, byte) | (true, byte @ CTRL_BRACKET) => Typed::Guest(byte),
            (true, b'q') => Typed::Quit,
            (true, _) => Typed::Help,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Vec<Typed> {
        let mut escape = Escape::default();
        bytes.iter().map(|byte| escape.feed(*byte)).collect()
    }

    #[test]
    fn bytes_are_the_guest_s_until_ctrl_bracket() {
        assert_eq!(typed(b"q\x03"), [Typed::Guest(b'q'), Typed::Guest(3)]);
        assert_eq!(typed(b"\x1dq"), [Typed::Nothing, Typed::Quit]);
    }

    #[test]
    fn ctrl_bracket_twice_is_one_for_the_guest() {
        assert_eq!(
            typed(b"\x1d\x1dq"),
            [Typed::Nothing, Typed::Guest(0x1d), Typed::Guest(b'q')]
        );
    }

    #[test]
    fn a_key_without_meaning_asks_for_help_and_is_forgotten() {
        assert_eq!(
            typed(b"\x1dxq"),
            [Typed::Nothing, Typed::Help, Typed::Guest(b'q')]
        );
    }
}
