//! Guests that nobody here wrote: GRUB's shell, and Linux to a prompt, a self-test and the end.
//!
//! They come out of Debian's packages, whatever version those have: seen were GRUB 2.06, Linux
//! 6.1.192 (cloud-amd64) and 6.1.176 (686), BusyBox 1.35.0, memtest86+ 6.10 and GNU Mach 1.8.

use libtest_mimic::Trial;
use tools::workspace::Workspace;

use crate::harness::{Boot, Outcome, slow, trials};

trials![linux_comes_to_a_prompt_passes_its_self_test_and_ends];

/// What takes minutes.
pub fn slow_trials() -> Vec<Trial> {
    slow![linux_starts_in_long_mode]
}

/// The text of a policy in policies/.
fn policy(name: &str) -> String {
    let file = Workspace::find()
        .root()
        .join("policies")
        .join(name)
        .with_extension("toml");
    std::fs::read_to_string(file).expect("the policy")
}

/// The numbers, each a line of 7 bytes, that go through a serial port to show that it harms none.
const FIRST: u32 = 100_000;
/// The last of 64 KB.
const LAST: u32 = 109_999;
/// The last of 1 MB.
const LAST_OF_MANY: u32 = 249_999;

/// Boots Linux, and types what shows that it works.
fn linux(policy: &str, last: u32) -> Outcome {
    let numbers = format!("seq {FIRST} {last}\n");
    Boot::policy(policy)
        .args(["--expect", "linux# ", "--type", "self-test\n"])
        .args(["--expect", "linux# ", "--type", &numbers])
        .args([
            "--expect",
            "linux# ",
            "--type",
            "cat /proc/interrupts; dmesg\n",
        ])
        .args(["--expect", "linux# ", "--type", "poweroff\n"])
        .run()
}

/// Fails unless everything came out as it went in.
fn passes(outcome: Outcome, vm: &str, last: u32) -> Outcome {
    let outcome = outcome.ends_with(0).shows("self-test: passed");
    let lines = outcome.lines_of(vm);
    let start = lines.iter().position(|line| *line == FIRST.to_string());
    let came = &lines[start.expect("the first number")..];
    let numbers: Vec<String> = (FIRST..=last).map(|number| number.to_string()).collect();
    assert!(came.len() >= numbers.len(), "{} lines came", came.len());
    for (line, number) in came.iter().zip(&numbers) {
        assert_eq!(line, number);
    }
    outcome
}

fn linux_comes_to_a_prompt_passes_its_self_test_and_ends() {
    passes(linux(&policy("linux"), LAST), "linux", LAST);
}

fn linux_starts_in_long_mode() {
    let policy = policy("linux").replace("initrd ", "protocol = \"linux-64\"\ninitrd ");
    passes(linux(&policy, LAST_OF_MANY), "linux", LAST_OF_MANY);
}
