//! Much text through the serial port of a Linux, outwards and inwards: none of it is harmed.

use super::{policy, under_shadow_paging, with_pae};
use crate::harness::{Boot, Outcome};

/// The numbers that go through, each a line of 7 bytes.
pub const FIRST: u32 = 100_000;
/// The last of 1 MB.
const LAST_OF_MANY: u32 = 249_999;

/// Fails unless all numbers came as they went.
pub fn came_unharmed(outcome: &Outcome, last: u32) {
    let lines = outcome.lines_of("linux");
    let start = lines.iter().position(|line| *line == FIRST.to_string());
    let came = &lines[start.expect("the first number")..];
    let numbers: Vec<String> = (FIRST..=last).map(|number| number.to_string()).collect();
    assert!(came.len() >= numbers.len(), "{} lines came", came.len());
    for (line, number) in came.iter().zip(&numbers) {
        assert_eq!(line, number);
    }
}

pub fn a_megabyte_goes_through_the_serial_port_unharmed() {
    a_megabyte(&policy("linux"));
}

pub fn a_megabyte_goes_through_the_serial_port_of_linux_686_unharmed() {
    a_megabyte(&policy("linux-686"));
}

pub fn a_megabyte_goes_through_the_serial_port_of_linux_686_pae_unharmed() {
    a_megabyte(&under_shadow_paging(&with_pae()));
}

fn a_megabyte(policy: &str) {
    let numbers = format!("seq {FIRST} {LAST_OF_MANY}\n");
    let outcome = Boot::policy(policy)
        .within_seconds("900")
        .args(["--expect", "linux# ", "--type", &numbers])
        .args(["--expect", "linux# ", "--type", "poweroff\n"])
        .run()
        .ends_with(0);
    came_unharmed(&outcome, LAST_OF_MANY);
}

/// Some 60 KB, a page at a time: nobody types so, but one may paste.
pub fn what_is_typed_comes_in_unharmed() {
    const LAST_TYPED: u32 = FIRST + 8_999;
    const PAGE: u32 = 500;
    let lines = LAST_TYPED - FIRST + 1;
    let mut boot = Boot::policy(&policy("linux"))
        .within_seconds("300")
        .args(["--expect", "linux# "])
        .args(["--type", &format!("head -n {lines} >/tmp/typed\n")])
        .args(["--expect", "typed"]);
    for first in (FIRST..=LAST_TYPED).step_by(PAGE as usize) {
        let page: String = (first..first + PAGE)
            .map(|number| format!("{number}\n"))
            .collect();
        let echo = format!("{}", first + PAGE - 1);
        boot = boot.args(["--type", &page, "--expect", &echo]);
    }
    // The echo of the command itself is not to be taken for its output.
    let compare = format!("seq {FIRST} {LAST_TYPED} | cmp - /tmp/typed && echo un''harmed\n");
    boot.args(["--expect", "linux# ", "--type", &compare])
        .args(["--expect", "unharmed", "--expect", "linux# "])
        .args(["--type", "poweroff\n"])
        .run()
        .ends_with(0);
}
