//! Which keys of a US keyboard type a text, by QEMU's names for them (`qcode`).

/// Keys that are pressed together, in the order in which they go down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stroke(pub Vec<&'static str>);

impl Stroke {
    /// X's names of the keys (`keysym`), which VNC has as well.
    pub fn keysyms(&self) -> impl DoubleEndedIterator<Item = u32> + Clone {
        self.0.iter().map(|qcode| keysym(qcode))
    }
}

fn keysym(qcode: &str) -> u32 {
    const F1: u32 = 0xFFBE;
    match qcode {
        "ret" => 0xFF0D,
        "tab" => 0xFF09,
        "esc" => 0xFF1B,
        "shift" => 0xFFE1,
        "ctrl" => 0xFFE3,
        "alt" => 0xFFE9,
        "backspace" => 0xFF08,
        "delete" => 0xFFFF,
        "insert" => 0xFF63,
        "home" => 0xFF50,
        "end" => 0xFF57,
        "pgup" => 0xFF55,
        "pgdn" => 0xFF56,
        "up" => 0xFF52,
        "down" => 0xFF54,
        other => {
            let function = other
                .strip_prefix('f')
                .and_then(|number| number.parse().ok());
            let plain = OTHERS.iter().find(|(.., name)| *name == other);
            let character = plain.map(|(plain, ..)| *plain).or(other.chars().next());
            match function {
                Some(number @ 1..=12) => F1 - 1 + number,
                _ => character.map_or(0, u32::from),
            }
        }
    }
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

/// The keys that type nothing: what a person calls them, and QEMU.
const NAMED: [(&str, &str); 27] = [
    ("ctrl", "ctrl"),
    ("alt", "alt"),
    ("shift", "shift"),
    ("esc", "esc"),
    ("tab", "tab"),
    ("enter", "ret"),
    ("backspace", "backspace"),
    ("insert", "insert"),
    ("delete", "delete"),
    ("home", "home"),
    ("end", "end"),
    ("pgup", "pgup"),
    ("pgdn", "pgdn"),
    ("up", "up"),
    ("down", "down"),
    ("f1", "f1"),
    ("f2", "f2"),
    ("f3", "f3"),
    ("f4", "f4"),
    ("f5", "f5"),
    ("f6", "f6"),
    ("f7", "f7"),
    ("f8", "f8"),
    ("f9", "f9"),
    ("f10", "f10"),
    ("f11", "f11"),
    ("f12", "f12"),
];

/// The key presses that type `text`, or what cannot be typed. `<ctrl+alt+esc>` is keys pressed
/// together, one of them at least by a name of more than a letter; any other `<` is itself.
pub fn strokes(text: &str) -> Result<Vec<Stroke>, String> {
    let mut strokes = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some((keys, after)) = chord(rest) {
            strokes.push(keys);
            rest = after;
            continue;
        }
        let typed = stroke(character);
        strokes.push(typed.ok_or_else(|| format!("a US keyboard has no key for `{character}`"))?);
        rest = &rest[character.len_utf8()..];
    }
    Ok(strokes)
}

/// The chord that `text` begins with, and what follows it.
fn chord(text: &str) -> Option<(Stroke, &str)> {
    let (keys, after) = text.strip_prefix('<')?.split_once('>')?;
    let keys: Option<Vec<_>> = keys.split('+').map(key).collect();
    let keys = keys.filter(|keys| keys.iter().any(|key| key.len() > 1))?;
    Some((Stroke(keys), after))
}

/// The key of this name, or the one that types this letter or digit.
fn key(name: &str) -> Option<&'static str> {
    if let Some((_, qcode)) = NAMED.iter().find(|(known, _)| *known == name) {
        return Some(qcode);
    }
    [LETTERS, DIGITS].into_iter().find_map(|row| {
        let place = row.find(name).filter(|_| name.len() == 1)?;
        row.get(place..=place)
    })
}

fn stroke(character: char) -> Option<Stroke> {
    let unshifted = |qcode| Stroke(vec![qcode]);
    let shifted = |qcode| Stroke(vec!["shift", qcode]);
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
        let names: Vec<_> = typed.iter().map(|stroke| stroke.0.join("+")).collect();
        assert_eq!(names, ["a", "shift+a", "1", "shift+1", "ret"]);
    }

    #[test]
    fn keys_in_angle_brackets_are_pressed_together() {
        let typed = |text| -> Vec<_> {
            let strokes = strokes(text).expect("keys");
            strokes.iter().map(|stroke| stroke.0.join("+")).collect()
        };
        assert_eq!(typed("<ctrl+alt+esc>2"), ["ctrl+alt+esc", "2"]);
        assert_eq!(typed("<pgup><shift+tab>"), ["pgup", "shift+tab"]);
        for text in ["<", "a<b>", "<b+c>", "<>", "<grue>", "1<2"] {
            assert_eq!(typed(text).len(), text.len(), "{text} is no chord");
        }
    }

    #[test]
    fn what_no_key_types_is_named() {
        assert!(strokes("grün").is_err_and(|message| message.contains('ü')));
    }
}
