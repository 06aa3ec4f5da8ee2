//! `[set.NAME]` and `intercepts`: exits and their answers.
//!
//! An exit's name has dots, and TOML nests what has dots: `cr3.write = "count"` is a table
//! `cr3` with a key `write`. Both spellings mean the same here.

use intercepts::EXITS;
use toml::de::{DeTable, DeValue};

use super::answer::is_answer_key;
use super::reader::{Reader, Value, span};
use crate::near;
use crate::rules;
use crate::source::{At, Span};
use crate::written::{Entry, Set};

impl Reader<'_, '_> {
    /// The set with that name, or the nameless one of a VM.
    pub(super) fn set(&mut self, name: Option<At<String>>, table: &DeTable<'_>) -> Set {
        let mut set = Set {
            name,
            extends: Vec::new(),
            entries: Vec::new(),
        };
        for (key, value) in table {
            if key.get_ref() == "extends" {
                set.extends = self.set_names(value);
            } else {
                let exit = At::new(key.get_ref().to_string(), span(key));
                self.entry(exit, value, &mut set.entries);
            }
        }
        set
    }

    pub(super) fn set_names(&mut self, value: &Value<'_>) -> Vec<At<String>> {
        self.texts(value, "\"base\"")
            .into_iter()
            .map(|name| name.map(str::to_owned))
            .collect()
    }

    fn entry(&mut self, name: At<String>, value: &Value<'_>, entries: &mut Vec<Entry>) {
        let exit = intercepts::by_name(&name.value);
        let DeValue::Table(table) = value.get_ref() else {
            match exit {
                Some(exit) => self.short(At::new(exit, name.span), value, entries),
                None => self.unknown_exit(&name),
            }
            return;
        };
        if exit.is_none() && (!is_start(&name.value) || table.keys().any(is_answer_key)) {
            self.unknown_exit(&name);
            return;
        }
        let mut answers = exit.is_some() && table.is_empty();
        for (key, value) in table {
            let longer = format!("{}.{}", name.value, key.get_ref());
            if exit.is_none() || is_start(&longer) {
                let longer = At::new(longer, self.dotted(name.span, span(key)));
                self.entry(longer, value, entries);
            } else {
                answers = true;
            }
        }
        if let Some(exit) = exit
            && answers
        {
            self.long(At::new(exit, name.span), value, table, entries);
        }
    }

    /// Both parts of `cr3.write`, or the second where they do not stand together: a table
    /// remembers the place of its first mention only.
    fn dotted(&self, first: Span, second: Span) -> Span {
        let text = &self.found.source().text;
        match text.get(first.end..second.start) {
            Some(between) if between.trim_matches(['"', '\'', ' ', '\t']) == "." => Span {
                start: first.start,
                end: second.end,
            },
            _ => second,
        }
    }

    fn unknown_exit(&mut self, name: &At<String>) {
        let beginning = format!("{}.", name.value);
        let longer: Vec<_> = EXITS
            .iter()
            .map(|exit| exit.name)
            .filter(|exit| exit.starts_with(&beginning))
            .take(4)
            .collect();
        let by_manual = EXITS
            .iter()
            .find(|exit| exit.apm.eq_ignore_ascii_case(&name.value))
            .map(|exit| exit.name);
        let near =
            by_manual.or_else(|| near::nearest(&name.value, EXITS.iter().map(|exit| exit.name)));
        let help = match near {
            _ if !longer.is_empty() => format!("did you mean {}?", near::list(&longer)),
            Some(near) => format!("did you mean `{near}`?"),
            None => "names look like `cpuid`, `cr3.write`, `dr7.read`, `exception.pf`".to_owned(),
        };
        self.found
            .add(
                &rules::UNKNOWN_EXIT,
                name.span,
                format!("unknown exit `{}`", name.value.escape_debug()),
            )
            .help(help);
    }
}

/// Whether an exit has this name, or one that begins with it and a dot.
pub(super) fn is_start(name: &str) -> bool {
    EXITS.iter().any(|exit| {
        exit.name
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}
