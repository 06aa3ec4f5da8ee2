//! Options and exit statuses.

use crate::harness::{Boot, Outcome, trials, vmm};

trials![
    a_matched_until_ends_the_run_at_once,
    an_end_before_until_matched_is_5,
    a_passed_timeout_is_124,
    a_wrong_command_line_is_2,
    a_file_that_is_not_there_is_2_and_named,
    an_emulator_that_dies_is_4_with_its_own_words,
    the_persons_arguments_win_over_the_tools,
];

fn fails(arguments: &[&str]) -> (Option<i32>, String) {
    let finished = vmm().args(arguments).output().expect("the program starts");
    (
        finished.status.code(),
        String::from_utf8_lossy(&finished.stderr).into_owned(),
    )
}

fn a_matched_until_ends_the_run_at_once() {
    // The shell would wait for ever.
    Boot::bare_machine()
        .args(["--until", "tollgate> "])
        .run()
        .ends_with(0);
}

fn an_end_before_until_matched_is_5() {
    Boot::bare_machine()
        .args(["--cmdline", "demo", "--until", "no such text"])
        .run()
        .ends_with(5)
        .shows("demo: done")
        .says("no such text");
}

fn a_passed_timeout_is_124() {
    let finished = vmm()
        .args(["run-guest", "--timeout", "1"])
        .output()
        .expect("the program starts");
    assert_eq!(finished.status.code(), Some(124));
}

fn a_wrong_command_line_is_2() {
    for wrong in [
        &["run-guest", "--no-such-option"][..],
        &["run-guest", "--display", "sdl"],
        &["run-guest", "--timeout", "0"],
        &["run-guest", "--keys", "ü"],
        &["run-guest", "--type", "\\q"],
        &["run-guest", "--until", ""],
        &["run-qemu", "--guest", "demo="],
        &["no-such-command"],
        &[],
    ] {
        assert_eq!(fails(wrong).0, Some(2), "{wrong:?}");
    }
}

fn a_file_that_is_not_there_is_2_and_named() {
    for command in [
        &["run-guest", "--guest", "/no/such/file"][..],
        &["run-guest", "--qemu", "/no/such/file"],
        &["run-qemu", "--config", "/no/such/file"],
    ] {
        let (status, talk) = fails(command);
        assert_eq!(status, Some(2), "{command:?}: {talk}");
        assert!(talk.contains("/no/such/file"), "{talk}");
    }
}

fn an_emulator_that_dies_is_4_with_its_own_words() {
    Boot::bare_machine()
        .args(["--", "-cpu", "no-such-cpu"])
        .run()
        .ends_with(4)
        .says("no-such-cpu");
}

fn the_persons_arguments_win_over_the_tools() {
    let memory = |outcome: Outcome| {
        let usable = |line: &&String| line.contains("memory: 000100000-");
        outcome
            .lines
            .iter()
            .find(usable)
            .cloned()
            .expect("a memory map")
    };
    let boot = || Boot::bare_machine().args(["--until", "tollgate> "]);
    let usual = memory(boot().run().ends_with(0));
    let smaller = memory(boot().args(["--", "-m", "32"]).run().ends_with(0));
    assert_ne!(usual, smaller);
}
