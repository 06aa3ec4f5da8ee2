//! The first difference between a run and its replay, for a person.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use intercepts::EXITS;
use intercepts::vmcb::{self, Vmcb};
use vmm_core::journal::word_name;

use crate::paper::words;

/// The intercept words of a VMCB: where they begin, and how many bytes each has.
const INTERCEPTS: [(usize, usize); 8] = [
    (0x0, 2),
    (0x2, 2),
    (0x4, 2),
    (0x6, 2),
    (0x8, 4),
    (0xc, 4),
    (0x10, 4),
    (0x14, 4),
];

/// A difference.
pub struct Difference {
    /// What is recorded of it, up to the difference.
    pub items: Vec<String>,
    /// The words of the VM's state before it happened, as far as they were ever other than 0.
    pub words: BTreeMap<usize, u64>,
    /// The item of the journal.
    pub recorded: String,
    /// What there is in its place.
    pub replayed: String,
}

impl Difference {
    /// In words; `when`: what was happening.
    pub fn told(&self, when: &str) -> String {
        let mut text = format!("the first difference is at {when}\n");
        let kinds = [&self.recorded, &self.replayed].map(|item| item.split(' ').next());
        let [recorded, replayed] = [&self.recorded, &self.replayed];
        // Writing to a string cannot fail.
        let _ = match kinds {
            [Some("done"), Some("done")] => self.tell_results(&mut text),
            [Some("intercepts"), Some("intercepts")] => {
                tell_intercepts(&mut text, recorded, replayed)
            }
            _ => write!(
                text,
                "  recorded: it {}\n  replayed: it {}\n",
                verb(recorded, &self.words),
                verb(replayed, &self.words)
            ),
        };
        text.push_str("the record of it, up to there:\n");
        for item in &self.items {
            let _ = writeln!(text, "  {item}");
        }
        text
    }

    fn tell_results(&self, text: &mut String) -> std::fmt::Result {
        let [recorded, replayed] = [&self.recorded, &self.replayed].map(|item| {
            let rest = item.strip_prefix("done ").unwrap_or_default();
            let (outcome, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            (outcome, words(rest).collect::<BTreeMap<_, _>>())
        });
        if recorded.0 != replayed.0 {
            let outcome = |number| match number {
                "0" => "goes straight on",
                _ => "leaves to the scheduler",
            };
            writeln!(
                text,
                "  recorded: {}; replayed: {}",
                outcome(recorded.0),
                outcome(replayed.0)
            )?;
        }
        let touched: BTreeSet<_> = recorded.1.keys().chain(replayed.1.keys()).collect();
        for index in touched {
            let before = self.words.get(index).copied().unwrap_or(0);
            let [then, now] = [&recorded, &replayed]
                .map(|(_, words)| words.get(index).copied().unwrap_or(before));
            if then != now {
                let name = word_name(*index, then ^ now);
                writeln!(text, "  {name}: recorded {then:#x}, replayed {now:#x}")?;
            }
        }
        Ok(())
    }
}

/// Names the exits that one intercepts and the other does not.
fn tell_intercepts(text: &mut String, recorded: &str, replayed: &str) -> std::fmt::Result {
    let [recorded, replayed] = [recorded, replayed].map(|item| {
        let mut bytes = [0; 4096];
        for ((at, size), word) in INTERCEPTS.iter().zip(item.split(' ').skip(1)) {
            let value = u64::from_str_radix(word, 16).unwrap_or(0).to_le_bytes();
            bytes[*at..at + size].copy_from_slice(&value[..*size]);
        }
        Vmcb::from_bytes(&bytes)
    });
    for exit in EXITS {
        let [then, now] = [&recorded, &replayed].map(|vmcb| vmcb::intercepts(vmcb, exit.code));
        if then != now {
            let (yes, no) = if now {
                ("this policy", "the recorded one")
            } else {
                ("the recorded policy", "this one")
            };
            writeln!(text, "  {yes} intercepts {}, {no} does not", exit.name)?;
        }
    }
    Ok(())
}

/// An item as what a handler does: the rest of a sentence.
fn verb(item: &str, before: &BTreeMap<usize, u64>) -> String {
    let (question, answer) = match item.split_once(" =") {
        Some((question, answer)) => (question, Some(answer.trim())),
        None => (item, None),
    };
    let words: Vec<_> = question.split(' ').collect();
    let does = match words[..] {
        ["tsc"] => "reads the time".to_owned(),
        ["load", at, bytes] => format!("reads {bytes}h bytes of the guest's memory at {at}h"),
        ["code", at, bytes] => format!("reads {bytes}h bytes of code at offset {at}h of its page"),
        ["store", at, bytes] => format!("writes {bytes} to the guest's memory at {at}h"),
        ["zero", at, bytes] => format!("clears {bytes}h bytes of the guest's memory at {at}h"),
        ["rdmsr", msr] => format!("reads the machine's MSR {msr}h"),
        ["wrmsr", msr, value] => format!("writes {value}h to the machine's MSR {msr}h"),
        ["in", port, bytes] => format!("reads {bytes} bytes from the machine's port {port}h"),
        ["out", port, bytes, value] => {
            format!("writes {value}h to the machine's port {port}h, {bytes} bytes")
        }
        ["cpuid", leaf, subleaf] => format!("asks the machine's CPUID for {leaf}h, {subleaf}h"),
        ["dr", number] => format!("reads the machine's DR{number}"),
        ["wbinvd"] => "writes back the caches".to_owned(),
        ["say", bytes] => format!("has the guest say {:?}", said(bytes)),
        ["done", ..] => return format!("is done, with {}", changes(item, before)),
        _ => format!("has `{item}`"),
    };
    match answer {
        Some(answer) => format!("{does}: {answer}"),
        None => does,
    }
}

/// The words of a state that a result has changed, which was `before`.
fn changes(result: &str, before: &BTreeMap<usize, u64>) -> String {
    let changes: Vec<_> = words(result)
        .map(|(index, value)| {
            let differing = value ^ before.get(&index).copied().unwrap_or(0);
            format!("{} {value:#x}", word_name(index, differing))
        })
        .collect();
    if changes.is_empty() {
        "nothing changed".to_owned()
    } else {
        changes.join(", ")
    }
}

/// The characters that these digits are.
fn said(digits: &str) -> String {
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0);
    pairs
        .iter()
        .filter_map(|[high, low]| char::from_u32(digit(*high) << 4 | digit(*low)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(recorded: &str, replayed: &str) -> String {
        let difference = Difference {
            items: vec!["exit 1".into()],
            words: BTreeMap::from([(0xaf, 0x10_0020)]),
            recorded: recorded.into(),
            replayed: replayed.into(),
        };
        difference.told("exit 7 of VM `demo`: cpuid")
    }

    #[test]
    fn a_result_differs_by_register_and_outcome() {
        let text = told("done 0 af=100022", "done 1");
        assert!(text.contains("at exit 7 of VM `demo`: cpuid\n"), "{text}");
        assert!(
            text.contains("  save.rip: recorded 0x100022, replayed 0x100020\n"),
            "{text}"
        );
        assert!(
            text.contains("goes straight on; replayed: leaves"),
            "{text}"
        );
    }

    #[test]
    fn a_policy_differs_by_the_exits_that_it_intercepts() {
        let text = told(
            "intercepts 0 0 0 0 0 0 0 0",
            "intercepts 0 8 0 0 4000 0 0 0",
        );
        for exit in ["cr3.write", "exception.pf"] {
            let line = format!("this policy intercepts {exit}, the recorded one does not");
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn other_differences_are_what_a_handler_does() {
        let text = told("tsc = 5", "done 0 af=100022 201=7");
        assert!(
            text.contains("replayed: it is done, with save.rip 0x100022, RCX 0x7\n"),
            "{text}"
        );
        let text = told("tsc = 5", "say 48690a");
        assert!(text.contains("recorded: it reads the time: 5"), "{text}");
        assert!(
            text.contains(r#"replayed: it has the guest say "Hi\n""#),
            "{text}"
        );
    }
}
