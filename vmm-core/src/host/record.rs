//! What the VMM tells machines: one JSON object a line, on COM2.

use core::fmt::{self, Display, Write};

use super::ports::Ports;
use super::serial::{COM2, Uart};

/// Sends a record of `kind` over COM2; `fill` adds what else it says.
///
/// `fill` must not send records itself: the line is locked while it runs.
pub fn send(kind: &str, fill: impl FnOnce(&mut Object<'_, Uart<super::ports::Hardware>>)) {
    write(&mut *COM2.lock(), kind, fill);
}

fn write<W: Write>(out: &mut W, kind: &str, fill: impl FnOnce(&mut Object<'_, W>)) {
    let mut record = Object::open(out);
    record.text("kind", kind);
    fill(&mut record);
    record.close();
    let _ = out.write_char('\n');
}

impl<P: Ports> Write for Uart<P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

/// A JSON object being written. Keys are the VMM's own words and need no escape.
///
/// Errors of the writer are dropped: a serial line has none.
#[derive(Debug)]
pub struct Object<'w, W> {
    out: &'w mut W,
    empty: bool,
}

impl<'w, W: Write> Object<'w, W> {
    fn open(out: &'w mut W) -> Self {
        let _ = out.write_char('{');
        Self { out, empty: true }
    }

    fn close(self) {
        let _ = self.out.write_char('}');
    }

    fn key(&mut self, key: &str) -> &mut W {
        let comma = if self.empty { "" } else { "," };
        self.empty = false;
        let _ = write!(self.out, "{comma}\"{key}\":");
        self.out
    }

    /// `"key":"value"`, escaped.
    pub fn text(&mut self, key: &str, value: impl Display) {
        quote(self.key(key), value);
    }

    /// `"key":value`.
    pub fn number(&mut self, key: &str, value: u64) {
        let _ = write!(self.key(key), "{value}");
    }

    /// `"key":true` or `"key":false`.
    pub fn flag(&mut self, key: &str, value: bool) {
        let _ = write!(self.key(key), "{value}");
    }

    /// `"key":["value",...]`, escaped.
    pub fn texts(&mut self, key: &str, values: impl IntoIterator<Item = impl Display>) {
        self.list(key, values, |out, value| quote(out, value));
    }

    /// `"key":[value,...]`.
    pub fn numbers(&mut self, key: &str, values: impl IntoIterator<Item = u64>) {
        self.list(key, values, |out, value| {
            let _ = write!(out, "{value}");
        });
    }

    /// `"key":[{...},...]`: one object for each of `items`, which `fill` fills.
    pub fn objects<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Object<'_, W>, T),
    ) {
        self.list(key, items, |out, item| {
            let mut object = Object::open(out);
            fill(&mut object, item);
            object.close();
        });
    }

    fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut W, T),
    ) {
        let out = self.key(key);
        let _ = out.write_char('[');
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                let _ = out.write_char(',');
            }
            each(out, item);
        }
        let _ = out.write_char(']');
    }
}

fn quote(out: &mut impl Write, value: impl Display) {
    let _ = out.write_char('"');
    let _ = write!(Escape(out), "{value}");
    let _ = out.write_char('"');
}

/// Escapes what a JSON string may not hold as it is (RFC 8259, section 7).
struct Escape<'w, W>(&'w mut W);

impl<W: Write> Write for Escape<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '"' => self.0.write_str("\\\"")?,
                '\\' => self.0.write_str("\\\\")?,
                '\n' => self.0.write_str("\\n")?,
                '\0'..='\x1F' | '\x7F' => write!(self.0, "\\u{:04x}", u32::from(character))?,
                _ => self.0.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;

    fn record(kind: &str, fill: impl FnOnce(&mut Object<'_, String>)) -> String {
        let mut out = String::new();
        write(&mut out, kind, fill);
        out
    }

    #[test]
    fn a_record_is_one_line_of_json() {
        let line = record("exits", |record| {
            record.text("vm", "demo");
            record.flag("good", true);
            record.texts("vms", ["a", "b"]);
            record.numbers("sizes", [7, 0]);
            record.objects(
                "exits",
                [("cpuid", 2), ("hlt", 0)],
                |exit, (name, count)| {
                    exit.text("name", name);
                    exit.number("count", count);
                },
            );
            record.objects("none", [(); 0], |_, ()| {});
            record.number("guest_cycles", u64::MAX);
        });
        assert_eq!(
            line,
            r#"{"kind":"exits","vm":"demo","good":true,"vms":["a","b"],"sizes":[7,0],"exits":[{"name":"cpuid","count":2},{"name":"hlt","count":0}],"none":[],"guest_cycles":18446744073709551615}"#.to_owned() + "\n"
        );
    }

    #[test]
    fn strings_are_escaped() {
        let line = record("panic", |record| {
            record.text("message", "a \"b\" \\ c\n\t\x7F\u{e9}")
        });
        assert_eq!(
            line,
            "{\"kind\":\"panic\",\"message\":\"a \\\"b\\\" \\\\ c\\n\\u0009\\u007f\u{e9}\"}\n"
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_string(text: String) {
            let line = record("panic", |record| record.text("message", &text));
            let quoted = line.strip_prefix("{\"kind\":\"panic\",\"message\":\"").unwrap().strip_suffix("\"}\n").unwrap();
            let mut plain = String::new();
            let mut rest = quoted.chars();
            while let Some(character) = rest.next() {
                prop_assert!(character != '"' && !character.is_ascii_control());
                plain.push(match character {
                    '\\' => match rest.next().unwrap() {
                        'n' => '\n',
                        'u' => {
                            let hex: String = rest.by_ref().take(4).collect();
                            char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap()
                        }
                        other => other,
                    },
                    other => other,
                });
            }
            prop_assert_eq!(plain, text);
        }
    }
}
