//! The kernel's command line: what to do, and how fast the timer ticks.

use crate::timer::{DEFAULT_HZ, HIGHEST_HZ, LOWEST_HZ};

/// The words that mean something, for people.
pub const KNOWN_WORDS: &str =
    "known are demo, exercise, bench, stress, sensitive, busy=1 to busy=3600, hz=19 to hz=10000";

/// What to do after starting up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// Read commands.
    #[default]
    Shell,
    /// Show what the kernel can do, then power off.
    Demo,
    /// Run every instruction of the exercise, then power off.
    Exercise,
    /// Time single instructions, then power off.
    Bench,
    /// Walk through paging at random, then power off.
    Stress,
    /// Run a kernel's instructions in ring 3, then power off.
    Sensitive,
    /// Be busy for so many seconds by the timer's ticks, then power off.
    Busy(u32),
}

/// A command line, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words<'a> {
    /// What to do; the last word that names a task decides.
    pub task: Task,
    /// Rate of the timer, in Hz.
    pub hz: u32,
    /// A word that means nothing, if there is one.
    pub unknown: Option<&'a str>,
}

/// Understands a command line. Its first word is, with some boot loaders, the
/// kernel's file name, so there a word without meaning passes.
pub fn parse(cmdline: &str) -> Words<'_> {
    let mut words = Words {
        task: Task::Shell,
        hz: DEFAULT_HZ,
        unknown: None,
    };
    for (index, word) in cmdline.split_ascii_whitespace().enumerate() {
        match word {
            "demo" => words.task = Task::Demo,
            "exercise" => words.task = Task::Exercise,
            "bench" => words.task = Task::Bench,
            "stress" => words.task = Task::Stress,
            "sensitive" => words.task = Task::Sensitive,
            _ => match (rate(word), seconds(word)) {
                (Some(hz), _) => words.hz = hz,
                (None, Some(seconds)) => words.task = Task::Busy(seconds),
                (None, None) if index == 0 => {}
                (None, None) => words.unknown = words.unknown.or(Some(word)),
            },
        }
    }
    words
}

/// The rate that a word `hz=N` asks for, if it is one and the timer can do it.
fn rate(word: &str) -> Option<u32> {
    let hz = word.strip_prefix("hz=")?.parse().ok()?;
    (LOWEST_HZ..=HIGHEST_HZ).contains(&hz).then_some(hz)
}

/// How long a word `busy=N` asks to be busy, if it is one.
fn seconds(word: &str) -> Option<u32> {
    let seconds = word.strip_prefix("busy=")?.parse().ok()?;
    (1..=3600).contains(&seconds).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_line_or_a_file_name_means_the_shell() {
        let shell = Words {
            task: Task::Shell,
            hz: 100,
            unknown: None,
        };
        assert_eq!(parse(""), shell);
        assert_eq!(parse("/boot/kernel"), shell);
    }

    #[test]
    fn words_are_understood_with_and_without_a_file_name_before_them() {
        let demo = Words {
            task: Task::Demo,
            hz: 1000,
            unknown: None,
        };
        assert_eq!(parse("demo hz=1000"), demo);
        assert_eq!(parse("/boot/kernel hz=1000  demo"), demo);
        assert_eq!(parse("kernel exercise").task, Task::Exercise);
        assert_eq!(parse("kernel sensitive").task, Task::Sensitive);
        assert_eq!(parse("kernel busy=10").task, Task::Busy(10));
    }

    #[test]
    fn the_rates_that_people_are_told_are_the_ones_offered() {
        let told = std::format!("hz={LOWEST_HZ} to hz={HIGHEST_HZ}");
        assert!(KNOWN_WORDS.ends_with(&told), "{told}");
    }

    #[test]
    fn the_first_word_without_meaning_is_named() {
        assert_eq!(parse("kernel demos hz=fast").unknown, Some("demos"));
        assert_eq!(parse("kernel hz=0").unknown, Some("hz=0"));
        assert_eq!(parse("kernel busy=0").unknown, Some("busy=0"));
    }

    proptest! {
        #[test]
        fn any_line_yields_a_rate_the_timer_can_do(line in ".*|kernel hz=[0-9]{0,12}") {
            let hz = parse(&line).hz;
            prop_assert!((LOWEST_HZ..=HIGHEST_HZ).contains(&hz));
        }
    }
}
