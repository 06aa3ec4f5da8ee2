//! The guest kernel boots without the VMM, by `run-guest`.

use crate::harness::{Boot, trials};

trials![
    the_demo_runs_to_its_end_and_powers_off,
    the_exercise_runs_to_its_end_and_powers_off,
    the_shell_answers_on_the_serial_line,
    the_shell_answers_the_keyboard,
    faults_are_reported_and_survived,
    a_triple_fault_ends_with_1,
    counted_runs_are_alike_to_the_letter,
];

fn the_demo_runs_to_its_end_and_powers_off() {
    Boot::bare_machine()
        .args(["--cmdline", "demo"])
        .run()
        .ends_with(0)
        .shows("demo: done");
}

fn the_exercise_runs_to_its_end_and_powers_off() {
    Boot::bare_machine()
        .args(["--cmdline", "exercise"])
        .run()
        .ends_with(0)
        .shows("exercise: CPUID");
}

fn the_shell_answers_on_the_serial_line() {
    Boot::bare_machine()
        .args(["--expect", "tollgate> ", "--type", "help\\n"])
        .args(["--expect", "tollgate> ", "--type", "poweroff\\n"])
        .run()
        .ends_with(0)
        .shows("tollgate> help")
        .shows("this list");
}

fn the_shell_answers_the_keyboard() {
    Boot::bare_machine()
        .args(["--expect", "tollgate> ", "--keys", "Help!\\n"])
        .args(["--expect", "tollgate> ", "--keys", "poweroff\\n"])
        .run()
        .ends_with(0)
        .shows("tollgate> Help!")
        .shows("tollgate> poweroff");
}

fn faults_are_reported_and_survived() {
    Boot::bare_machine()
        .args(["--expect", "tollgate> ", "--type", "fault\\n"])
        .args(["--expect", "tollgate> ", "--type", "divzero\\n"])
        .args(["--expect", "tollgate> ", "--type", "poweroff\\n"])
        .run()
        .ends_with(0)
        .shows("#PF")
        .shows("#DE");
}

fn a_triple_fault_ends_with_1() {
    Boot::bare_machine()
        .args(["--expect", "tollgate> ", "--type", "triple\\n"])
        .run()
        .ends_with(1)
        .says("triple fault");
}

fn counted_runs_are_alike_to_the_letter() {
    let run = || {
        Boot::bare_machine()
            .args(["--icount", "--cmdline", "demo"])
            .run()
            .ends_with(0)
            .lines
    };
    assert_eq!(run(), run());
}
