//! `cargo vmm sweep`: every combination once, in shards or whole, interrupted or not.

use std::path::Path;
use std::process::Output;

use crate::harness::{POLICY, slow, trials, vmm};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    four_shards_add_up_to_the_whole,
    a_plan_with_mistakes_says_which,
];

/// Those that take many boots.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![a_sweep_that_is_killed_goes_on_where_it_was]
}

/// A plan of four points, whose guest reads the time-stamp counter and pauses.
fn plan(folder: &Path) {
    let kernel = tiny_guest(|assembler| {
        for _ in 0..9 {
            assembler.rdtsc()?;
        }
        assembler.pause()?;
        power_off(assembler)
    });
    for (name, bytes) in [
        ("vm.toml", POLICY.as_bytes()),
        ("kernel", &kernel[..]),
        (
            "sweep.toml",
            b"policy = \"vm.toml\"\nguests = [\"kernel\"]\nintercepts = [\"rdtsc\", \"pause\"]\n",
        ),
    ] {
        std::fs::write(folder.join(name), bytes).expect("a file");
    }
}

fn sweep(folder: &Path, options: &[&str]) -> Output {
    vmm()
        .current_dir(folder)
        .args(["sweep", "sweep.toml"])
        .args(options)
        .output()
        .expect("the program starts")
}

#[track_caller]
fn table(output: &Output) -> String {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{talk}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn four_shards_add_up_to_the_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    plan(folder);
    let whole = table(&sweep(folder, &["-o", "whole.db", "--plot", "page.html"]));
    assert_eq!(whole.lines().count(), 5, "{whole}");
    let counted = whole.lines().nth(4).expect("the last point");
    assert!(
        counted.contains("count") && !counted.contains("failed"),
        "{whole}"
    );
    let page = std::fs::read_to_string(folder.join("page.html")).expect("a page");
    assert!(page.contains("By rdtsc"), "{page}");

    let mut merge = vec!["-o", "merged.db", "--merge"];
    let shards = ["1/4", "2/4", "3/4", "4/4"];
    let files = shards.map(|shard| format!("sweep.{}.db", shard.replace('/', "-of-")));
    for (shard, file) in shards.iter().zip(&files) {
        table(&sweep(folder, &["--shard", shard]));
        merge.push(file);
    }
    assert_eq!(table(&sweep(folder, &merge)), whole);
}

fn a_plan_with_mistakes_says_which() {
    let folder = tempfile::tempdir().expect("a folder");
    plan(folder.path());
    let file = folder.path().join("sweep.toml");
    for (line, what) in [
        ("intercept = [\"rdtsc\"]", "unknown field `intercept`"),
        ("values = { \"vm.npt\" = true }", "takes a list of values"),
        ("guests = [\"nothing\"]", "cannot read"),
    ] {
        std::fs::write(&file, format!("policy = \"vm.toml\"\n{line}\n")).expect("a plan");
        let output = sweep(folder.path(), &[]);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{talk}");
        assert!(talk.contains(what), "{talk}");
    }
}

/// Killed once after each point, however far the others were.
fn a_sweep_that_is_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    plan(folder);
    let whole = table(&sweep(folder, &["-o", "whole.db"]));
    for seconds in [1, 2, 3] {
        let mut running = vmm()
            .current_dir(folder)
            .args(["sweep", "sweep.toml", "-o", "killed.db", "--jobs", "1"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(std::time::Duration::from_secs(seconds));
        running.kill().expect("an end");
        running.wait().expect("an end");
    }
    assert_eq!(table(&sweep(folder, &["-o", "killed.db"])), whole);
}
