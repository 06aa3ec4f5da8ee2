//! `cargo vmm debug`: gdb at the machine, with commands that know SVM.

use tools::setup::{self, Need};
use tools::workspace::Workspace;

use crate::harness::{POLICY, trials, vmm};

trials![
    gdb_stops_at_an_exit_and_says_the_vmcb_in_words,
    gdb_stops_at_a_function_of_the_guest_and_a_wrong_name_is_no_end,
];

/// What gdb says to these commands, at a machine under [`POLICY`].
fn debug(commands: &[&str]) -> String {
    let needs = [Need::LibrarySources, Need::Emulator, Need::Debugger];
    setup::ensure(&Workspace::find(), &needs).expect("set-up");
    let folder = tempfile::tempdir().expect("a folder");
    let [config, serial] = ["vm.toml", "serial"].map(|name| folder.path().join(name));
    std::fs::write(&config, POLICY).expect("a policy");
    let mut command = vmm();
    command.arg("debug").arg("--config").arg(&config);
    command.arg("--serial").arg(&serial);
    for words in commands {
        command.args(["-c", words]);
    }
    let finished = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    let talk = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success(), "{said}{talk}");
    said + &talk
}

fn gdb_stops_at_an_exit_and_says_the_vmcb_in_words() {
    let said = debug(&["break-vmexit ioio", "continue", "vmcb", "backtrace"]);
    for words in [
        // The first port that the guest touches is one of its serial line.
        "demo: ioio (7bh), RIP ",
        "VMCB of VM demo at 0x",
        "VMEXIT_IOIO: IN, OUT, INS or OUTS on a port",
        "PORT = 0x3f9: Port",
        "NP_ENABLE: Nested paging",
        "exits/mod.rs",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
}

fn gdb_stops_at_a_function_of_the_guest_and_a_wrong_name_is_no_end() {
    let said = debug(&[
        "break-at kernel::nowhere",
        "break-vmexit nothing",
        "break-at kernel::shell::run",
        "continue",
        "vmexit",
    ]);
    for words in [
        "of that name there is: none",
        "there is no exit nothing",
        "kernel::kernel::shell::run of the guest",
        // Its last exit was a port's, or a timer's interrupt.
        "EXITINFO1 ",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
}
