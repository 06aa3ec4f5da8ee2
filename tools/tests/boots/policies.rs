//! What `run-qemu` says of a policy before anything boots.

use crate::harness::{Boot, POLICY, trials};

trials![
    a_wrong_policy_is_2_and_every_error_is_shown_at_its_line,
    a_kernel_for_a_vm_that_is_not_there_is_2_and_the_vms_are_named,
    a_policy_for_another_machine_is_2_and_the_machine_named,
    the_report_says_what_ended_the_run,
];

fn a_wrong_policy_is_2_and_every_error_is_shown_at_its_line() {
    Boot::policy(&POLICY.replace("wait", "weight").replace("64 MiB", "64 MB"))
        .run()
        .ends_with(2)
        .says("vm.toml:7:12")
        .says("vm.toml:13:14")
        .says("has 2 errors");
}

fn a_kernel_for_a_vm_that_is_not_there_is_2_and_the_vms_are_named() {
    Boot::policy(POLICY)
        .args(["--guest", "other=Cargo.toml"])
        .run()
        .ends_with(2)
        .says("there is demo");
}

fn a_policy_for_another_machine_is_2_and_the_machine_named() {
    Boot::policy(&POLICY.replace("qemu-tcg", "bochs-ryzen"))
        .run()
        .ends_with(2)
        .says("bochs-ryzen");
}

fn the_report_says_what_ended_the_run() {
    let report = Boot::policy(POLICY)
        .args(["--until", "[vmm] "])
        .run()
        .ends_with(0)
        .report;
    assert_eq!(report["ended"]["by"], "until", "{report}");
    assert_eq!(report["status"], 0, "{report}");
}
