//! The experiments of the study in docs/book that boot a machine: a trial a chapter.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use libtest_mimic::Trial;
use tools::study;
use tools::workspace::Workspace;

use crate::harness::{PATIENCE_SECONDS, vmm};

pub fn trials() -> Vec<Trial> {
    let folder = Workspace::find().root().join("docs/book/src");
    study::chapters(&folder)
        .expect("the book")
        .into_iter()
        .map(|chapter| {
            let name = chapter.trim_end_matches(".md").to_owned();
            let text = std::fs::read_to_string(folder.join(&chapter)).expect("a chapter");
            let trial = move || {
                shows_what_it_says(&text);
                Ok(())
            };
            Trial::test(
                format!("study::the_chapter_{name}_shows_what_it_says"),
                trial,
            )
        })
        .collect()
}

fn shows_what_it_says(chapter: &str) {
    for step in study::experiments(chapter)
        .iter()
        .filter(|experiment| experiment.boots)
        .flat_map(|experiment| &experiment.steps)
    {
        let output = output(&step.command);
        assert_eq!(
            study::holds(step, &output),
            Ok(()),
            "{}\n{output}",
            step.command
        );
    }
}

/// What a command of an experiment prints. Chapters with the same command share the boot.
fn output(command: &str) -> Arc<String> {
    type Shared = Arc<OnceLock<Arc<String>>>;
    static OUTPUTS: Mutex<BTreeMap<String, Shared>> = Mutex::new(BTreeMap::new());
    let shared = {
        let mut outputs = OUTPUTS.lock().expect("no trial panics here");
        outputs.entry(command.to_owned()).or_default().clone()
    };
    shared.get_or_init(|| Arc::new(run(command))).clone()
}

fn run(command: &str) -> String {
    let mut words = command.split(' ').filter(|word| *word != "vmm");
    assert_eq!(words.next(), Some("cargo"), "{command}");
    let words: Vec<&str> = words.collect();
    let root = Workspace::find().root().to_owned();
    // Where a reader's cargo has built, and an experiment leaves its files.
    std::fs::create_dir_all(root.join("target")).expect("a folder");
    let mut vmm = vmm();
    vmm.current_dir(root).args(&words);
    if words.first() == Some(&"run-qemu") {
        vmm.args(["--timeout", PATIENCE_SECONDS]);
    }
    let finished = vmm.output().expect("the program starts");
    assert!(finished.status.success(), "{command}: {finished:?}");
    String::from_utf8_lossy(&finished.stdout).into_owned()
}
