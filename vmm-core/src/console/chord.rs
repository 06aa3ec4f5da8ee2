//! Ctrl+Alt+Esc on the PS/2 keyboard, which opens the console, and the keys that it then takes.
//!
//! Scan codes of set 1: a key's code, with bit 7 when it is let go; E0h before some.

const EXTENDED: u8 = 0xe0;
const RELEASE: u8 = 0x80;
const CONTROL: u8 = 0x1d;
const ALT: u8 = 0x38;
const ESCAPE: u8 = 0x01;

/// The keys that were held for the chord, let go, for the guest that saw them go down.
pub const LET_GO: [u8; 6] = [
    CONTROL | RELEASE,
    EXTENDED,
    CONTROL | RELEASE,
    ALT | RELEASE,
    EXTENDED,
    ALT | RELEASE,
];

/// What a scan-code byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressed {
    /// The guest's, after E0h if so.
    Guest {
        /// E0h comes before it.
        extended: bool,
        /// The code.
        code: u8,
    },
    /// The chord is complete: the console opens.
    Chord,
    /// A character for the console.
    Console(u8),
    /// Nothing: the first half of a code, or a key that the console does not know.
    Nothing,
}

/// Follows the keyboard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chord {
    extended: bool,
    control: bool,
    alt: bool,
}

impl Chord {
    /// What `byte` is, after those before it; `open`: the console is.
    pub fn feed(&mut self, byte: u8, open: bool) -> Pressed {
        if byte == EXTENDED {
            self.extended = true;
            return Pressed::Nothing;
        }
        let extended = core::mem::take(&mut self.extended);
        let is_down = byte & RELEASE == 0;
        match byte & !RELEASE {
            CONTROL => self.control = is_down,
            ALT => self.alt = is_down,
            _ => {}
        }
        if self.control && self.alt && byte == ESCAPE {
            Pressed::Chord
        } else if !open {
            Pressed::Guest {
                extended,
                code: byte,
            }
        } else {
            character(byte).map_or(Pressed::Nothing, Pressed::Console)
        }
    }
}

/// The console's character on a key, if it has one.
fn character(code: u8) -> Option<u8> {
    Some(match code {
        ESCAPE => 0x1b,
        0x02..=0x0a => b'1' + (code - 0x02),
        0x10 => b'q',
        0x12 => b'e',
        0x13 => b'r',
        0x19 => b'p',
        0x1c => b'\r',
        0x1f => b's',
        0x26 => b'l',
        0x30 => b'b',
        0x31 => b'n',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(bytes: &[u8], open: bool) -> Vec<Pressed> {
        let mut chord = Chord::default();
        bytes
            .iter()
            .map(|byte| chord.feed(*byte, open))
            .filter(|pressed| *pressed != Pressed::Nothing)
            .collect()
    }

    #[test]
    fn the_chord_works_with_the_keys_of_either_side() {
        for keys in [&[0x1d, 0x38, 0x01][..], &[0xe0, 0x38, 0xe0, 0x1d, 0x01]] {
            assert_eq!(pressed(keys, false).last(), Some(&Pressed::Chord));
        }
    }

    #[test]
    fn control_or_alt_that_was_let_go_makes_no_chord() {
        for keys in [&[0x1d, 0x38, 0x9d, 0x01][..], &[0x38, 0x01], &[0x1d, 0x01]] {
            let guest = keys.iter().map(|code| Pressed::Guest {
                extended: false,
                code: *code,
            });
            assert_eq!(pressed(keys, false), guest.collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_open_console_has_the_keys_and_the_guest_none() {
        let typed = [b'1', b'9', b's', b'\r', 0x1b].map(Pressed::Console);
        let keys = [0x02, 0x82, 0x0a, 0x1f, 0xe0, 0x48, 0x1c, 0x9d, 0x01];
        assert_eq!(pressed(&keys, true), typed);
    }
}
