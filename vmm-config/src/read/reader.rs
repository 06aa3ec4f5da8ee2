//! Typed access to TOML values: each wrong one becomes a finding at its place.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeInteger, DeString, DeTable, DeValue};

use super::units;
use crate::finding::{Draft, Findings};
use crate::near;
use crate::rules::{self, Rule};
use crate::source::{At, Span};
use crate::words::Word;

pub(super) type Key<'t> = Spanned<DeString<'t>>;
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// Reads values and collects what is wrong with them.
pub(super) struct Reader<'f, 's> {
    pub(super) found: &'f mut Findings<'s>,
}

pub(super) fn span<T>(of: &Spanned<T>) -> Span {
    of.span().into()
}

impl<'s> Reader<'_, 's> {
    pub(super) fn unknown_key(&mut self, key: &Key<'_>, place: &str, keys: &[&'static str]) {
        self.found
            .add(
                &rules::UNKNOWN_KEY,
                span(key),
                format!("unknown key `{}` in {place}", key.get_ref()),
            )
            .help(near::suggest(key.get_ref(), keys.iter().copied()));
    }

    pub(super) fn missing(&mut self, at: Span, place: &str, key: &str, example: &str) {
        self.found
            .add(
                &rules::MISSING_KEY,
                at,
                format!("{place} needs the key `{key}`"),
            )
            .help(format!("add `{key} = {example}`"));
    }

    fn wrong_type(&mut self, value: &Value<'_>, wanted: &str, example: &str) {
        self.unexpected(value, wanted)
            .help(format!("write {wanted}, as in `{example}`"));
    }

    fn unexpected(&mut self, value: &Value<'_>, wanted: &str) -> Draft<'_, 's> {
        let message = format!("expected {wanted}, found {}", kind(value.get_ref()));
        self.found.add(&rules::WRONG_TYPE, span(value), message)
    }

    pub(super) fn text<'v>(&mut self, value: &'v Value<'_>, example: &str) -> Option<At<&'v str>> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(value, "a string", example);
        }
        text.map(|text| At::new(text, span(value)))
    }

    pub(super) fn flag(&mut self, value: &Value<'_>) -> Option<At<bool>> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.unexpected(value, "`true` or `false`")
                .help("write `true` or `false`, without quotes");
        }
        flag.map(|flag| At::new(flag, span(value)))
    }

    pub(super) fn table<'v, 't>(
        &mut self,
        value: &'v Value<'t>,
        example: &str,
    ) -> Option<&'v DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(value, "a table", example);
        }
        table
    }

    /// The items of a list.
    pub(super) fn list<'v, 't>(
        &mut self,
        value: &'v Value<'t>,
        example: &str,
    ) -> Option<&'v [Value<'t>]> {
        let list = value.get_ref().as_array();
        if list.is_none() {
            self.wrong_type(value, "a list", example);
        }
        list.map(|list| &list[..])
    }

    /// The tables of `[[name]]`; one inline table is not enough.
    pub(super) fn tables<'v, 't>(
        &mut self,
        value: &'v Value<'t>,
        example: &str,
    ) -> Vec<(Span, &'v DeTable<'t>)> {
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, "a list of tables", example);
            return Vec::new();
        };
        array
            .iter()
            .filter_map(|item| Some((span(item), self.table(item, example)?)))
            .collect()
    }

    /// One string or a list of strings.
    pub(super) fn texts<'v>(&mut self, value: &'v Value<'_>, example: &str) -> Vec<At<&'v str>> {
        match value.get_ref() {
            DeValue::Array(array) => array
                .iter()
                .filter_map(|item| self.text(item, example))
                .collect(),
            DeValue::String(text) => vec![At::new(text, span(value))],
            _ => {
                self.wrong_type(value, "a name or a list of names", example);
                Vec::new()
            }
        }
    }

    /// A number within `range`, which stands for `what`.
    pub(super) fn number(
        &mut self,
        value: &Value<'_>,
        what: &str,
        range: RangeInclusive<i128>,
    ) -> Option<At<i128>> {
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_type(value, "a whole number", &range.end().min(&1).to_string());
            return None;
        };
        let number = whole(integer).filter(|number| range.contains(number));
        if number.is_none() {
            self.out_of_range(span(value), what, range);
        }
        number.map(|number| At::new(number, span(value)))
    }

    fn out_of_range(&mut self, at: Span, what: &str, range: RangeInclusive<i128>) {
        self.found
            .add(&rules::OUT_OF_RANGE, at, format!("{what} out of range"))
            .help(format!(
                "write a number from {} to {}",
                range.start(),
                range.end()
            ));
    }

    /// `FIRST-LAST` as a string, or one number.
    pub(super) fn range(
        &mut self,
        value: &Value<'_>,
        what: &str,
        example: &str,
        last: u64,
    ) -> Option<At<(u64, u64)>> {
        let at = span(value);
        let range = match value.get_ref() {
            DeValue::String(text) => units::range(text),
            DeValue::Integer(integer) => whole(integer)
                .and_then(|number| u64::try_from(number).ok())
                .map(|number| (number, number)),
            _ => {
                self.wrong_type(value, "a number or a range in a string", example);
                return None;
            }
        };
        let Some(range) = range else {
            self.found
                .add(
                    &rules::RANGE,
                    at,
                    format!("not {what}, nor a range of them"),
                )
                .help(format!(
                    "write numbers in decimal or with 0x, the lower one first, as in `{example}`"
                ));
            return None;
        };
        if range.1 > last {
            self.found
                .add(&rules::OUT_OF_RANGE, at, format!("{what} out of range"))
                .help(format!("the last one is {last:#x}"));
            return None;
        }
        Some(At::new(range, at))
    }

    /// A size or a time, by a function of [`units`].
    pub(super) fn measure(
        &mut self,
        value: &Value<'_>,
        what: &str,
        example: &str,
        units: fn(&str) -> Result<u64, String>,
    ) -> Option<At<u64>> {
        let text = self.text(value, example)?;
        match units(text.value) {
            Ok(amount) => Some(At::new(amount, text.span)),
            Err(help) => {
                self.found
                    .add(
                        &rules::UNIT,
                        text.span,
                        format!("`{}` is not {what}", text.value.escape_debug()),
                    )
                    .help(help);
                None
            }
        }
    }

    /// One of a closed choice of words.
    pub(super) fn word<W: Word>(
        &mut self,
        value: &Value<'_>,
        rule: &'static Rule,
    ) -> Option<At<W>> {
        let example = W::ALL.first().map_or("", |word| word.name());
        let text = self.text(value, &format!("\"{example}\""))?;
        let word = W::by_name(text.value);
        if word.is_none() {
            let names: Vec<_> = W::ALL.iter().map(|word| word.name()).collect();
            self.unknown(rule, text, W::WHAT, &names);
        }
        word.map(|word| At::new(word, text.span))
    }

    pub(super) fn unknown(
        &mut self,
        rule: &'static Rule,
        text: At<&str>,
        what: &str,
        names: &[&str],
    ) {
        self.found
            .add(
                rule,
                text.span,
                format!("unknown {what} `{}`", text.value.escape_debug()),
            )
            .help(near::suggest(text.value, names.iter().copied()));
    }
}

/// The number that an integer stands for, if it is small enough for any use here.
fn whole(integer: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
