//! The experiments of the study in docs/book that boot a machine.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use tools::study;
use tools::workspace::Workspace;

use crate::harness::{PATIENCE_SECONDS, slow, vmm};

pub fn slow_trials() -> Vec<Trial> {
    slow![the_experiments_of_the_study_that_boot_show_what_it_says]
}

fn the_experiments_of_the_study_that_boot_show_what_it_says() {
    let folder = Workspace::find().root().join("docs/book/src");
    // Chapters that boot the same policy share the boot.
    let mut outputs: BTreeMap<String, String> = BTreeMap::new();
    for chapter in study::chapters(&folder).expect("the book") {
        let text = std::fs::read_to_string(folder.join(&chapter)).expect("a chapter");
        for step in study::experiments(&text)
            .iter()
            .filter(|experiment| experiment.boots)
            .flat_map(|experiment| &experiment.steps)
        {
            let output = outputs
                .entry(step.command.clone())
                .or_insert_with(|| run(&step.command));
            assert_eq!(
                study::holds(step, output),
                Ok(()),
                "{chapter}: {}\n{output}",
                step.command
            );
        }
    }
    assert!(outputs.len() > 1, "the study boots only {outputs:?}");
}

/// What a command of an experiment prints.
fn run(command: &str) -> String {
    let words = command.strip_prefix("cargo ").expect("a cargo command");
    let finished = vmm()
        .args(words.split(' '))
        .args(["--timeout", PATIENCE_SECONDS])
        .output()
        .expect("the program starts");
    assert!(finished.status.success(), "{command}: {finished:?}");
    String::from_utf8_lossy(&finished.stdout).into_owned()
}
