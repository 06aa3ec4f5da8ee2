//! The guest kernel in a VM: it runs as on the bare machine, and its exits are counted.

use iced_x86::code_asm::{al, eax, ecx, esi};
use serde_json::Value;

use crate::harness::{Boot, Outcome, trials};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    the_demo_prints_what_it_prints_on_the_bare_machine,
    the_exercise_prints_what_it_prints_on_the_bare_machine,
    instructions_of_a_kernel_in_ring_3_find_out_what_they_do_on_the_bare_machine,
    the_demo_prints_the_same_under_shadow_paging,
    the_exercise_prints_the_same_under_shadow_paging_up_to_a_task_switch,
    the_shell_answers_on_the_serial_line,
    the_shell_answers_the_keyboard,
    a_known_number_of_exits_is_counted_exactly,
    counted_runs_are_alike_to_the_letter,
    two_vms_run_side_by_side_and_each_has_its_name,
    the_vmm_and_its_data_take_at_most_4_mib,
    halting_with_interrupts_off_is_an_end_that_the_policy_judges,
    a_breakpoint_that_a_guest_sets_in_the_vmm_stops_nobody,
];

/// One VM with the workspace's guest kernel; `CMDLINE` and `REST` are for tests to fill.
pub const POLICY: &str = r#"
[target]
machine = "qemu-tcg"

[set.base]
cpuid    = "emulate"
hlt      = "wait"
vmmcall  = "hypercall"
shutdown = "stop"

[[vm]]
name       = "demo"
image      = "guest"
cmdline    = "CMDLINE"
memory     = "64 MiB"
intercepts = "base"
#REST
"#;

/// Boots the guest kernel in a VM with this command line.
pub fn vm(cmdline: &str) -> Boot {
    Boot::policy(&POLICY.replace("CMDLINE", cmdline))
}

/// What the VM called `name` printed, without the lines that the kernel marks as ones that may
/// differ from machine to machine.
pub fn said_by(name: &str, outcome: &Outcome) -> Vec<String> {
    let prefix = format!("{name}| ");
    outcome
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix(&prefix))
        .filter(|line| !line.starts_with('~'))
        .map(str::to_string)
        .collect()
}

/// All that the VM called `name` printed, in one piece: VMs that print at once break each other's
/// lines.
pub fn text_of(name: &str, outcome: &Outcome) -> String {
    let prefix = format!("{name}| ");
    let lines = outcome.lines.iter();
    lines
        .filter_map(|line| line.strip_prefix(&prefix))
        .collect()
}

/// The same of a boot on the bare machine.
pub fn said(outcome: &Outcome) -> Vec<String> {
    let is_same = |line: &&String| !line.starts_with('~');
    outcome.lines.iter().filter(is_same).cloned().collect()
}

fn runs_alike(cmdline: &str, lines_at_least: usize) {
    runs_like_the_bare_machine(vm(cmdline), cmdline, lines_at_least);
}

/// Fails unless the VM `demo` of this boot prints what the guest kernel prints on the bare
/// machine with this command line, and at least so many lines.
pub fn runs_like_the_bare_machine(boot: Boot, cmdline: &str, lines_at_least: usize) -> Outcome {
    let bare = Boot::bare_machine()
        .args(["--cmdline", cmdline])
        .run()
        .ends_with(0);
    let virtual_ = boot.run().ends_with(0);
    let (bare, said) = (said(&bare), said_by("demo", &virtual_));
    assert!(bare.len() >= lines_at_least, "{bare:#?}");
    for (number, (bare, said)) in bare.iter().zip(&said).enumerate() {
        assert_eq!(said, bare, "line {number}");
    }
    assert_eq!(said.len(), bare.len());
    virtual_
}

fn the_demo_prints_what_it_prints_on_the_bare_machine() {
    runs_alike("demo", 30);
}

fn the_exercise_prints_what_it_prints_on_the_bare_machine() {
    runs_alike("exercise", 80);
}

fn instructions_of_a_kernel_in_ring_3_find_out_what_they_do_on_the_bare_machine() {
    runs_alike("sensitive", 20);
    let nested = vm("sensitive").run().ends_with(0);
    let nested = nested.shows("sensitive: done, 16 of 17 do not trap in ring 3");
    let shadowed = shadowed("sensitive").ends_with(0);
    assert_eq!(said_by("demo", &shadowed), said_by("demo", &nested));
}

/// Boots the guest kernel in a VM without nested paging.
fn shadowed(cmdline: &str) -> Outcome {
    let policy = POLICY
        .replace("CMDLINE", cmdline)
        .replace("#REST", "npt = false");
    Boot::policy(&policy).run()
}

fn the_demo_prints_the_same_under_shadow_paging() {
    let nested = vm("demo").run().ends_with(0);
    let shadowed = shadowed("demo").ends_with(0);
    assert_eq!(said_by("demo", &shadowed), said_by("demo", &nested));
    // Its page fault is its own, and the only one that it sees.
    assert_eq!(count(&shadowed, "demo", "exception.pf"), 1);
}

/// QUIRK: QEMU 7.2 has no exit for the task switch, so the VM is stopped behind it.
fn the_exercise_prints_the_same_under_shadow_paging_up_to_a_task_switch() {
    let nested = said_by("demo", &vm("exercise").run().ends_with(0));
    let stopped = shadowed("exercise")
        .ends_with(1)
        .shows("a hardware task switch");
    let shadowed = said_by("demo", &stopped);
    let last = nested
        .iter()
        .position(|line| line.contains("JMP to a task"))
        .expect("the exercise switches tasks");
    assert!(last > 40, "{nested:#?}");
    assert_eq!(shadowed, nested[..last]);
}

fn the_shell_answers_on_the_serial_line() {
    vm("")
        .args(["--expect", "tollgate> ", "--type", "fault\\n"])
        .args(["--expect", "tollgate> ", "--type", "poweroff\\n"])
        .run()
        .ends_with(0)
        .shows("demo| tollgate> fault")
        .shows("demo| fault: survived");
}

fn the_shell_answers_the_keyboard() {
    vm("")
        .args(["--expect", "tollgate> ", "--keys", "Help!\\n"])
        .args(["--expect", "tollgate> ", "--keys", "poweroff\\n"])
        .run()
        .ends_with(0)
        .shows("demo| tollgate> Help!")
        .shows("demo| tollgate> poweroff");
}

/// How often the VM called `vm` took the exit called `name`, by the report.
pub fn count(outcome: &Outcome, vm: &str, name: &str) -> u64 {
    let report = &outcome.report;
    let vms = report["vms"].as_array().into_iter().flatten();
    let exits = vms
        .filter(|entry| entry["name"] == vm)
        .flat_map(|entry| entry["exits"].as_array().into_iter().flatten());
    exits
        .filter(|exit| exit["name"] == name)
        .filter_map(|exit| exit["count"].as_u64())
        .sum()
}

fn a_known_number_of_exits_is_counted_exactly() {
    let kernel = tiny_guest(|a| {
        let mut again = a.create_label();
        a.mov(esi, 1000)?;
        a.set_label(&mut again)?;
        a.cpuid()?;
        a.in_(al, 0x21)?;
        a.mov(ecx, 0xc000_0080u32)?;
        a.rdmsr()?;
        a.dec(esi)?;
        a.jnz(again)?;
        a.xor(eax, eax)?;
        power_off(a)
    });
    let outcome = vm("").kernel(&kernel).run().ends_with(0);
    assert_eq!(count(&outcome, "demo", "cpuid"), 1000, "{}", outcome.report);
    assert_eq!(count(&outcome, "demo", "msr"), 1000, "{}", outcome.report);
    // The power switch is a port as well.
    assert_eq!(count(&outcome, "demo", "ioio"), 1001, "{}", outcome.report);
}

fn counted_runs_are_alike_to_the_letter() {
    let run = || {
        let outcome = vm("demo").arg("--icount").run().ends_with(0);
        (outcome.lines, outcome.report)
    };
    assert_eq!(run(), run());
}

/// A second VM for [`POLICY`], of the same set.
pub fn second_vm(cmdline: &str) -> String {
    format!(
        "[[vm]]\nname = \"other\"\nimage = \"guest\"\ncmdline = \"{cmdline}\"\n\
         memory = \"32 MiB\"\nintercepts = \"base\"\n"
    )
}

fn two_vms_run_side_by_side_and_each_has_its_name() {
    let policy = POLICY
        .replace("CMDLINE", "demo")
        .replace("#REST", &second_vm("exercise"));
    let outcome = Boot::policy(&policy).run().ends_with(0);
    assert!(
        text_of("demo", &outcome).contains("demo: done"),
        "{outcome:#?}"
    );
    assert!(
        text_of("other", &outcome).contains("entries, 0 wrong"),
        "{outcome:#?}"
    );
}

fn the_vmm_and_its_data_take_at_most_4_mib() {
    let outcome = vm("demo").run().ends_with(0);
    let bytes = outcome.report["vmm_bytes"].as_u64();
    assert!(
        bytes.is_some_and(|bytes| 0 < bytes && bytes <= 4 << 20),
        "{}",
        outcome.report
    );
}

fn halting_with_interrupts_off_is_an_end_that_the_policy_judges() {
    let kernel = tiny_guest(|a| {
        a.cli()?;
        a.hlt()
    });
    vm("")
        .kernel(&kernel)
        .run()
        .ends_with(0)
        .shows("demo: halted");
    let strict = POLICY.replace("#REST", "halted = \"crash\"");
    Boot::policy(&strict)
        .kernel(&kernel)
        .run()
        .ends_with(1)
        .shows("demo: crashed");
}

/// QUIRK: on QEMU 7.2 a guest's breakpoints stay armed in the VMM after #VMEXIT.
fn a_breakpoint_that_a_guest_sets_in_the_vmm_stops_nobody() {
    use iced_x86::code_asm::{dr0, dr1, dr7};
    let boot = vm("");
    let switch = boot.symbol("svm_run_counted_0");
    let dispatch = boot.symbol("dispatch::<true>");
    let kernel = tiny_guest(|a| {
        let mut again = a.create_label();
        a.mov(eax, switch)?;
        a.mov(dr0, eax)?;
        a.mov(eax, dispatch)?;
        a.mov(dr1, eax)?;
        // Both armed for execution, globally and locally.
        a.mov(eax, 0x40f)?;
        a.mov(dr7, eax)?;
        a.mov(esi, 100)?;
        a.set_label(&mut again)?;
        a.cpuid()?;
        a.dec(esi)?;
        a.jnz(again)?;
        power_off(a)
    });
    let outcome = boot.kernel(&kernel).run().ends_with(0);
    assert_eq!(
        outcome.report["vms"][0]["end"]["how"],
        Value::from("power-off"),
        "{}",
        outcome.report
    );
    assert_eq!(count(&outcome, "demo", "cpuid"), 100, "{}", outcome.report);
}
