//! Texts on the command line, and looking for them in a stream.

/// A text of the command line with its escapes replaced: `\n`, `\r`, `\t`,
/// `\e` (escape) and `\\`.
pub fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        plain.push(match characters.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('e') => '\x1b',
            Some('\\') => '\\',
            Some(other) => {
                return Err(format!(
                    "`\\{other}` is no escape; there are \\n \\r \\t \\e and \\\\"
                ));
            }
            None => {
                return Err("a backslash at the end; write \\\\ for the character itself".into());
            }
        });
    }
    if plain.is_empty() {
        Err("an empty text".into())
    } else {
        Ok(plain)
    }
}

/// Where `wanted` first ends in `bytes`.
pub fn end_of(wanted: &[u8], bytes: &[u8]) -> Option<usize> {
    let start = bytes
        .windows(wanted.len().max(1))
        .position(|window| window == wanted)?;
    Some(start + wanted.len())
}

/// Keeps only the end of `bytes` in which the start of `wanted` may lie.
pub fn keep_tail(wanted: &[u8], bytes: &mut Vec<u8>) {
    let kept = wanted.len().saturating_sub(1).min(bytes.len());
    bytes.drain(..bytes.len() - kept);
}

/// Looks for one text in a stream that arrives in pieces.
#[derive(Clone, Debug)]
pub struct Watch {
    wanted: Vec<u8>,
    tail: Vec<u8>,
}

impl Watch {
    /// Looks for this text.
    pub fn new(wanted: &str) -> Watch {
        Watch {
            wanted: wanted.into(),
            tail: Vec::new(),
        }
    }

    /// Takes the next piece; true if the text ends in it.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        self.tail.extend_from_slice(piece);
        let found = end_of(&self.wanted, &self.tail).is_some();
        keep_tail(&self.wanted, &mut self.tail);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_their_characters() {
        assert_eq!(unescape(r"a\tb\\n\n"), Ok("a\tb\\n\n".to_string()));
    }

    #[test]
    fn an_unknown_escape_is_an_error_that_lists_the_known_ones() {
        assert!(unescape(r"\x41").is_err_and(|message| message.contains(r"\n")));
        assert!(unescape(r"end\").is_err());
        assert!(unescape("").is_err());
    }

    #[test]
    fn a_text_is_found_however_the_stream_is_cut() {
        let stream = b"boot: demo: done\n";
        for cut in 0..=stream.len() {
            let mut watch = Watch::new("demo: done");
            let (first, second) = stream.split_at(cut);
            let found = [watch.feed(first), watch.feed(second)];
            assert_eq!(
                found.iter().filter(|found| **found).count(),
                1,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_text_that_is_not_there_is_not_found() {
        let mut watch = Watch::new("aab");
        assert!(!watch.feed(b"aa") && !watch.feed(b"ca") && !watch.feed(b"b"));
    }
}
