//! The study in docs/book: its links lead somewhere, and its experiments show what it says.

use std::path::{Path, PathBuf};
use std::process::Command;

use tools::study::{self, Step};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/book/src")
}

/// What a command of an experiment prints; `cargo ALIAS` is the program's own subcommand.
fn output(step: &Step) -> String {
    let mut words = step.command.split(' ');
    assert_eq!(words.next(), Some("cargo"), "{}", step.command);
    let words: Vec<&str> = words.filter(|word| *word != "vmm").collect();
    let finished = Command::new(env!("CARGO_BIN_EXE_vmm"))
        .args(words)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .expect("the program starts");
    assert!(finished.status.success(), "{}: {finished:?}", step.command);
    String::from_utf8(finished.stdout).expect("text")
}

#[test]
fn every_link_picture_and_table_of_the_book_is_there() {
    assert_eq!(study::check(&folder()).expect("the book"), [""; 0]);
    let chapters = study::chapters(&folder()).expect("the book");
    assert!((10..=15).contains(&chapters.len()), "{chapters:?}");
}

#[test]
fn every_chapter_has_an_experiment_that_shows_what_it_says() {
    for chapter in study::chapters(&folder()).expect("the book") {
        let text = std::fs::read_to_string(folder().join(&chapter)).expect("a chapter");
        let experiments = study::experiments(&text);
        assert!(
            experiments.iter().any(|experiment| experiment.boots),
            "{chapter} boots no policy"
        );
        for step in experiments
            .iter()
            .filter(|experiment| !experiment.boots)
            .flat_map(|experiment| &experiment.steps)
        {
            let output = output(step);
            assert_eq!(
                study::holds(step, &output),
                Ok(()),
                "{chapter}: {}\n{output}",
                step.command
            );
        }
    }
}
