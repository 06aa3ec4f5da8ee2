//! The set-up on machines that lack something: a PATH of the test's own
//! stands for the machine, and a script for its package manager.

use std::process::Output;

use crate::harness::{Programs, trials, vmm};

trials![
    a_machine_that_has_everything_is_left_alone,
    a_missing_emulator_is_installed_and_the_reason_given,
    a_failed_installation_is_3_with_its_words_and_the_command_to_type,
    an_installation_that_brings_nothing_is_3,
    a_machine_without_apt_is_told_what_to_do,
];

const EMULATOR: &str = "qemu-system-x86_64";

fn set_up(programs: &Programs) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = vmm()
        .arg("setup")
        .env("PATH", programs.path())
        .output()
        .expect("the program starts");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// A machine on which nothing asks for a password.
fn with_apt_get(script: &str) -> Programs {
    let programs = Programs::new();
    programs.add("sudo", "shift; exec \"$@\"");
    programs.add("apt-get", script);
    programs
}

fn a_machine_that_has_everything_is_left_alone() {
    let programs = with_apt_get("touch \"$0.called\"");
    programs.add("rustup", "touch \"$0.called\"");
    programs.add(EMULATOR, "");
    let (status, talk) = set_up(&programs);
    assert_eq!(
        (status, talk.as_str()),
        (Some(0), "tollgate: nothing is missing\n")
    );
    for program in ["apt-get", "rustup"] {
        assert!(
            !programs.path().join(format!("{program}.called")).exists(),
            "{program} was called"
        );
    }
}

fn a_missing_emulator_is_installed_and_the_reason_given() {
    let programs = with_apt_get(&format!(
        "case \"$1 $*\" in install*qemu-system-x86) /bin/cp \"$0\" \"${{0%/*}}/{EMULATOR}\";; esac"
    ));
    let (status, talk) = set_up(&programs);
    assert_eq!(status, Some(0), "{talk}");
    assert!(
        talk.contains("qemu-system-x86: the PC that Tollgate boots on"),
        "{talk}"
    );
    assert!(talk.contains("nothing is missing"), "{talk}");
}

fn a_failed_installation_is_3_with_its_words_and_the_command_to_type() {
    let programs = with_apt_get("echo 'E: the disk is full'; exit 100");
    let (status, talk) = set_up(&programs);
    assert_eq!(status, Some(3), "{talk}");
    assert!(talk.contains("E: the disk is full"), "{talk}");
    assert!(
        talk.contains("apt-get install --no-install-recommends qemu-system-x86\n"),
        "{talk}"
    );
}

fn an_installation_that_brings_nothing_is_3() {
    let (status, talk) = set_up(&with_apt_get("exit 0"));
    assert_eq!(status, Some(3), "{talk}");
    assert!(talk.contains("still missing"), "{talk}");
}

fn a_machine_without_apt_is_told_what_to_do() {
    let (status, talk) = set_up(&Programs::new());
    assert_eq!(status, Some(3), "{talk}");
    assert!(
        talk.contains("install QEMU for x86_64 with this system's package manager"),
        "{talk}"
    );
}
