//! `[set.NAME]` and `intercepts`: exits and their answers.
//!
//! An exit's name has dots, and TOML nests what has dots: `cr3.write = "count"` is a table
//! `cr3` with a key `write`. Both spellings mean the same here.

use intercepts::{Action, EXITS, Exit, VECTORS};
use toml::de::{DeTable, DeValue};

use super::reader::{Key, Reader, Value, span};
use crate::near;
use crate::rules;
use crate::source::{At, Span};
use crate::written::{Answer, Entry, Set};

const ANSWER_KEYS: [&str; 5] = ["action", "handler", "vector", "error", "log"];

/// An exit's answer as a table, key by key.
#[derive(Default)]
struct Parts {
    action: Option<At<Action>>,
    handler: Option<At<String>>,
    vector: Option<At<u8>>,
    error: Option<At<u32>>,
    log: Option<At<bool>>,
    /// A key was there but wrong, and that is said already.
    wrong: bool,
}

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

    /// `exit = "action"`.
    fn short(&mut self, exit: At<&'static Exit>, value: &Value<'_>, entries: &mut Vec<Entry>) {
        let Some(action) = self.action(value) else {
            return;
        };
        let parts = Parts {
            action: Some(action),
            ..Parts::default()
        };
        self.finish(exit, parts, span(value), entries);
    }

    /// `exit = { action = "…", … }`.
    fn long(
        &mut self,
        exit: At<&'static Exit>,
        value: &Value<'_>,
        table: &DeTable<'_>,
        entries: &mut Vec<Entry>,
    ) {
        let mut parts = Parts::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let understood = match name {
                "action" => {
                    parts.action = self.action(value);
                    parts.action.is_some()
                }
                "handler" => {
                    parts.handler = self
                        .text(value, "\"my_handler\"")
                        .map(|name| name.map(str::to_owned));
                    parts.handler.is_some()
                }
                "vector" => {
                    parts.vector = self.vector(value);
                    parts.vector.is_some()
                }
                "error" => {
                    parts.error = self
                        .number(value, "error code", 0..=0xffff)
                        .map(|error| error.map(|code| code as u32));
                    parts.error.is_some()
                }
                "log" => {
                    parts.log = self.flag(value);
                    parts.log.is_some()
                }
                _ => {
                    let longer = format!("{}.{name}", exit.value.name);
                    if !is_start(&longer) {
                        self.unknown_key(key, "the answer to an exit", &ANSWER_KEYS);
                    }
                    true
                }
            };
            parts.wrong |= !understood;
        }
        self.finish(exit, parts, span(value), entries);
    }

    /// Makes one answer of the parts.
    fn finish(
        &mut self,
        exit: At<&'static Exit>,
        parts: Parts,
        whole: Span,
        entries: &mut Vec<Entry>,
    ) {
        let answer = match (&parts.action, &parts.handler) {
            (Some(action), Some(handler)) => {
                self.found
                    .add(
                        &rules::ONE_ANSWER,
                        handler.span,
                        format!("`{}` has an action and a handler", exit.value.name),
                    )
                    .also(action.span, "the action")
                    .help("keep one of the two");
                return;
            }
            (None, None) => {
                if !parts.wrong {
                    self.missing(
                        whole,
                        &format!("the answer to `{}`", exit.value.name),
                        "action",
                        "\"count\"",
                    );
                }
                return;
            }
            (None, Some(handler)) => handler.clone().map(Answer::Handler),
            (Some(action), None) if action.value == Action::Inject => {
                let Some(vector) = parts.vector else {
                    if !parts.wrong {
                        self.missing(whole, "`inject`", "vector", "\"gp\"");
                    }
                    return;
                };
                action.map(|_| Answer::Inject {
                    vector,
                    error: parts.error,
                })
            }
            (Some(action), None) => action.map(Answer::Action),
        };
        if answer.value.action() != Some(Action::Inject) {
            let of_inject = [
                parts.vector.map(|vector| ("vector", vector.span)),
                parts.error.map(|error| ("error", error.span)),
            ];
            for (name, at) in of_inject.into_iter().flatten() {
                self.found
                    .add(
                        &rules::PARAMETER,
                        at,
                        format!("`{name}` without `action = \"inject\"`"),
                    )
                    .also(answer.span, "this does not inject")
                    .help(format!("remove `{name}`, or inject"));
            }
        }
        if let Some(log) = parts.log
            && answer.value == Answer::Action(Action::Pass)
        {
            self.found
                .add(
                    &rules::PARAMETER,
                    log.span,
                    "`log` of what is not intercepted",
                )
                .also(answer.span, "so the VMM never sees it")
                .help("remove `log`, or write `action = \"count\"`");
        }
        entries.push(Entry {
            exit,
            answer,
            log: parts.log,
        });
    }

    fn action(&mut self, value: &Value<'_>) -> Option<At<Action>> {
        let text = self.text(value, "\"count\"")?;
        let action = Action::by_name(text.value);
        if action.is_none() {
            let names = Action::ALL.map(Action::name);
            self.unknown(&rules::UNKNOWN_ACTION, text, "action", &names);
        }
        action.map(|action| At::new(action, text.span))
    }

    /// A vector by number, or by name as in `exception.gp`.
    fn vector(&mut self, value: &Value<'_>) -> Option<At<u8>> {
        let Some(name) = value.get_ref().as_str() else {
            let vector = self.number(value, "exception vector", 0..=31)?;
            return Some(vector.map(|vector| vector as u8));
        };
        let by_name = (0..).zip(VECTORS).find(|(_, (short, manual))| {
            name.eq_ignore_ascii_case(short) || name.eq_ignore_ascii_case(manual)
        });
        match by_name {
            Some((vector, _)) => Some(At::new(vector, span(value))),
            None => {
                let names = VECTORS.map(|(short, _)| short);
                let help = match near::nearest(name, names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write a name such as `gp`, or a number from 0 to 31".to_owned(),
                };
                self.found
                    .add(
                        &rules::UNKNOWN_WORD,
                        span(value),
                        format!("unknown exception `{}`", name.escape_debug()),
                    )
                    .help(help);
                None
            }
        }
    }
}

/// Whether an exit has this name, or one that begins with it and a dot.
fn is_start(name: &str) -> bool {
    EXITS.iter().any(|exit| {
        exit.name
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

fn is_answer_key(key: &Key<'_>) -> bool {
    ANSWER_KEYS.contains(&key.get_ref().as_ref())
}
