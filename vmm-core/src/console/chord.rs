//! Ctrl+Alt+Esc on the PS/2 keyboard, which opens the console, and the keys that it then takes.
//!
//! Scan codes of set 1: a key's code, with bit 7 when it is let go; E0h before some. A guest that
//! saw a key go down sees it come up, and of others it sees nothing.

const EXTENDED: u8 = 0xe0;
/// Before both codes of the Pause key, which does not tell when it is let go.
const PAUSE: u8 = 0xe1;
const RELEASE: u8 = 0x80;
const SHIFTS: [u8; 2] = [0x2a, 0x36];
const CONTROL: u8 = 0x1d;
const ALT: u8 = 0x38;
const ESCAPE: u8 = 0x01;

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
    /// The keys that the guest saw go down and not up, by their codes; then those after E0h.
    held: [u128; 2],
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
        } else if open {
            character(byte).map_or(Pressed::Nothing, Pressed::Console)
        } else if byte == PAUSE || is_feigned(extended, byte) || self.hold(extended, byte) {
            Pressed::Guest {
                extended,
                code: byte,
            }
        } else {
            Pressed::Nothing
        }
    }

    /// Notes what the guest is to see; `false` if it is the end of what it did not see begin.
    fn hold(&mut self, extended: bool, byte: u8) -> bool {
        let held = &mut self.held[usize::from(extended)];
        let key = 1 << (byte & !RELEASE);
        let is_down = byte & RELEASE == 0;
        let was_down = *held & key != 0;
        if is_down {
            *held |= key;
        } else {
            *held &= !key;
        }
        is_down || was_down
    }

    /// Lets go of the keys that the guest saw go down, since the console or another guest has what
    /// comes next: `press` has the bytes for it.
    pub fn let_go(&mut self, mut press: impl FnMut(u8)) {
        for (extended, held) in [false, true].into_iter().zip(&mut self.held) {
            while *held != 0 {
                let code = held.trailing_zeros() as u8;
                *held &= *held - 1;
                if extended {
                    press(EXTENDED);
                }
                press(code | RELEASE);
            }
        }
    }
}

/// Whether a keyboard says so only lest its newer keys be taken for those of the number pad: a Shift
/// after E0h, which may well come up before it goes down.
fn is_feigned(extended: bool, byte: u8) -> bool {
    extended && SHIFTS.contains(&(byte & !RELEASE))
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
    use proptest::prelude::*;

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

    #[test]
    fn the_pause_key_reaches_the_guest_whole() {
        let keys = [PAUSE, 0x1d, 0x45, PAUSE, 0x9d, 0xc5];
        assert_eq!(pressed(&keys, false).len(), keys.len());
    }

    /// The cursor key while Shift is held.
    #[test]
    fn a_feigned_shift_reaches_the_guest() {
        let keys = [0x2a, 0xe0, 0xaa, 0xe0, 0x48, 0xe0, 0xc8, 0xe0, 0x2a, 0xaa];
        assert_eq!(pressed(&keys, false).len(), 6);
    }

    proptest! {
        /// Whatever is pressed, and whenever the console opens and closes.
        #[test]
        fn a_guest_sees_keys_come_up_that_it_saw_go_down_and_no_others(
            keys in prop::collection::vec((any::<bool>(), 1u8..0x60, any::<bool>(), any::<bool>()), 0..50),
        ) {
            let (mut chord, mut down) = (Chord::default(), Vec::new());
            for (is_extended, code, is_down, open) in keys {
                if is_feigned(is_extended, code) {
                    continue;
                }
                if open {
                    let (mut released, mut after) = (Vec::new(), false);
                    chord.let_go(|byte| match byte {
                        EXTENDED => after = true,
                        _ => released.push((core::mem::take(&mut after), byte & !RELEASE)),
                    });
                    down.sort_unstable();
                    prop_assert_eq!(released, core::mem::take(&mut down));
                }
                if is_extended {
                    chord.feed(EXTENDED, open);
                }
                let byte = code | if is_down { 0 } else { RELEASE };
                if let Pressed::Guest { extended, code } = chord.feed(byte, open) {
                    let key = (extended, code & !RELEASE);
                    let place = down.iter().position(|other| *other == key);
                    match (code & RELEASE == 0, place) {
                        (true, None) => down.push(key),
                        (false, Some(place)) => drop(down.remove(place)),
                        (is_down, _) => prop_assert!(is_down, "{key:?} never went down"),
                    }
                }
            }
        }
    }
}
