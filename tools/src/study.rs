//! The study in docs/book: what its chapters hold beside prose. Tables of the reference stand where
//! a line says `<!-- table: NAME -->`; links must lead somewhere; experiments are commands with
//! lines of their output, which the tests run.

use std::fs;
use std::path::Path;

use crate::reference::markdown::Part;
use crate::reference::model::Reference;

const TABLE: &str = "<!-- table: ";

/// A command with lines of its output.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The command, as a person types it.
    pub command: String,
    /// Lines that its output has, in this order; each is part of a line of the output. Lines that
    /// begin with a blank are rows of a table: words that stand one after the other in a line, in
    /// any order of the lines.
    pub output: Vec<String>,
}

/// An experiment of a chapter.
#[derive(Debug, PartialEq, Eq)]
pub struct Experiment {
    /// Whether it boots a machine.
    pub boots: bool,
    /// Its commands.
    pub steps: Vec<Step>,
}

/// The files of the chapters, as the summary in `folder` lists them.
///
/// # Errors
/// There is no summary to read.
pub fn chapters(folder: &Path) -> Result<Vec<String>, String> {
    let summary = read(folder, "SUMMARY.md")?;
    Ok(links(&summary).map(str::to_owned).collect())
}

/// What is wrong with the chapters in `folder`: links, pictures and tables that are not there, and
/// chapters that the summary does not list.
///
/// # Errors
/// A chapter cannot be read.
pub fn check(folder: &Path) -> Result<Vec<String>, String> {
    let chapters = chapters(folder)?;
    let mut wrong = Vec::new();
    for chapter in &chapters {
        let text = read(folder, chapter)?;
        for link in links(&text).filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let leads_on = if file.is_empty() {
                has_heading(&text, anchor)
            } else if anchor.is_empty() {
                folder.join(file).is_file()
            } else {
                read(folder, file).is_ok_and(|text| has_heading(&text, anchor))
            };
            if !leads_on {
                wrong.push(format!("{chapter}: the link to {link} leads nowhere"));
            }
        }
        for line in text.lines() {
            if let Some(name) = table_name(line)
                && part(name).is_none()
            {
                wrong.push(format!("{chapter}: there is no table `{name}`"));
            }
        }
    }
    let files = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") && name != "SUMMARY.md" && !chapters.contains(&name) {
            wrong.push(format!("{name}: SUMMARY.md does not list it"));
        }
    }
    Ok(wrong)
}

/// The text with the tables in their places.
pub fn with_tables(text: &str, reference: &Reference) -> String {
    let mut whole = String::new();
    for line in text.lines() {
        match table_name(line).and_then(part) {
            // A string takes whatever is written into it.
            Some(part) => {
                let _ = part.write(&mut whole, reference);
            }
            None => whole.push_str(line),
        }
        whole.push('\n');
    }
    whole
}

/// The experiments of a chapter.
pub fn experiments(text: &str) -> Vec<Experiment> {
    let mut experiments = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let boots = match line {
            "```console experiment" => false,
            "```console boot" => true,
            _ => continue,
        };
        let mut steps: Vec<Step> = Vec::new();
        for line in lines.by_ref().take_while(|line| *line != "```") {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step {
                    command: command.to_owned(),
                    output: Vec::new(),
                });
            } else if let Some(step) = steps.last_mut()
                && line != "…"
            {
                step.output.push(line.to_owned());
            }
        }
        experiments.push(Experiment { boots, steps });
    }
    experiments
}

/// Whether the output has all the lines that the step promises, in their order; else the first
/// that is not there.
///
/// # Errors
/// The line that is missing.
pub fn holds<'s>(step: &'s Step, output: &str) -> Result<(), &'s str> {
    let mut lines = output.lines();
    for promised in &step.output {
        let is_there = if promised.starts_with(' ') {
            lines.clone().any(|line| has_row(line, promised))
        } else {
            lines.any(|line| line.contains(promised.as_str()))
        };
        if !is_there {
            return Err(promised);
        }
    }
    Ok(())
}

/// Whether the words of `row` stand in this line, one after the other.
fn has_row(line: &str, row: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let row: Vec<&str> = row.split_whitespace().collect();
    words.windows(row.len().max(1)).any(|some| some == row)
}

fn read(folder: &Path, name: &str) -> Result<String, String> {
    let file = folder.join(name);
    fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))
}

/// Whether a chapter has a heading with this anchor, which is its words in lower case.
fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| {
            let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
            let words: String = heading.chars().filter(kept).collect();
            words.replace(' ', "-")
        })
        .any(|heading| heading == anchor)
}

fn table_name(line: &str) -> Option<&str> {
    line.strip_prefix(TABLE)?.strip_suffix(" -->")
}

fn part(name: &str) -> Option<Part> {
    Part::ALL.into_iter().find(|part| part.name() == name)
}

/// Where links and pictures lead: what stands in `](…)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(link, _)| link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_tables_that_are_not_there_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        put("SUMMARY.md", "[One](one.md)\n");
        put(
            "one.md",
            "# One, `two`\n[two](two.md), ![a picture](img/a.svg), [out](https://example.org#x)\n\
             [here](one.md#one-two), [here too](#one-two), [nowhere](one.md#x), [nor](#y)\n\
             <!-- table: exits -->\n<!-- table: exit -->\n",
        );
        put("lost.md", "");
        let wrong = check(folder.path()).unwrap();
        let [two, picture, heading, here, table, lost] = &wrong[..] else {
            panic!("{wrong:?}");
        };
        assert!(two.contains("two.md") && picture.contains("img/a.svg"));
        assert!(heading.contains("one.md#x") && here.contains("#y"));
        assert!(table.contains("`exit`") && lost.contains("lost.md"));
    }

    #[test]
    fn a_table_stands_where_the_text_says() {
        let text = with_tables(
            "before\n<!-- table: instructions -->\nafter\n",
            &Reference::new(Vec::new()),
        );
        assert!(text.starts_with("before\n| Instruction |"), "{text}");
        assert!(text.contains("| VMRUN | 0F 01 D8 |") && text.ends_with("\nafter\n"));
    }

    #[test]
    fn an_experiment_is_commands_with_lines_of_their_output() {
        let chapter = "text\n```console experiment\n$ cargo one\nfirst\n…\nlast\n$ cargo two\n```\n\
                       ```console boot\n$ cargo three\n```\n";
        let experiments = experiments(chapter);
        let [read, booted] = &experiments[..] else {
            panic!("{experiments:?}");
        };
        assert!(!read.boots && booted.boots);
        let one = &read.steps[0];
        assert_eq!((one.command.as_str(), one.output.len()), ("cargo one", 2));
        assert_eq!(holds(one, "a first line\nmore\nthe last\n"), Ok(()));
        assert_eq!(holds(one, "last\nfirst\n"), Err("last"));
    }

    #[test]
    fn the_rows_of_a_table_may_stand_in_any_order() {
        let step = Step {
            command: String::new(),
            output: ["VM demo", " hlt 1", " cpuid", "VM other"]
                .map(str::to_owned)
                .into(),
        };
        assert_eq!(
            holds(&step, "VM demo\n cpuid  4\n hlt    1\nVM other\n"),
            Ok(())
        );
        assert_eq!(
            holds(&step, "VM demo\n cpuid  4\n hlt   10\nVM other\n"),
            Err(" hlt 1")
        );
        assert_eq!(
            holds(&step, " hlt 1\nVM demo\n cpuid 4\nVM other\n"),
            Err(" hlt 1")
        );
    }
}
