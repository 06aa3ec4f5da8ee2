//! Which keys of a US keyboard type a text, by QEMU's names for them (`qcode`).

/// One key press, shifted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stroke {
    /// QEMU's name of the key.
    pub qcode: &'static str,
    /// Whether shift is held.
    pub shift: bool,
}

/// The keys beside letters and digits: unshifted, shifted, name.
const OTHERS: [(char, Option<char>, &str); 16] = [
    ('-', Some('_'), "minus"),
    ('=', Some('+'), "equal"),
    ('[', Some('{'), "bracket_left"),
    (']', Some('}'), "bracket_right"),
    ('\\', Some('|'), "backslash"),
    (';', Some(':'), "semicolon"),
    ('\'', Some('"'), "apostrophe"),
    ('`', Some('~'), "grave_accent"),
    (',', Some('<'), "comma"),
    ('.', Some('>'), "dot"),
    ('/', Some('?'), "slash"),
    (' ', None, "spc"),
    ('\n', None, "ret"),
    ('\r', None, "ret"),
    ('\t', None, "tab"),
    ('\x1b', None, "esc"),
];
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";
const SHIFTED_DIGITS: &str = ")!@#$%^&*(";

/// The key presses that type `text`, or what cannot be typed.
pub fn strokes(text: &str) -> Result<Vec<Stroke>, String> {
    text.chars()
        .map(|character| {
            stroke(character).ok_or_else(|| format!("a US keyboard has no key for `{character}`"))
        })
        .collect()
}

fn stroke(character: char) -> Option<Stroke> {
    let unshifted = |qcode| Stroke {
        qcode,
        shift: false,
    };
    let shifted = |qcode| Stroke { qcode, shift: true };
    let among = |row: &'static str, names: &'static str| {
        row.find(character)
            .and_then(|place| names.get(place..=place))
    };
    if let Some(qcode) = among(LETTERS, LETTERS).or_else(|| among(DIGITS, DIGITS)) {
        return Some(unshifted(qcode));
    }
    if let Some(qcode) = among(SHIFTED_DIGITS, DIGITS) {
        return Some(shifted(qcode));
    }
    if character.is_ascii_uppercase() {
        let place = LETTERS.find(character.to_ascii_lowercase())?;
        return LETTERS.get(place..=place).map(shifted);
    }
    OTHERS.iter().find_map(|&(plain, with_shift, qcode)| {
        if plain == character {
            Some(unshifted(qcode))
        } else {
            (with_shift == Some(character)).then_some(shifted(qcode))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_ascii_character_has_a_key_of_its_own() {
        let mut seen = Vec::new();
        for character in ' '..='~' {
            let stroke = stroke(character).unwrap_or_else(|| panic!("no key for {character:?}"));
            assert!(!seen.contains(&stroke), "{character:?} shares {stroke:?}");
            seen.push(stroke);
        }
    }

    #[test]
    fn capitals_hold_shift() {
        let typed = strokes("aA1!\n").expect("keys");
        let names: Vec<_> = typed
            .iter()
            .map(|stroke| (stroke.qcode, stroke.shift))
            .collect();
        assert_eq!(
            names,
            [
                ("a", false),
                ("a", true),
                ("1", false),
                ("1", true),
                ("ret", false)
            ]
        );
    }

    #[test]
    fn what_no_key_types_is_named() {
        assert!(strokes("grün").is_err_and(|message| message.contains('ü')));
    }
}
