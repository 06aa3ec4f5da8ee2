//! `cargo vmm sweep`: every combination once, in shards or whole, interrupted or not.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use crate::harness::{POLICY, slow, trials, vmm};
use crate::lab_pages;
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    four_shards_in_another_folder_add_up_to_the_same_database,
    a_plan_with_mistakes_says_which,
];

/// Those that take many boots.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![a_sweep_that_is_killed_goes_on_where_it_was]
}

/// A guest that reads the time-stamp counter so often, and pauses.
fn kernel(reads: usize) -> Vec<u8> {
    tiny_guest(|assembler| {
        for _ in 0..reads {
            assembler.rdtsc()?;
        }
        assembler.pause()?;
        power_off(assembler)
    })
}

/// A policy with two VMs, the second with a kernel of its own, two kernels for the first, and a
/// plan that says `changes`.
fn plan(folder: &Path, changes: &str) {
    std::fs::create_dir_all(folder).expect("a folder");
    let policy = format!(
        "{POLICY}\n[[vm]]\nname = \"other\"\nimage = \"./own\"\nmemory = \"16 MiB\"\n\
         intercepts = \"base\"\n"
    );
    let plan = format!("policy = \"vm.toml\"\nguests = [\"few\", \"many\"]\n{changes}");
    for (name, bytes) in [
        ("vm.toml", policy.as_bytes()),
        ("own", &kernel(1)),
        ("few", &kernel(9)),
        ("many", &kernel(99)),
        ("sweep.toml", plan.as_bytes()),
    ] {
        std::fs::write(folder.join(name), bytes).expect("a file");
    }
}

fn sweep(folder: &Path, options: &[&str]) -> Command {
    let mut command = vmm();
    command
        .current_dir(folder)
        .args(["sweep", "sweep.toml"])
        .args(options);
    command
}

/// Every value of every row of a database.
fn content(file: &Path) -> Vec<String> {
    let database = Connection::open(file).expect("a database");
    let mut content = Vec::new();
    for table in ["points", "settings", "exits"] {
        let query = format!("SELECT * FROM {table} ORDER BY 1, 2, 3");
        let mut query = database.prepare(&query).expect("a table");
        let columns = query.column_count();
        let rows = query.query_map([], |row| {
            let values = (0..columns).map(|column| row.get::<_, Value>(column));
            values.collect::<rusqlite::Result<Vec<_>>>()
        });
        let rows = rows
            .expect("rows")
            .map(|row| format!("{table} {:?}", row.expect("a row")));
        content.extend(rows);
    }
    content
}

#[track_caller]
fn same(one: &[String], other: &[String]) {
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other);
    }
    assert_eq!(one.len(), other.len());
}

/// The points in the order in which they were put in; none, if there is no database yet.
fn done(file: &Path) -> Vec<String> {
    let read = || {
        let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut query = database.prepare("SELECT key FROM points ORDER BY rowid")?;
        let keys = query.query_map([], |row| row.get(0))?;
        keys.collect::<rusqlite::Result<_>>()
    };
    read().unwrap_or_default()
}

/// What a sweep that ends well prints.
#[track_caller]
fn table(sweep: &mut Command) -> String {
    let output = sweep.output().expect("the program starts");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{talk}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn four_shards_in_another_folder_add_up_to_the_same_database() {
    let folders = tempfile::tempdir().expect("a folder");
    let here = &folders.path().join("here");
    let there = &folders.path().join("there/where/the/paths/are/longer");
    for folder in [here, there] {
        plan(
            folder,
            "intercepts = [\"rdtsc\"]\nvalues = { \"vm.npt\" = [true, false] }\n",
        );
    }
    let whole = table(&mut sweep(here, &["-o", "whole.db", "--plot", "page.html"]));
    assert_eq!(whole.lines().count(), 9, "{whole}");
    assert!(!whole.contains("failed"), "{whole}");
    let mut page = lab_pages::is_sound(&here.join("page.html"));
    let headings =
        page.text("[...document.querySelectorAll('h2')].map(one => one.textContent).join()");
    assert_eq!(headings, "By guest,By rdtsc,By vm.npt,Every point");

    let mut merge = vec!["-o", "merged.db", "--merge"];
    let shards = ["1/4", "2/4", "3/4", "4/4"];
    let files = shards.map(|shard| format!("sweep.{}.db", shard.replace('/', "-of-")));
    for (shard, file) in shards.iter().zip(&files) {
        table(&mut sweep(there, &["--shard", shard]));
        merge.push(file);
    }
    assert_eq!(table(&mut sweep(there, &merge)), whole);
    let [whole, merged] =
        [here.join("whole.db"), there.join("merged.db")].map(|file| content(&file));
    same(&merged, &whole);
    let [few, many] = [9, 99].map(|count| format!("Text(\"rdtsc\"), Integer({count})"));
    for counts in [few, many] {
        let rows = whole
            .iter()
            .filter(|row| row.starts_with("exits") && row.contains(&counts));
        assert_eq!(rows.count(), 2, "{counts}: {whole:#?}");
    }
}

fn a_plan_with_mistakes_says_which() {
    let folder = tempfile::tempdir().expect("a folder");
    plan(folder.path(), "");
    let file = folder.path().join("sweep.toml");
    for (line, what) in [
        ("intercept = [\"rdtsc\"]", "unknown field `intercept`"),
        ("values = { \"vm.npt\" = true }", "takes a list of values"),
        ("guests = [\"nothing\"]", "cannot read"),
        ("intercepts = [\"rdtsc\", \"rdtsc\"]", "twice"),
    ] {
        std::fs::write(&file, format!("policy = \"vm.toml\"\n{line}\n")).expect("a plan");
        let output = sweep(folder.path(), &[])
            .output()
            .expect("the program starts");
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{talk}");
        assert!(talk.contains(what), "{talk}");
    }
}

/// Killed after each of its points, while the next one runs.
fn a_sweep_that_is_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let changes = "values = { \"vmm.quantum\" = [\"1 ms\", \"10 ms\"] }\n";
    plan(folder, changes);
    // With its temporary files in the folder, every process of a boot names it.
    let sweep = |database| {
        let mut command = sweep(folder, &["--jobs", "1", "-o", database]);
        command.env("TMPDIR", folder);
        command
    };
    let whole = table(&mut sweep("whole.db"));
    let file = folder.join("killed.db");
    let mut before = Vec::new();
    for points in 0..4 {
        let mut running = sweep("killed.db")
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        wait_until(|| done(&file).len() >= points && boots_in(folder) || done(&file).len() == 4);
        running.kill().expect("an end");
        running.wait().expect("an end");
        wait_until(|| !boots_in(folder));
        let after = done(&file);
        assert!(
            after.starts_with(&before) && after.len() >= points,
            "{before:?} {after:?}"
        );
        before = after;
    }
    assert_eq!(table(&mut sweep("killed.db")), whole);
    assert!(done(&file).starts_with(&before));
    same(&content(&file), &content(&folder.join("whole.db")));
}

#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < patience, "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether there is a process that boots something of this folder.
fn boots_in(folder: &Path) -> bool {
    let folder = folder.to_str().expect("a path");
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|words| String::from_utf8_lossy(&words).contains(folder))
}
