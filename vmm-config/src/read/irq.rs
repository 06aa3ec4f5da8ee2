//! `[irq]`: physical interrupt lines.

use super::reader::{Key, Reader, Value, span};
use super::units;
use crate::rules;
use crate::source::{At, Span};
use crate::written::Line;

/// The name that stands for the VMM where a VM could be named.
pub(crate) const VMM: &str = "vmm";
/// The name that stands for the VM that has the keyboard.
pub(crate) const FOCUS: &str = "focus";

impl Line {
    /// Keyboard and COM1 to the VMM: what a policy without `[irq]` gets.
    pub(super) fn defaults(at: Span) -> Vec<Line> {
        [1, 4]
            .map(|line| Line {
                line: At::new(line, at),
                to: At::new(VMM.to_owned(), at),
                ports: None,
            })
            .into()
    }
}

impl Reader<'_, '_> {
    pub(super) fn lines(&mut self, value: &Value<'_>) -> Vec<Line> {
        let Some(table) = self.table(value, "[irq]") else {
            return Vec::new();
        };
        table
            .iter()
            .filter_map(|(key, value)| self.line(key, value))
            .collect()
    }

    fn line(&mut self, key: &Key<'_>, value: &Value<'_>) -> Option<Line> {
        let number = units::number(key.get_ref()).and_then(|number| u8::try_from(number).ok());
        let Some(line) = number.filter(|line| *line < 16) else {
            self.found
                .add(
                    &rules::OUT_OF_RANGE,
                    span(key),
                    format!(
                        "`{}` is not a physical interrupt line",
                        key.get_ref().escape_debug()
                    ),
                )
                .help("write a number from 0 to 15");
            return None;
        };
        let line = At::new(line, span(key));
        if let Some(to) = value.get_ref().as_str() {
            return Some(Line {
                line,
                to: At::new(to.to_owned(), span(value)),
                ports: None,
            });
        }
        let (mut to, mut ports) = (None, None);
        for (key, value) in self.table(value, "{ vm = \"demo\" }")? {
            match key.get_ref().as_ref() {
                "vm" => to = self.text(value, "\"demo\""),
                "ports" => ports = self.ports(value),
                _ => self.unknown_key(key, "a line of `[irq]`", &["vm", "ports"]),
            }
        }
        let Some(to) = to else {
            self.missing(span(value), "a line of `[irq]`", "vm", "\"demo\"");
            return None;
        };
        Some(Line {
            line,
            to: to.map(str::to_owned),
            ports,
        })
    }
}
