//! What was written down, read item by item by a VMM that runs again.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vmm_core::journal::Reader;

use crate::difference::Difference;

/// A journal and how far it is read.
pub struct Paper(Mutex<State>);

/// How far it is read.
pub enum Place {
    /// Everything was the same, and more may come.
    Within,
    /// Something was asked for or came out behind the last item.
    End,
    /// Something was not the same.
    Difference(Difference),
}

#[derive(Default)]
struct State {
    items: Vec<String>,
    next: usize,
    /// Where the call began that is under way.
    began: usize,
    /// The words of the state of the VM that it happens to, before it.
    words: BTreeMap<usize, u64>,
    ended: bool,
    difference: Option<Difference>,
}

impl Paper {
    /// These items, from the first on.
    pub fn new(items: Vec<String>) -> Paper {
        let state = State {
            items,
            ..State::default()
        };
        Paper(Mutex::new(state))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nobody panics with it; and whoever did has left whole items.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The item that comes next, which begins something that happens; `None`: that was all.
    pub fn next(&self) -> Option<String> {
        let mut state = self.state();
        state.began = state.next;
        state.items.get(state.next).cloned()
    }

    /// How many items are read.
    pub fn number(&self) -> usize {
        self.state().next
    }

    /// How far it is read.
    pub fn place(&self) -> Place {
        let mut state = self.state();
        match (state.difference.take(), state.ended) {
            (Some(difference), _) => Place::Difference(difference),
            (None, true) => Place::End,
            (None, false) => Place::Within,
        }
    }
}

impl State {
    fn take(&mut self) -> Option<String> {
        let item = self.items.get(self.next).cloned();
        self.next += 1;
        self.ended |= item.is_none() && self.difference.is_none();
        item
    }

    /// Notes the first difference; what comes after it means nothing.
    fn differs(&mut self, recorded: String, replayed: String) {
        if self.difference.is_none() {
            let items = self.items.get(self.began..self.next).unwrap_or_default();
            self.difference = Some(Difference {
                items: items.to_vec(),
                words: std::mem::take(&mut self.words),
                recorded,
                replayed,
            });
        }
    }
}

impl Reader for Paper {
    fn ask(&self, question: &dyn Display, take: &mut dyn FnMut(&str)) {
        let mut state = self.state();
        let Some(item) = state.take() else { return };
        let question = question.to_string();
        let answer = item.strip_prefix(&question);
        match answer.and_then(|rest| rest.strip_prefix(" =")) {
            Some(answer) if question == "given" => {
                state.words.extend(words(answer));
                take(answer);
            }
            Some(answer) => take(answer.trim_start()),
            None => state.differs(item, question),
        }
    }

    fn tell(&self, item: &dyn Display) {
        let mut state = self.state();
        let Some(recorded) = state.take() else { return };
        let replayed = item.to_string();
        if recorded != replayed {
            state.differs(recorded, replayed);
        }
    }
}

/// The words of a state in an item, by number.
pub fn words(text: &str) -> impl Iterator<Item = (usize, u64)> {
    text.split_ascii_whitespace().filter_map(|pair| {
        let (index, value) = pair.split_once('=')?;
        let index = usize::from_str_radix(index, 16).ok()?;
        Some((index, u64::from_str_radix(value, 16).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paper(items: &[&str]) -> Paper {
        Paper::new(items.iter().map(|item| (*item).to_owned()).collect())
    }

    #[test]
    fn answers_are_those_of_the_paper_until_something_else_is_asked() {
        let paper = paper(&["exit 1", "tsc = 5", "load 10 2 = 0fa2", "done 0"]);
        assert_eq!(paper.next().as_deref(), Some("exit 1"));
        paper.tell(&"exit 1");
        let mut answer = String::new();
        paper.ask(&"tsc", &mut |text| answer.push_str(text));
        assert_eq!(answer, "5");
        assert!(matches!(paper.place(), Place::Within));
        paper.ask(&"load 10 3", &mut |_| panic!("another question"));
        paper.tell(&"done 1");
        let Place::Difference(difference) = paper.place() else {
            panic!("a difference")
        };
        assert_eq!(
            (difference.recorded.as_str(), difference.replayed.as_str()),
            ("load 10 2 = 0fa2", "load 10 3"),
            "the first one"
        );
        assert_eq!(difference.items.len(), 3);
    }

    #[test]
    fn what_is_asked_behind_the_last_item_is_no_difference() {
        let paper = paper(&["exit 1"]);
        paper.tell(&"exit 1");
        paper.ask(&"tsc", &mut |_| panic!("no answer"));
        assert!(matches!(paper.place(), Place::End));
    }
}
