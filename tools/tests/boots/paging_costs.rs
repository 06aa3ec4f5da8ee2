//! What paging may cost a guest, in instructions and in exits, by the benchmark's own kernel: these
//! are bounds, and the figures themselves are `cargo bench-exits`.

use crate::counting::counts;
use crate::harness::{Boot, Outcome, slow};

/// The trials that take long.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![
        paging_costs_no_exit_under_nested_paging,
        paging_costs_no_more_than_it_may_under_shadow_paging,
    ]
}

const POLICY: &str = include_str!("../../src/bench/bench.toml");

/// Counts instructions, under a policy with this line.
fn bench(line: &str) -> Outcome {
    Boot::policy(&format!("{POLICY}{line}\n"))
        .arg("--icount")
        .run()
        .ends_with(0)
}

/// Instructions a round of what the guest calls `name`.
fn instructions(outcome: &Outcome, name: &str) -> u64 {
    let head = format!("~ bench: {name}: ");
    let lines = outcome.lines_of("bench").into_iter();
    let figure = lines.filter_map(|line| line.strip_prefix(&head)).next();
    let numbers: Vec<u64> = figure
        .unwrap_or_else(|| panic!("no figure for {name}"))
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    let [rounds, ticks] = numbers[..] else {
        panic!("{figure:?} is not rounds and ticks")
    };
    ticks.div_ceil(rounds)
}

/// Faults, loads of CR3, INVLPG, and memory that is touched for the first time.
fn paging_costs_no_exit_under_nested_paging() {
    let outcome = bench("npt = true");
    assert!(instructions(&outcome, "first touch of a page") > 0);
    let counts = counts(&outcome);
    for exit in ["exception.pf", "cr3.write", "invlpg", "npf"] {
        assert_eq!(counts.get(exit), None, "{exit}");
    }
    assert!(counts.contains_key("cpuid"), "{counts:?}");
}

fn paging_costs_no_more_than_it_may_under_shadow_paging() {
    let outcome = bench("npt = false");
    for (name, most) in [("a page fault, mended", 1500), ("CR3 and 16 pages", 600)] {
        let found = instructions(&outcome, name);
        assert!(found <= most, "{name}: {found} instructions, not {most}");
    }
}
