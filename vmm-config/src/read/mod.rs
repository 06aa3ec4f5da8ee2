//! From the text to [`Document`]: TOML with the place of every key and value.
//!
//! Reading goes on past whatever is wrong, so that one run finds everything. What is left
//! out or wrong is replaced by its default; the finding that says so refuses the policy.

mod answer;
mod cpuid;
pub(crate) mod files;
mod irq;
mod reader;
mod set;
mod units;
mod vm;

use std::collections::HashSet;

use intercepts::Feature;
use toml::de::{DeTable, DeValue};

pub(crate) use self::irq::{FOCUS, VMM};
use self::reader::{Key, Reader, Value, span};
use crate::finding::Findings;
use crate::machine::{MACHINES, Machine};
use crate::rules;
use crate::source::{At, Span};
use crate::words::LogLevel;
use crate::written::{Document, Line, Said, Set};

const KEYS: [&str; 5] = ["target", "vmm", "set", "vm", "irq"];

/// Reads a policy. With a text that is no TOML, only what the text itself gets wrong is found.
pub(crate) fn document(found: &mut Findings<'_>) -> Document {
    let source = found.source();
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    let mut told = HashSet::new();
    for error in &errors {
        let at: Span = match error.span() {
            Some(at) => at.into(),
            None => most_dotted(&source.text),
        };
        if !told.insert((at, error.message())) {
            continue;
        }
        let help = match source.text.get(at.start..at.end).unwrap_or_default() {
            _ if error.message() == "duplicate key" => Some("keep one of the two".to_owned()),
            _ if error.span().is_none() => Some("nest less".to_owned()),
            "yes" | "on" | "True" => Some("write `true`".to_owned()),
            "no" | "off" | "False" => Some("write `false`".to_owned()),
            word if is_bare_word(word) => Some(format!("write `\"{word}\"`")),
            _ => None,
        };
        let draft = found.add(&rules::SYNTAX, at, error.message());
        if let Some(help) = help {
            draft.help(help);
        }
    }
    let is_toml = found.is_empty();
    let document = Reader { found }.root(root.get_ref());
    if !is_toml {
        // Where the text is broken, something may seem to be missing or misplaced.
        let broken: Vec<_> = errors
            .iter()
            .map(|error| source.place(error.span().unwrap_or_default().start).line)
            .collect();
        found.retain(|finding| {
            finding.rule == &rules::SYNTAX
                || finding.rule != &rules::MISSING_KEY
                    && finding.rule != &rules::NO_VM
                    && !broken.contains(&finding.at.start.line)
        });
    }
    document
}

/// The key that nests deepest. The parser counts how deep keys nest, and does not say where.
fn most_dotted(text: &str) -> Span {
    let mut start = 0;
    let mut deepest = (0, Span { start, end: start });
    for line in text.split_inclusive('\n') {
        let key = line.split('=').next().unwrap_or_default().trim_end();
        let dots = key.matches('.').count();
        if dots > deepest.0 {
            let end = start + key.len();
            deepest = (dots, Span { start, end });
        }
        start += line.len();
    }
    deepest.1
}

/// Whether this could be a string that lacks only its quotes.
fn is_bare_word(text: &str) -> bool {
    (text.starts_with(|first: char| first.is_ascii_alphabetic()) || text.contains(' '))
        && text
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || "-_. ".contains(char))
}

impl Reader<'_, '_> {
    fn root(&mut self, root: &DeTable<'_>) -> Document {
        let start = Span { start: 0, end: 0 };
        let mut document = Document {
            machine: At::new(Machine::usual(), start),
            features: Vec::new(),
            quantum_us: 10_000,
            log: LogLevel::Info,
            sets: Vec::new(),
            vms: Vec::new(),
            lines: Line::defaults(start),
            said: Said::new(),
        };
        for (key, value) in root {
            match key.get_ref().as_ref() {
                "target" => self.target(value, &mut document),
                "vmm" => self.vmm(value, &mut document),
                "set" => self.sets(value, &mut document.sets),
                "irq" => {
                    document.said.insert("irq", span(key));
                    document.lines = self.lines(value);
                }
                "vm" => {
                    for (header, table) in self.tables(value, "[[vm]]") {
                        let vm = self.vm(header, table, &mut document.sets);
                        document.vms.push(vm);
                    }
                }
                _ => self.unknown_key(key, "a policy", &KEYS),
            }
        }
        if document.vms.is_empty() && !root.contains_key("vm") {
            self.found
                .add(&rules::NO_VM, start, "there is no `[[vm]]`")
                .help("add a `[[vm]]` with `name`, `memory` and `intercepts`");
        }
        document
    }

    fn target(&mut self, value: &Value<'_>, document: &mut Document) {
        const KEYS: [&str; 2] = ["machine", "features"];
        let Some(table) = self.table(value, "[target]") else {
            return;
        };
        for (key, value) in table {
            note(&mut document.said, key, &KEYS);
            match key.get_ref().as_ref() {
                "machine" => {
                    let Some(text) = self.text(value, "\"qemu-tcg\"") else {
                        continue;
                    };
                    match Machine::by_name(text.value) {
                        Some(machine) => document.machine = At::new(machine, text.span),
                        None => {
                            let names: Vec<_> = MACHINES.iter().map(|m| m.name).collect();
                            self.unknown(&rules::UNKNOWN_MACHINE, text, "machine", &names);
                        }
                    }
                }
                "features" => document.features = self.features(value),
                _ => self.unknown_key(key, "`[target]`", &KEYS),
            }
        }
    }

    fn features(&mut self, value: &Value<'_>) -> Vec<Feature> {
        self.list(value, "[\"sev-es\"]")
            .into_iter()
            .flatten()
            .filter_map(|item| self.word(item, &rules::UNKNOWN_WORD))
            .map(|feature| feature.value)
            .collect()
    }

    fn vmm(&mut self, value: &Value<'_>, document: &mut Document) {
        let Some(table) = self.table(value, "[vmm]") else {
            return;
        };
        for (key, value) in table {
            note(&mut document.said, key, &["quantum", "log"]);
            match key.get_ref().as_ref() {
                "quantum" => {
                    if let Some(quantum) = self.quantum(value) {
                        document.quantum_us = quantum;
                    }
                }
                "log" => {
                    if let Some(log) = self.word(value, &rules::UNKNOWN_WORD) {
                        document.log = log.value;
                    }
                }
                _ => self.unknown_key(key, "`[vmm]`", &["quantum", "log"]),
            }
        }
    }

    fn quantum(&mut self, value: &Value<'_>) -> Option<u32> {
        let quantum = self.measure(value, "a time", "\"10 ms\"", units::time_us)?;
        match u32::try_from(quantum.value) {
            Ok(us @ 100..=1_000_000) => Some(us),
            _ => {
                self.found
                    .add(
                        &rules::OUT_OF_RANGE,
                        quantum.span,
                        "time slice out of range",
                    )
                    .help("write a time from `100 us` to `1 s`");
                None
            }
        }
    }

    fn sets(&mut self, value: &Value<'_>, sets: &mut Vec<Set>) {
        let Some(table) = self.table(value, "[set.base]") else {
            return;
        };
        for (key, value) in table {
            if let DeValue::Table(entries) = value.get_ref() {
                let name = At::new(key.get_ref().to_string(), span(key));
                let set = self.set(Some(name), entries);
                sets.push(set);
            } else {
                // `[set]` itself with an exit in it: the name of the set is missing.
                self.found
                    .add(
                        &rules::WRONG_TYPE,
                        span(key),
                        format!("`{}` is not in a named set", key.get_ref()),
                    )
                    .help("begin a set with its name, as in `[set.base]`");
            }
        }
    }
}

/// Remembers where a table says a key that it may have.
fn note(said: &mut Said, key: &Key<'_>, keys: &[&'static str]) {
    if let Some(known) = keys.iter().find(|known| **known == key.get_ref()) {
        said.insert(known, span(key));
    }
}
