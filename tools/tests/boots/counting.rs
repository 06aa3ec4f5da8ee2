//! `count` lets a guest do what it would have done: it cannot tell, apart from time.
//!
//! The guest's `exercise` runs under the policy that counts everything, and then once more for
//! each intercept with that one cleared.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use libtest_mimic::Trial;
use tools::run::unexercised;

use crate::harness::{Boot, Outcome, vmm};
use crate::in_a_vm::{said, said_by};

/// The tests here: three, and one for each exit that the policy counts.
pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test(
            "counting::counting_everything_changes_nothing_that_the_guest_prints",
            || {
                counting_everything_changes_nothing_that_the_guest_prints();
                Ok(())
            },
        ),
        Trial::test(
            "counting::a_selective_intercept_of_cr0_counts_what_changes_more",
            || {
                a_selective_intercept_of_cr0_counts_what_changes_more();
                Ok(())
            },
        ),
    ];
    trials.push(Trial::test(
        "counting::the_matrix_shows_each_exit_declared_handled_and_exercised",
        || {
            the_matrix_shows_each_exit_declared_handled_and_exercised();
            Ok(())
        },
    ));
    trials.extend(counted().map(|exit| {
        let name = format!("counting::clearing_{exit}_removes_its_count_alone");
        Trial::test(name, move || {
            clearing_removes_its_count_alone(exit);
            Ok(())
        })
    }));
    trials
}

/// Exits whose number depends on when a tick comes, and so on what else costs time. The kernel
/// ends each tick with an IRET.
pub const TIMED: [&str; 5] = ["intr", "vintr", "ioio", "hlt", "iret"];

const POLICY: &str = include_str!("../../../policies/count-everything.toml");

/// The exits that the policy's set `everything` counts, as it names them.
fn counted() -> impl Iterator<Item = &'static str> {
    POLICY
        .lines()
        .take_while(|line| *line != "[set.selective]")
        .filter_map(|line| line.split_once('='))
        .filter(|(_, action)| action.trim_start().starts_with("\"count\""))
        .map(|(name, _)| name.trim())
}

/// A boot under the policy with this in place of its lines.
fn exercise(policy: &str) -> Outcome {
    Boot::policy(policy).arg("--icount").run().ends_with(0)
}

/// The counts by name.
pub fn counts(outcome: &Outcome) -> BTreeMap<String, u64> {
    let exits = outcome.report["vms"][0]["exits"].as_array();
    exits
        .into_iter()
        .flatten()
        .filter_map(|exit| Some((exit["name"].as_str()?.to_string(), exit["count"].as_u64()?)))
        .collect()
}

/// With everything counted: what the guest printed, and the counts.
fn everything() -> &'static (Vec<String>, BTreeMap<String, u64>) {
    static EVERYTHING: OnceLock<(Vec<String>, BTreeMap<String, u64>)> = OnceLock::new();
    EVERYTHING.get_or_init(|| {
        let outcome = exercise(POLICY);
        (said_by("demo", &outcome), counts(&outcome))
    })
}

fn counting_everything_changes_nothing_that_the_guest_prints() {
    let bare = Boot::bare_machine()
        .args(["--cmdline", "exercise"])
        .run()
        .ends_with(0);
    let bare = said(&bare);
    assert!(bare.len() > 80, "{bare:#?}");
    assert_eq!(everything().0, bare);
}

fn clearing_removes_its_count_alone(exit: &str) {
    let (said_before, before) = everything();
    let came = before.contains_key(exit);
    if let Some(why) = unexercised::why(exit) {
        assert!(!came, "{exit} came, although: {why}");
        return;
    }
    assert!(came, "{exit} never came: {before:#?}");
    // The isolation floor cannot be cleared.
    let floor = intercepts::by_name(exit).is_some_and(|exit| exit.is_floor());
    if floor {
        return;
    }
    let outcome = exercise(&without(exit, "everything"));
    assert_eq!(&said_by("demo", &outcome), said_before);
    let after = counts(&outcome);
    // The guest that reads the machine's own CPUID does what this one lets it.
    if exit == "cpuid" {
        assert_eq!(after.get(exit), None);
        return;
    }
    assert_lacks_alone(exit, before, after);
}

/// The policy with the VM's set being this one without an exit.
fn without(exit: &str, set: &str) -> String {
    let cleared = format!("[set.without]\nextends = {set:?}\n{exit} = \"pass\"\n\n[[vm]]");
    POLICY
        .replace("[[vm]]", &cleared)
        .replace("intercepts = \"everything\"", "intercepts = \"without\"")
}

/// Fails unless the counts differ in this exit, which does not come any more, and in nothing else.
pub fn assert_lacks_alone(
    exit: &str,
    before: &BTreeMap<String, u64>,
    mut after: BTreeMap<String, u64>,
) {
    assert_eq!(after.remove(exit), None, "{exit} was cleared");
    for (name, count) in before {
        if name != exit && !TIMED.contains(&name.as_str()) {
            assert_eq!(after.get(name), Some(count), "{name} without {exit}");
        }
    }
}

fn a_selective_intercept_of_cr0_counts_what_changes_more() {
    const EXIT: &str = "cr0.sel-write";
    let policy = POLICY.replace("intercepts = \"everything\"", "intercepts = \"selective\"");
    let outcome = exercise(&policy);
    assert_eq!(said_by("demo", &outcome), everything().0);
    let before = counts(&outcome);
    assert!(before.contains_key(EXIT), "{before:#?}");
    assert!(!before.contains_key("cr0.write"), "{before:#?}");
    let outcome = exercise(&without(EXIT, "selective"));
    assert_eq!(said_by("demo", &outcome), everything().0);
    assert_lacks_alone(EXIT, &before, counts(&outcome));
}

fn the_matrix_shows_each_exit_declared_handled_and_exercised() {
    let finished = vmm().arg("matrix").output().expect("the program starts");
    let matrix = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert!(finished.status.success(), "{finished:?}");
    let row = |name: &str| -> Vec<&str> {
        let words = |line: &'_ str| line.split_whitespace().next() == Some(name);
        let row = matrix.lines().find(|line| words(line));
        row.unwrap_or_default().split_whitespace().collect()
    };
    for exit in intercepts::EXITS {
        assert!(!row(exit.name).is_empty(), "{}: {matrix}", exit.name);
    }
    for (name, count) in &everything().1 {
        let shown = row(name)[2].replace(',', "");
        if !TIMED.contains(&name.as_str()) {
            assert_eq!(shown, count.to_string(), "{name}");
        }
    }
    assert_eq!(row("cr3.write")[3..], ["count", "cr::emulate"]);
    assert_eq!(
        row("icebp")[2..].join(" "),
        "0 - - ICEBP raises #UD; shown on Bochs"
    );
    for exit in intercepts::EXITS {
        let row = row(exit.name);
        let without_remark = if row[3..].starts_with(&["by", "the", "VMM"]) {
            7
        } else {
            5
        };
        let is_explained = row[2] != "0" || row.len() > without_remark;
        assert!(is_explained, "no word on {}: {row:?}", exit.name);
    }
}
