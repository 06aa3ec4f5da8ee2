//! From scancodes to characters: set 1, a US keyboard.
//!
//! Set 1 is what the keyboard controller hands over once its translation is on,
//! as a PC's is. A key that stands for no character yields nothing.

/// What the Backspace key yields.
pub const BACKSPACE: u8 = 0x08;
/// What Ctrl-C yields.
pub const CTRL_C: u8 = 0x03;

/// Characters of scancodes 00h to 39h, without and with shift. 0: none.
const PLAIN: &[u8; 0x3A] =
    b"\0\x1b1234567890-=\x08\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
const SHIFTED: &[u8; 0x3A] =
    b"\0\x1b!@#$%^&*()_+\x08\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";
/// Characters of scancodes 47h to 53h, the keypad's; num lock is taken to be on.
const KEYPAD: &[u8; 13] = b"789-456+1230.";

const CTRL: u8 = 0x1D;
const LEFT_SHIFT: u8 = 0x2A;
const RIGHT_SHIFT: u8 = 0x36;
const CAPS_LOCK: u8 = 0x3A;
/// Set in the code of a key that is let go.
const RELEASED: u8 = 0x80;

/// Turns a stream of scancodes into characters; remembers shift, ctrl and caps lock.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    left_shift: bool,
    right_shift: bool,
    ctrl: bool,
    caps_lock: bool,
    /// The code before was E0h.
    extended: bool,
    /// So many codes of a Pause key (E1h and two more) are still to come.
    pause_rest: u8,
}

impl Decoder {
    /// The character that this code completes, in ASCII, if any.
    pub fn feed(&mut self, code: u8) -> Option<u8> {
        if self.pause_rest > 0 {
            self.pause_rest -= 1;
            return None;
        }
        match code {
            0xE0 => {
                self.extended = true;
                return None;
            }
            0xE1 => {
                self.pause_rest = 2;
                return None;
            }
            _ => {}
        }
        let extended = core::mem::take(&mut self.extended);
        let pressed = code & RELEASED == 0;
        let key = code & !RELEASED;
        match (key, extended) {
            (LEFT_SHIFT, false) => self.left_shift = pressed,
            (RIGHT_SHIFT, false) => self.right_shift = pressed,
            (CTRL, _) => self.ctrl = pressed,
            (CAPS_LOCK, false) => self.caps_lock ^= pressed,
            (0x1C, true) if pressed => return Some(b'\n'),
            (0x35, true) if pressed => return Some(b'/'),
            (_, false) if pressed => return self.character(key),
            _ => {}
        }
        None
    }

    /// The character of a key that is no modifier, as the modifiers stand.
    fn character(&self, key: u8) -> Option<u8> {
        let index = usize::from(key);
        let plain = match key {
            0x47..=0x53 => KEYPAD[index - 0x47],
            _ => *PLAIN.get(index)?,
        };
        let letter = plain.is_ascii_lowercase();
        if letter && self.ctrl {
            return Some(plain & 0x1F);
        }
        let shift = (self.left_shift || self.right_shift) != (letter && self.caps_lock);
        let character = if shift {
            *SHIFTED.get(index).unwrap_or(&plain)
        } else {
            plain
        };
        (character != 0).then_some(character)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn typed(codes: &[u8]) -> std::vec::Vec<u8> {
        let mut decoder = Decoder::default();
        codes
            .iter()
            .filter_map(|code| decoder.feed(*code))
            .collect()
    }

    #[test]
    fn keys_are_the_characters_of_a_us_keyboard() {
        let rows: [(u8, &[u8]); 4] = [
            (0x02, b"1234567890-="),
            (0x10, b"qwertyuiop[]"),
            (0x1E, b"asdfghjkl;'`"),
            (0x2B, b"\\zxcvbnm,./"),
        ];
        for (first, row) in rows {
            let codes: std::vec::Vec<u8> = (first..).take(row.len()).collect();
            assert_eq!(typed(&codes), row);
        }
        assert_eq!(typed(&[0x39, 0x0E, 0x0F, 0x1C, 0x01]), b" \x08\t\n\x1b");
    }

    #[test]
    fn shift_holds_while_either_shift_key_is_down() {
        assert_eq!(typed(&[0x2A, 0x1E, 0x36, 0xAA, 0x02, 0xB6, 0x1E]), b"A!a");
    }

    #[test]
    fn caps_lock_turns_letters_alone_and_shift_turns_them_back() {
        assert_eq!(
            typed(&[0x3A, 0xBA, 0x1E, 0x02, 0x2A, 0x1E, 0x02, 0xAA]),
            b"A1a!"
        );
        assert_eq!(typed(&[0x3A, 0xBA, 0x3A, 0xBA, 0x1E]), b"a");
    }

    #[test]
    fn extended_codes_are_not_taken_for_the_keys_they_share_a_code_with() {
        assert_eq!(typed(&[0xE0, 0x48, 0xE0, 0xC8]), b"", "cursor up is no 8");
        assert_eq!(typed(&[0xE0, 0x2A, 0x1E]), b"a", "a fake shift is none");
        assert_eq!(
            typed(&[0xE0, 0x1C, 0xE0, 0x35]),
            b"\n/",
            "the keypad's own keys"
        );
        assert_eq!(
            typed(&[0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5, 0x1E]),
            b"a",
            "Pause"
        );
    }

    #[test]
    fn ctrl_with_a_letter_is_a_control_character() {
        assert_eq!(typed(&[0x1D, 0x2E, 0x9D, 0x2E]), [CTRL_C, b'c']);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_ascii_and_a_key_let_go_types_nothing(codes: std::vec::Vec<u8>) {
            let mut decoder = Decoder::default();
            for code in codes {
                let ordinary = !decoder.extended && decoder.pause_rest == 0;
                let typed = decoder.feed(code);
                prop_assert!(typed.is_none_or(|byte| byte.is_ascii() && byte != 0));
                prop_assert!(!ordinary || code & RELEASED == 0 || typed.is_none());
            }
        }
    }
}
