//! `cargo vmm compare`: the same guest under several policies.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{POLICY, trials, vmm};
use crate::lab_pages;
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    a_policy_does_not_differ_from_itself,
    one_more_intercept_is_one_bit_and_exactly_its_exits,
    a_marker_ends_each_run_after_the_same_number_of_instructions,
    the_page_is_shown_by_a_browser,
];

/// Reads the time-stamp counter 25 times, and powers off.
fn guest(folder: &Path) {
    let kernel = tiny_guest(|assembler| {
        for _ in 0..25 {
            assembler.rdtsc()?;
        }
        power_off(assembler)
    });
    std::fs::write(folder.join("kernel"), kernel).expect("a kernel");
}

/// Compares a.toml with these other policies; standard output and the report.
fn compare(folder: &Path, others: &[&str], options: &[&str]) -> (String, Value) {
    std::fs::write(folder.join("a.toml"), POLICY).expect("a policy");
    let mut command: Command = vmm();
    command.current_dir(folder).args(["compare", "a.toml"]);
    for (number, other) in others.iter().enumerate() {
        let name = format!("other{number}.toml");
        std::fs::write(folder.join(&name), other).expect("a policy");
        command.arg(name);
    }
    let finished = command
        .args(["--runs", "0", "--report", "report.json"])
        .args(options)
        .output()
        .expect("the program starts");
    let talk = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success(), "{talk}");
    let report = std::fs::read(folder.join("report.json")).expect("a report");
    (
        String::from_utf8_lossy(&finished.stdout).into_owned(),
        serde_json::from_slice(&report).expect("JSON"),
    )
}

fn a_policy_does_not_differ_from_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    guest(folder.path());
    let (text, report) = compare(folder.path(), &[POLICY], &["--guest", "kernel"]);
    assert!(text.contains("No difference in anything"), "{text}");
    let counted = |side: usize| &report["policies"][side]["counted"];
    assert_eq!(counted(0), counted(1));
    assert_ne!(counted(0)["cycles"], Value::Null);
}

fn one_more_intercept_is_one_bit_and_exactly_its_exits() {
    let folder = tempfile::tempdir().expect("a folder");
    guest(folder.path());
    let counting = POLICY.replace("[set.base]", "[set.base]\nrdtsc = \"count\"");
    let (text, report) = compare(folder.path(), &[&counting], &["--guest", "kernel"]);
    let bits: Vec<_> = text.lines().filter(|line| line.contains(" bit ")).collect();
    assert_eq!(bits.len(), 1, "{text}");
    assert!(
        bits[0].contains("+ VMCB 00Ch intercept_misc1 bit 14: rdtsc"),
        "{text}"
    );
    let exits = report["vms"][0]["exits"].as_array().expect("exits");
    for exit in exits {
        let counts = &exit["count"];
        if exit["name"] == "rdtsc" {
            assert_eq!(*counts, serde_json::json!([0, 25]));
        } else {
            assert_eq!(counts[0], counts[1], "{exit:#}");
        }
    }
}

fn a_marker_ends_each_run_after_the_same_number_of_instructions() {
    let folder = tempfile::tempdir().expect("a folder");
    let (text, report) = compare(folder.path(), &[POLICY], &["--until", "tollgate> "]);
    assert!(text.contains("No difference in anything"), "{text}");
    assert_eq!(report["policies"][0]["counted"]["ended"]["by"], "until");
    assert_eq!(
        report["policies"][0]["counted"]["vms"][0]["end"],
        Value::Null
    );
}

/// Three policies of two VMs.
fn the_page_is_shown_by_a_browser() {
    let folder = tempfile::tempdir().expect("a folder");
    guest(folder.path());
    let counting = POLICY.replace("[set.base]", "[set.base]\nrdtsc = \"count\"");
    let two = counting.replace(
        "[irq]",
        "[[vm]]\nname = \"other\"\nimage = \"./kernel\"\nmemory = \"16 MiB\"\nintercepts = \"base\"\n\n[irq]",
    );
    let options = ["--guest", "kernel", "--html", "page.html"];
    compare(folder.path(), &[&counting, &two], &options);
    let mut page = lab_pages::is_sound(&folder.path().join("page.html"));
    let colours =
        "new Set([...document.querySelectorAll('.key')].map(key => key.style.cssText)).size";
    assert_eq!(page.value(colours), 3);
    let rows = "[...document.querySelectorAll('tr')].map(row => \
        [...row.children].map(cell => cell.textContent).slice(0, 4).join(' ')).join('\\n')";
    let rows = page.text(rows);
    assert!(
        rows.contains("rdtsc 0 25 25") && rows.contains("rdtsc 0 0 25"),
        "{rows}"
    );
}
