//! The answer to an exit: an action or a handler with its parameters, or rules of `when`.

use intercepts::{Action, Exit, ExitCode, VECTORS};
use toml::de::{DeTable, DeValue};

use super::reader::{Key, Reader, Value, span};
use super::set::is_start;
use crate::near;
use crate::rules;
use crate::source::{At, Span};
use crate::words::{Test, Then, Word};
use crate::written::{Answer, Condition, Entry, Filter, Limit, Rule};

/// The keys of an answer, and of those only the first five in a rule of `when`.
const KEYS: [&str; 10] = [
    "action",
    "handler",
    "vector",
    "error",
    "log",
    "when",
    "limit",
    "then",
    "filter",
    "threshold",
];
const KEYS_OF_RULES: usize = 5;

/// An answer as a table, key by key.
#[derive(Default)]
struct Parts {
    action: Option<At<Action>>,
    handler: Option<At<String>>,
    vector: Option<At<u8>>,
    error: Option<At<u32>>,
    log: Option<At<bool>>,
    when: Option<At<Vec<Rule>>>,
    limit: Option<At<u64>>,
    then: Option<At<Then>>,
    filter: Option<At<u16>>,
    threshold: Option<At<u16>>,
    conditions: Vec<At<Condition>>,
    /// A key was there but wrong, and that is said already.
    wrong: bool,
}

/// An answer, and whether it is logged.
type Answered = (At<Answer>, Option<At<bool>>);

impl Reader<'_, '_> {
    /// `exit = "action"`.
    pub(super) fn short(
        &mut self,
        exit: At<&'static Exit>,
        value: &Value<'_>,
        entries: &mut Vec<Entry>,
    ) {
        if let Some(action) = self.action(value) {
            entries.push(Entry {
                exit,
                when: Vec::new(),
                answer: action.map(Answer::Action),
                log: None,
                limit: None,
                filter: None,
            });
        }
    }

    /// `exit = { action = "…", … }`.
    pub(super) fn long(
        &mut self,
        exit: At<&'static Exit>,
        value: &Value<'_>,
        table: &DeTable<'_>,
        entries: &mut Vec<Entry>,
    ) {
        let mut parts = Parts::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let is_other_exit = is_start(&format!("{}.{name}", exit.value.name));
            let understood = match name {
                _ if is_other_exit => true,
                "when" => {
                    parts.when = self.when(exit.value, value);
                    parts.when.is_some()
                }
                "limit" => {
                    let exits = self.number(value, "limit", 1..=i64::MAX.into());
                    parts.limit = exits.map(|exits| exits.map(|number| number as u64));
                    parts.limit.is_some()
                }
                "then" => {
                    parts.then = self.word(value, &rules::UNKNOWN_WORD);
                    parts.then.is_some()
                }
                "filter" => {
                    parts.filter = self.field(value, "number of PAUSEs");
                    parts.filter.is_some()
                }
                "threshold" => {
                    parts.threshold = self.field(value, "number of cycles");
                    parts.threshold.is_some()
                }
                _ => self.part(key, value, &mut parts).unwrap_or_else(|| {
                    self.unknown_key(key, "the answer to an exit", &KEYS);
                    true
                }),
            };
            parts.wrong |= !understood;
        }
        let limit = self.limit(&parts);
        let filter = self.filter(exit.value, &parts);
        let when = parts.when.take();
        let (when, answered) = match when {
            Some(when) => self.last_of(when, &parts),
            None => (Vec::new(), self.answered(exit.value, parts, span(value))),
        };
        let Some((answer, log)) = answered else {
            return;
        };
        if let Some(limit) = limit.filter(|_| when.is_empty()) {
            self.limit_is_of_use(&limit, &answer);
        }
        if let Some(filter) = filter.filter(|_| answer.value == Answer::Action(Action::Pass)) {
            let message = "`filter` of what is not intercepted";
            self.found
                .add(&rules::PARAMETER, filter.pauses.span, message)
                .also(answer.span, "so no PAUSE exits")
                .help("remove `filter`, or write `action = \"count\"`");
        }
        entries.push(Entry {
            exit,
            when,
            answer,
            log,
            limit,
            filter,
        });
    }

    /// A key of an action or a handler; `None` if it is no such key.
    fn part(&mut self, key: &Key<'_>, value: &Value<'_>, parts: &mut Parts) -> Option<bool> {
        Some(match key.get_ref().as_ref() {
            "action" => {
                parts.action = self.action(value);
                parts.action.is_some()
            }
            "handler" => {
                let name = self.text(value, "\"my_handler\"");
                parts.handler = name.map(|name| name.map(str::to_owned));
                parts.handler.is_some()
            }
            "vector" => {
                parts.vector = self.vector(value);
                parts.vector.is_some()
            }
            "error" => {
                let error = self.number(value, "error code", 0..=0xffff);
                parts.error = error.map(|error| error.map(|code| code as u32));
                parts.error.is_some()
            }
            "log" => {
                parts.log = self.flag(value);
                parts.log.is_some()
            }
            _ => return None,
        })
    }

    /// The rules of `when`, the last one among them.
    fn when(&mut self, exit: &'static Exit, value: &Value<'_>) -> Option<At<Vec<Rule>>> {
        let tables = self.tables(
            value,
            "[{ cpl = 3, action = \"log\" }, { action = \"count\" }]",
        );
        let count = tables.len();
        if count == 0 && value.get_ref().as_array().is_some() {
            self.found
                .add(&rules::WHEN_LAST, span(value), "`when` has no rule")
                .help("write at least `{ action = \"count\" }`");
        }
        let mut when = Vec::new();
        for (index, (at, table)) in tables.into_iter().enumerate() {
            let mut parts = Parts::default();
            for (key, value) in table {
                let understood = match Test::by_name(key.get_ref()) {
                    Some(test) => {
                        let condition = self.condition(test, value);
                        parts.conditions.extend(condition);
                        condition.is_some()
                    }
                    None => self.part(key, value, &mut parts).unwrap_or_else(|| {
                        let tests = Test::ALL.iter().filter(|test| test.fits(exit));
                        let keys: Vec<_> = tests
                            .map(|test| test.name())
                            .chain(KEYS.into_iter().take(KEYS_OF_RULES))
                            .collect();
                        self.unknown_key(key, "a rule of `when`", &keys);
                        true
                    }),
                };
                parts.wrong |= !understood;
            }
            let (is_last, has_conditions) = (index + 1 == count, !parts.conditions.is_empty());
            if is_last == has_conditions && !parts.wrong {
                let (message, help) = if is_last {
                    (
                        "the last rule of `when` has a condition",
                        "add a rule without one, such as `{ action = \"count\" }`",
                    )
                } else {
                    (
                        "a rule without condition that is not the last",
                        "give it a condition, or make it the last: no rule behind it is reached",
                    )
                };
                self.found.add(&rules::WHEN_LAST, at, message).help(help);
            }
            let conditions = std::mem::take(&mut parts.conditions);
            if let Some((answer, log)) = self.answered(exit, parts, at) {
                when.push(Rule {
                    conditions,
                    answer,
                    log,
                });
            }
        }
        Some(At::new(when, span(value))).filter(|when| !when.value.is_empty())
    }

    fn condition(&mut self, test: Test, value: &Value<'_>) -> Option<At<Condition>> {
        let range = match test {
            Test::Write => self.flag(value)?.map(|write| (write.into(), write.into())),
            Test::Port => self
                .ports(value)?
                .map(|(first, last)| (first.into(), last.into())),
            Test::Msr => self
                .msrs(value)?
                .map(|(first, last)| (first.into(), last.into())),
            _ => self.range(value, "a number", "\"0x10-0x1f\"", test.largest())?,
        };
        Some(range.map(|(first, last)| Condition { test, first, last }))
    }

    /// Takes the last rule of `when` as the answer where no rule holds.
    fn last_of(&mut self, when: At<Vec<Rule>>, parts: &Parts) -> (Vec<Rule>, Option<Answered>) {
        let beside = [
            parts.action.map(|action| ("action", action.span)),
            parts.handler.as_ref().map(|name| ("handler", name.span)),
            parts.vector.map(|vector| ("vector", vector.span)),
            parts.error.map(|error| ("error", error.span)),
            parts.log.map(|log| ("log", log.span)),
        ];
        for (name, at) in beside.into_iter().flatten() {
            self.found
                .add(&rules::ONE_ANSWER, at, format!("`{name}` beside `when`"))
                .also(when.span, "the rules")
                .help("make it part of the last rule");
        }
        let mut rules = when.value;
        let last = rules.pop();
        (rules, last.map(|last| (last.answer, last.log)))
    }

    fn limit(&mut self, parts: &Parts) -> Option<Limit> {
        if let (None, Some(then), false) = (parts.limit, parts.then, parts.wrong) {
            self.found
                .add(&rules::PARAMETER, then.span, "`then` without `limit`")
                .help("add `limit = 1000`, or remove `then`");
        }
        parts.limit.map(|exits| Limit {
            exits,
            then: parts.then.unwrap_or(At::new(Then::Stop, exits.span)),
        })
    }

    fn filter(&mut self, exit: &'static Exit, parts: &Parts) -> Option<Filter> {
        let of_filter = [("filter", parts.filter), ("threshold", parts.threshold)];
        if exit.code != ExitCode::Pause {
            for (name, at) in of_filter {
                let Some(at) = at else { continue };
                let message = format!("`{name}` of `{}`", exit.name);
                self.found
                    .add(&rules::PARAMETER, at.span, message)
                    .why("the CPU filters PAUSE, and nothing else", Some("15.14.4"))
                    .help(format!("remove `{name}`"));
            }
            return None;
        }
        if let (None, Some(threshold), false) = (parts.filter, parts.threshold, parts.wrong) {
            self.found
                .add(
                    &rules::PARAMETER,
                    threshold.span,
                    "`threshold` without `filter`",
                )
                .help("add `filter = 3000`, or remove `threshold`");
        }
        parts.filter.map(|pauses| Filter {
            pauses,
            cycles: parts.threshold,
        })
    }

    /// What a field of 16 bits in the VMCB takes, where 0 would be none.
    fn field(&mut self, value: &Value<'_>, what: &str) -> Option<At<u16>> {
        let number = self.number(value, what, 1..=u16::MAX.into())?;
        Some(number.map(|number| number as u16))
    }

    /// What is passed is never seen, and what stops the VM happens once.
    fn limit_is_of_use(&mut self, limit: &Limit, answer: &At<Answer>) {
        if let Answer::Action(action @ (Action::Pass | Action::Stop)) = answer.value {
            let message = format!("`limit` of an action that is `{}`", action.name());
            self.found
                .add(&rules::PARAMETER, limit.exits.span, message)
                .also(answer.span, action.meaning())
                .help("remove `limit`, or write `action = \"count\"`");
        }
    }

    /// Makes one answer of the parts.
    fn answered(&mut self, exit: &'static Exit, parts: Parts, whole: Span) -> Option<Answered> {
        let answer = match (&parts.action, &parts.handler) {
            (Some(action), Some(handler)) => {
                self.found
                    .add(
                        &rules::ONE_ANSWER,
                        handler.span,
                        format!("`{}` has an action and a handler", exit.name),
                    )
                    .also(action.span, "the action")
                    .help("keep one of the two");
                return None;
            }
            (None, None) => {
                if !parts.wrong {
                    let place = format!("the answer to `{}`", exit.name);
                    self.missing(whole, &place, "action", "\"count\"");
                }
                return None;
            }
            (None, Some(handler)) => handler.clone().map(Answer::Handler),
            (Some(action), None) if action.value == Action::Inject => {
                let Some(vector) = parts.vector else {
                    if !parts.wrong {
                        self.missing(whole, "`inject`", "vector", "\"gp\"");
                    }
                    return None;
                };
                action.map(|_| Answer::Inject {
                    vector,
                    error: parts.error,
                })
            }
            (Some(action), None) => action.map(Answer::Action),
        };
        self.parameters_belong(&parts, &answer);
        Some((answer, parts.log))
    }

    fn parameters_belong(&mut self, parts: &Parts, answer: &At<Answer>) {
        if answer.value.action() != Some(Action::Inject) {
            let of_inject = [
                parts.vector.map(|vector| ("vector", vector.span)),
                parts.error.map(|error| ("error", error.span)),
            ];
            for (name, at) in of_inject.into_iter().flatten() {
                let message = format!("`{name}` without `action = \"inject\"`");
                self.found
                    .add(&rules::PARAMETER, at, message)
                    .also(answer.span, "this does not inject")
                    .help(format!("remove `{name}`, or inject"));
            }
        }
        if let Some(log) = parts.log
            && answer.value == Answer::Action(Action::Pass)
        {
            let message = "`log` of what is not intercepted";
            self.found
                .add(&rules::PARAMETER, log.span, message)
                .also(answer.span, "so the VMM never sees it")
                .help("remove `log`, or write `action = \"count\"`");
        }
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
        let DeValue::String(name) = value.get_ref() else {
            let vector = self.number(value, "exception vector", 0..=31)?;
            return Some(vector.map(|vector| vector as u8));
        };
        let by_name = (0..).zip(VECTORS).find(|(_, (short, manual))| {
            name.eq_ignore_ascii_case(short) || name.eq_ignore_ascii_case(manual)
        });
        if let Some((vector, _)) = by_name {
            return Some(At::new(vector, span(value)));
        }
        let help = match near::nearest(name, VECTORS.map(|(short, _)| short)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write a name such as `gp`, or a number from 0 to 31".to_owned(),
        };
        let message = format!("unknown exception `{}`", name.escape_debug());
        self.found
            .add(&rules::UNKNOWN_WORD, span(value), message)
            .help(help);
        None
    }
}

pub(super) fn is_answer_key(key: &Key<'_>) -> bool {
    KEYS.contains(&key.get_ref().as_ref())
}
