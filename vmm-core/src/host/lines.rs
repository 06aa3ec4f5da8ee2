//! Whole lines from several speakers on one serial line.
//!
//! The VMM and its guests share COM1. Each line starts with its speaker's name, whoever spoke
//! before; a speaker who interrupts another's line gets a new one.

/// Who speaks: the VMM, its log, or a guest by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The VMM: lines start with `[vmm] `.
    Vmm,
    /// What the VMM has said before: lines start with `[log] `.
    Log,
    /// A guest: lines start with its VM's name, `| `.
    Guest(&'static str),
}

/// What stands on the line so far.
#[derive(Debug, Default)]
pub struct Lines {
    /// Whose line stands unfinished.
    open: Option<Speaker>,
    /// A carriage return is held back until what follows it is known.
    returned: bool,
}

impl Lines {
    /// Nothing said yet.
    pub const fn new() -> Self {
        Self {
            open: None,
            returned: false,
        }
    }

    /// Lets `speaker` say `bytes`, and hands the line's bytes to `send`. CR LF and LF end a line
    /// alike; a lone CR starts the line again, name included, so nobody can hide who speaks.
    pub fn say(&mut self, speaker: Speaker, bytes: &[u8], mut send: impl FnMut(&[u8])) {
        if self.open.is_some_and(|open| open != speaker) {
            self.end(&mut send);
        }
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if first == b'\r' {
                self.returned = true;
                rest = &rest[1..];
                continue;
            }
            self.start(speaker, &mut send);
            if first == b'\n' {
                self.end(&mut send);
                rest = &rest[1..];
                continue;
            }
            let plain = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (text, after) = rest.split_at(plain.unwrap_or(rest.len()));
            if core::mem::take(&mut self.returned) {
                send(b"\r");
                name(speaker, &mut send);
            }
            send(text);
            rest = after;
        }
    }

    fn start(&mut self, speaker: Speaker, send: &mut impl FnMut(&[u8])) {
        if self.open.is_none() {
            self.open = Some(speaker);
            self.returned = false;
            name(speaker, send);
        }
    }

    fn end(&mut self, send: &mut impl FnMut(&[u8])) {
        self.open = None;
        self.returned = false;
        send(b"\r\n");
    }
}

fn name(speaker: Speaker, send: &mut impl FnMut(&[u8])) {
    match speaker {
        Speaker::Vmm => send(b"[vmm] "),
        Speaker::Log => send(b"[log] "),
        Speaker::Guest(name) => {
            send(name.as_bytes());
            send(b"| ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;

    const DEMO: Speaker = Speaker::Guest("demo");

    fn said(words: &[(Speaker, &str)]) -> String {
        let mut lines = Lines::new();
        let mut out = std::vec::Vec::new();
        for (speaker, text) in words {
            lines.say(*speaker, text.as_bytes(), |bytes| {
                out.extend_from_slice(bytes)
            });
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_line_names_its_speaker() {
        assert_eq!(
            said(&[(DEMO, "one\ntwo\r\n\nfo"), (DEMO, "ur")]),
            "demo| one\r\ndemo| two\r\ndemo| \r\ndemo| four"
        );
    }

    #[test]
    fn who_interrupts_gets_a_new_line() {
        assert_eq!(
            said(&[(DEMO, "hal"), (Speaker::Vmm, "x\n"), (DEMO, "f\n")]),
            "demo| hal\r\n[vmm] x\r\ndemo| f\r\n"
        );
    }

    #[test]
    fn a_lone_return_does_not_hide_the_name() {
        assert_eq!(
            said(&[(DEMO, "10%\r"), (DEMO, "20%\r"), (DEMO, "\n")]),
            "demo| 10%\rdemo| 20%\r\n"
        );
    }

    proptest! {
        #[test]
        fn no_guest_can_speak_as_another(pieces in prop::collection::vec((0usize..4, "[a\r\n]{0,4}"), 0..20)) {
            let speakers = [Speaker::Vmm, Speaker::Log, DEMO, Speaker::Guest("other")];
            let names = ["[vmm] ", "[log] ", "demo| ", "other| "];
            let words: std::vec::Vec<_> = pieces.iter().map(|(who, text)| (speakers[*who], text.as_str())).collect();
            for line in said(&words).split(['\r', '\n']).filter(|line| !line.is_empty()) {
                let named = names.iter().any(|name| line.starts_with(name));
                prop_assert!(named, "{:?}", line);
            }
        }

        #[test]
        fn how_text_is_cut_into_pieces_does_not_matter(text in "[ab\r\n]{0,12}", cut: prop::sample::Index) {
            let cut = cut.index(text.len() + 1);
            let (head, tail) = text.split_at(cut);
            prop_assert_eq!(said(&[(DEMO, head), (DEMO, tail)]), said(&[(DEMO, &text)]));
        }
    }
}
