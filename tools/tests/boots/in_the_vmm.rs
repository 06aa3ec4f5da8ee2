//! The guest kernel boots in a VM, by `run-qemu`, and cannot tell.

use crate::harness::{Boot, POLICY, trials};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    the_demo_says_the_same_as_on_the_bare_machine,
    the_exercise_says_the_same_as_on_the_bare_machine,
    the_shell_answers_on_the_serial_line_and_on_the_keyboard,
    a_kernel_from_a_file_boots_in_the_place_of_the_policys,
    a_triple_fault_in_the_vm_ends_with_1,
    a_cpu_without_svm_ends_with_3_and_says_so,
    a_cpu_without_nested_paging_ends_with_3_and_says_so,
    the_report_counts_the_exits_by_name,
];

/// The guest marks the lines that may differ: CPUID's, timings, the memory map.
fn says_the_same(cmdline: &str) {
    let unmarked = |line: &&str| !line.starts_with("~ ");
    let with_cmdline = POLICY.replace("memory ", &format!("cmdline = {cmdline:?}\nmemory "));
    let vmm = Boot::policy(&with_cmdline).run().ends_with(0);
    let in_the_vm: Vec<_> = vmm.lines_of("demo").into_iter().filter(unmarked).collect();
    let bare = Boot::bare_machine()
        .args(["--cmdline", cmdline])
        .run()
        .ends_with(0);
    let on_the_bare_machine: Vec<_> = bare
        .lines
        .iter()
        .map(String::as_str)
        .filter(unmarked)
        .collect();
    assert!(!in_the_vm.is_empty());
    assert_eq!(in_the_vm.join("\n"), on_the_bare_machine.join("\n"));
}

fn the_demo_says_the_same_as_on_the_bare_machine() {
    says_the_same("demo");
}

fn the_exercise_says_the_same_as_on_the_bare_machine() {
    says_the_same("exercise");
}

fn the_shell_answers_on_the_serial_line_and_on_the_keyboard() {
    Boot::policy(POLICY)
        .args(["--expect", "tollgate> ", "--type", "help\\n"])
        .args(["--expect", "tollgate> ", "--keys", "Help!\\n"])
        .args(["--expect", "tollgate> ", "--keys", "poweroff\\n"])
        .run()
        .ends_with(0)
        .shows("demo| tollgate> help")
        .shows("demo| tollgate> Help!");
}

fn a_kernel_from_a_file_boots_in_the_place_of_the_policys() {
    let outcome = Boot::policy(POLICY)
        .kernel(&tiny_guest(power_off))
        .run()
        .ends_with(0);
    assert!(outcome.lines_of("demo").is_empty());
}

fn a_triple_fault_in_the_vm_ends_with_1() {
    let outcome = Boot::policy(POLICY)
        .args(["--expect", "tollgate> ", "--type", "triple\\n"])
        .run()
        .ends_with(1);
    assert_eq!(
        outcome.report["vms"][0]["end"]["good"], false,
        "{}",
        outcome.report
    );
}

fn a_cpu_without_svm_ends_with_3_and_says_so() {
    Boot::policy(POLICY)
        .args(["--", "-cpu", "qemu64,-svm"])
        .run()
        .ends_with(3)
        .says("SVM");
}

fn a_cpu_without_nested_paging_ends_with_3_and_says_so() {
    Boot::policy(POLICY)
        .args(["--", "-cpu", "qemu64"])
        .run()
        .ends_with(3)
        .says("ested paging");
}

fn the_report_counts_the_exits_by_name() {
    let outcome = Boot::policy(POLICY)
        .args(["--expect", "tollgate> ", "--type", "poweroff\\n"])
        .run()
        .ends_with(0)
        .shows("ioio")
        .shows("the guest itself");
    let exits = outcome.report["vms"][0]["exits"]
        .as_array()
        .expect("exits")
        .clone();
    let ioio = exits
        .iter()
        .find(|exit| exit["name"] == "ioio")
        .expect("ioio");
    assert!(ioio["count"].as_u64() > Some(100), "{ioio}");
}
