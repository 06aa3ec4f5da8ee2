//! The file of a journal: what came to each VM in a run, and what became of it.
//!
//! It is what the VMM said on COM2 about that, and before it a line with the policy's file and the
//! VMM's command line. `replay` reads it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// The first line.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename = "run")]
pub struct Run {
    /// The policy.
    pub config: PathBuf,
    /// The VMM's command line.
    pub words: String,
}

/// The file of a run that sent `com2`; `None`: it sent no journal.
pub fn write(run: &Run, com2: &str) -> Option<String> {
    let is_of_journal = |line: &&str| line.starts_with(r#"{"kind":"journal""#);
    com2.lines().find(is_of_journal)?;
    let mut text = serde_json::to_string(run).ok()?;
    text.push('\n');
    // A machine that was cut off leaves half a line, and nothing behind it.
    for line in com2.lines().filter(is_of_journal) {
        if line.ends_with('}') {
            text.push_str(line);
            text.push('\n');
        }
    }
    Some(text)
}

/// How the run of a journal was started.
///
/// # Errors
/// There is no such file, or it is no journal.
pub fn run_of(file: &Path) -> Result<Run> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::bad_input(format!("cannot read {}: {error}", file.display())))?;
    let first = text.lines().next().unwrap_or_default();
    serde_json::from_str(first).map_err(|_| {
        Failure::bad_input(format!(
            "{} is no journal; `cargo run-qemu --record FILE` writes one",
            file.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_the_run_and_what_the_vmm_said_of_it() {
        let run = Run {
            config: "/vm.toml".into(),
            words: "journal".into(),
        };
        let com2 = concat!(
            r#"{"kind":"hello"}"#,
            "\n",
            r#"{"kind":"journal","items":["exit 1"]}"#,
            "\n",
            r#"{"kind":"journal","items":["ex"#
        );
        let text = write(&run, com2).expect("a journal");
        assert_eq!(text.lines().count(), 2);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("a file");
        assert_eq!(run_of(file.path()).expect("a run"), run);
        assert!(write(&run, "{}").is_none());
        std::fs::write(file.path(), "words").expect("a file");
        assert!(run_of(file.path()).is_err_and(|error| error.message.contains("--record")));
    }
}
