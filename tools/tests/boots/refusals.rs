//! A VMCB that VMRUN refuses: the VM ends, the log names the field and prints the VMCB, and the
//! decoders read it. No policy can cause one, so a debugger spoils it.

use std::process::Stdio;

use crate::browser::Browser;
use crate::gdb::{self, Argument};
use crate::harness::{Boot, Outcome, POLICY, trials, vmm};
use crate::register_browser::{assert_read_alike, page};

trials![
    a_vmcb_that_the_cpu_refuses_is_dumped_and_its_field_named,
    a_vmcb_that_an_exit_spoils_is_shown_as_the_turn_began_and_says_so,
    a_vmcb_that_the_vmm_refuses_is_dumped_and_its_field_named,
    a_vmcb_that_is_unfit_after_a_write_of_a_control_register_is_dumped,
];

/// Boots with `bytes` written at `offset` into an argument of this function, once.
fn boot_spoilt(function: &str, argument: Argument, offset: u64, bytes: &'static [u8]) -> Outcome {
    boot_policy_spoilt(POLICY, function, argument, offset, bytes)
}

/// The same under this policy.
fn boot_policy_spoilt(
    policy: &str,
    function: &str,
    argument: Argument,
    offset: u64,
    bytes: &'static [u8],
) -> Outcome {
    let gdb = gdb::Stub::new();
    let stub = gdb.argument();
    let boot = Boot::policy(policy);
    let address = boot.symbol(function);
    let debugger =
        std::thread::spawn(move || gdb.write_into(argument, address.into(), offset, bytes));
    let outcome = boot.args(["--", "-S", "-gdb", &stub]).run().ends_with(1);
    debugger.join().expect("the debugger's part");
    outcome
}

/// What `vmcb-docs --decode` makes of the log.
fn decoded(log: &str) -> String {
    let mut reader = vmm()
        .args(["vmcb-docs", "--decode", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    std::io::Write::write_all(&mut reader.stdin.take().expect("a pipe"), log.as_bytes())
        .expect("a log");
    let finished = reader.wait_with_output().expect("an end");
    String::from_utf8_lossy(&finished.stdout).into_owned()
}

fn a_vmcb_that_the_cpu_refuses_is_dumped_and_its_field_named() {
    const GUEST_ASID: u64 = 0x58;
    let outcome = boot_spoilt("svm_run_counted_0", Argument::First, GUEST_ASID, &[0; 4])
        .shows("demo: the CPU refused its VMCB: guest_asid (ASID 0 is the host's; APM 15.5.1)")
        .shows("demo: vmcb+");
    let log = outcome.lines.join("\n");
    let text = decoded(&log);
    for part in [
        "VMRUN would refuse this VMCB: guest_asid",
        "exit_code = 0x00000000ffffffff",
        "NP_ENABLE",
        "SVME",
        "V_INTR_MASKING",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let mut browser = Browser::open(page());
    assert_read_alike(&mut browser, &log);
    let shown = browser.text("document.getElementById('decoded').innerText");
    for part in ["VMEXIT_INVALID", "what VMRUN demands"] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
}

/// A handler that takes SVME away from EFER, which #VMEXIT then writes over.
fn a_vmcb_that_an_exit_spoils_is_shown_as_the_turn_began_and_says_so() {
    const EFER: u64 = 0x4d0;
    let outcome = boot_spoilt("io::emulate", Argument::First, EFER, &[0; 8])
        .shows("kept to all of APM 15.5.1 that the VMM knows when the VM's turn began")
        .shows("what #VMEXIT has written over is shown as the turn began with it: save area,");
    let text = decoded(&outcome.lines.join("\n"));
    for part in ["4D0h efer = 0x0000000000001000", "VMEXIT_INVALID"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

/// S_CET is a field that neither the guest nor QEMU, which has no shadow stacks, writes or checks.
fn a_vmcb_that_is_unfit_after_a_write_of_a_control_register_is_dumped() {
    const S_CET: u64 = 0x5e0;
    let watched = format!("{POLICY}\n[set.paging]\ncr0.write = \"count\"\n").replace(
        "intercepts = \"base\"",
        "intercepts = [\"base\", \"paging\"]",
    );
    let outcome = boot_policy_spoilt(
        &watched,
        "svm_run_counted_0",
        Argument::First,
        S_CET,
        &[0, 1, 0, 0, 0, 0, 0, 0],
    )
    .shows("its control registers are not what VMRUN takes: s_cet (S_CET's reserved bits must be 0")
    .shows("demo: vmcb+5e0:");
    let text = decoded(&outcome.lines.join("\n"));
    assert!(
        text.contains("VMRUN would refuse this VMCB: s_cet"),
        "{text}"
    );
}

fn a_vmcb_that_the_vmm_refuses_is_dumped_and_its_field_named() {
    const CR4: u64 = 0x548;
    let outcome = boot_spoilt(
        "validate",
        Argument::Second,
        CR4,
        &[0, 0, 0, 0x80, 0, 0, 0, 0],
    )
    .shows("demo: VMRUN would refuse its VMCB: cr4 (CR4's reserved bits must be 0");
    let text = decoded(&outcome.lines.join("\n"));
    assert!(
        text.contains("63:24  reserved = 0x80: should be 0"),
        "{text}"
    );
}
