//! The text of a policy and the places in it.

use std::sync::Arc;

use serde::Serialize;

/// A range of bytes in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte behind the last one.
    pub end: usize,
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Span {
        Span {
            start: range.start,
            end: range.end,
        }
    }
}

/// A value, and where the policy says it. A default points at what it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

impl<T> At<T> {
    /// `value`, said at `span`.
    pub fn new(value: T, span: Span) -> At<T> {
        At { value, span }
    }

    /// Another value, said at the same place.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At::new(change(self.value), self.span)
    }
}

/// A line and column, both from 1. Columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A policy's text and the name under which people know it.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// The file as a person would name it: `vm.toml`.
    pub name: Box<str>,
    /// The whole text.
    #[serde(skip)]
    pub text: Arc<str>,
}

impl Source {
    /// A text of that name.
    pub fn new(name: &str, text: &str) -> Source {
        Source {
            name: name.into(),
            text: text.into(),
        }
    }

    /// `span`, moved onto character boundaries of the text and never empty unless the text is.
    pub(crate) fn fit(&self, span: Span) -> Span {
        let floor = |mut at: usize| {
            at = at.min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(span.start);
        let end = floor(span.end).max(start);
        if start < end {
            return Span { start, end };
        }
        if let Some(next) = self.text[start..].chars().next() {
            return Span {
                start,
                end: start + next.len_utf8(),
            };
        }
        let last = self.text.chars().next_back().map_or(0, char::len_utf8);
        Span {
            start: start - last,
            end: start,
        }
    }

    /// The line and column of a byte.
    pub fn place(&self, at: usize) -> Place {
        let before = &self.text[..self.fit(Span { start: at, end: at }).start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The line that holds a byte, without its indentation and comment.
    pub fn line_of(&self, at: usize) -> &str {
        let line = self.place(at).line;
        let whole = self.text.lines().nth(line - 1).unwrap_or_default();
        whole.split(" #").next().unwrap_or_default().trim()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let source = Source::new("t", "a = 1\nü = 2\n");
        assert_eq!(source.place(0), Place { line: 1, column: 1 });
        assert_eq!(source.place(4), Place { line: 1, column: 5 });
        let behind_umlaut = source.text.find('2').unwrap_or_default();
        assert_eq!(source.place(behind_umlaut), Place { line: 2, column: 5 });
    }

    #[test]
    fn a_place_behind_the_end_is_inside_the_text() {
        let source = Source::new("t", "a\nb");
        assert_eq!(
            source.place(1000),
            Place {
                line: 2,
                column: 2 - 1
            }
        );
    }

    #[test]
    fn an_empty_span_grows_to_the_character_it_stands_at() {
        let source = Source::new("t", "aüb");
        assert_eq!(
            source.fit(Span { start: 2, end: 2 }),
            Span { start: 1, end: 3 }
        );
        assert_eq!(
            source.fit(Span { start: 9, end: 9 }),
            Span { start: 3, end: 4 }
        );
        let empty = Source::new("t", "");
        assert_eq!(
            empty.fit(Span { start: 5, end: 7 }),
            Span { start: 0, end: 0 }
        );
    }

    #[test]
    fn a_line_is_quoted_without_its_comment() {
        let source = Source::new("t", "x = 1\n  npt = true # fast\n");
        assert_eq!(source.line_of(9), "npt = true");
    }
}
