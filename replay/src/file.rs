//! The file of a journal: JSON, an object a line.

use std::path::Path;

use serde::Deserialize;

/// A journal.
pub struct Journal {
    /// The VMM's command line.
    pub words: String,
    /// What was written down.
    pub items: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line {
    Run {
        words: String,
    },
    Journal {
        items: Vec<String>,
    },
    #[serde(other)]
    Other,
}

impl Journal {
    /// Reads one.
    pub fn read(path: &Path) -> Result<Journal, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Journal::parse(&text)
    }

    fn parse(text: &str) -> Result<Journal, String> {
        let mut words = None;
        let mut items = Vec::new();
        for (number, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(Line::Run { words: said }) => words = Some(said),
                Ok(Line::Journal { items: more }) => items.extend(more),
                Ok(Line::Other) => {}
                Err(error) => return Err(format!("line {}: {error}", number + 1)),
            }
        }
        let words = words.ok_or("it does not say how the run was started")?;
        Ok(Journal { words, items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_items_of_all_lines_are_one_sequence_and_damage_is_named() {
        let text = concat!(
            r#"{"kind":"run","config":"/vm.toml","words":"journal"}"#,
            "\n",
            r#"{"kind":"journal","items":["a","b"]}"#,
            "\n",
            r#"{"kind":"weather"}"#,
            "\n",
            r#"{"kind":"journal","items":["c"]}"#,
        );
        let journal = Journal::parse(text).expect("a journal");
        assert_eq!(
            (journal.words.as_str(), journal.items.len()),
            ("journal", 3)
        );
        let damage = |text| Journal::parse(text).err().expect("damage");
        assert!(damage("{}\nx").contains("line 1"));
        assert!(damage("").contains("how the run was started"));
    }
}
