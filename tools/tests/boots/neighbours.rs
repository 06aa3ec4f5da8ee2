//! One VM that misbehaves beside others that do not: they keep their output and their time, and the
//! console answers.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, dx, eax, esp, ptr};
use tempfile::TempDir;

use crate::harness::{Boot, Outcome, trials};
use crate::several_vms::{COUNTED, counts_its_ticks, policy, script, vm, with_kernel};
use crate::tiny_guest::{end_interrupt, on_interrupt, out, tiny_guest};

trials![
    a_triple_fault_leaves_the_others_alone,
    a_crash_is_followed_by_as_many_restarts_as_the_policy_allows,
    a_vm_that_spins_with_interrupts_off_starves_nobody,
    a_vm_that_floods_its_uart_starves_nobody,
    a_vm_whose_timer_ticks_as_fast_as_it_goes_starves_nobody_while_it_spins,
    a_vm_whose_timer_ticks_as_fast_as_it_goes_starves_nobody_while_it_sleeps,
];

/// VM `bad` of this kernel beside three: one runs the demo, one the exercise, and one counts the
/// ticks of its timer; `rest` and `clock` are lines of the first one's and the last one's tables.
fn beside(kernel: &[u8], rest: &str, clock: &str) -> (Boot, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad");
    std::fs::write(&file, kernel).expect("a kernel");
    let image = file.to_str().expect("a path");
    let vms = [
        vm("bad", image, rest),
        with_kernel("one", "demo", ""),
        with_kernel("two", "exercise", ""),
        with_kernel("clock", "busy=2", clock),
    ];
    (policy("5 ms", &vms).within_seconds("120"), folder)
}

/// All but the first VM have said all that they had to say, in the time that it takes.
fn others_are_well(outcome: &Outcome) {
    for vm in &outcome.report["vms"].as_array().expect("VMs")[1..] {
        assert_eq!(vm["end"]["good"], true, "{vm}");
    }
    assert!(outcome.lines_of("one").contains(&"demo: done"));
    let exercised = outcome.lines_of("two");
    assert!(exercised.iter().any(|line| line.ends_with(", 0 wrong")));
    assert_eq!(counts_its_ticks(outcome, "clock"), 200);
}

/// A kernel that no exception handler of its own can help.
fn triple_fault() -> Vec<u8> {
    tiny_guest(|a| {
        a.xor(eax, eax)?;
        a.push(eax)?;
        a.push(eax)?;
        a.lidt(ptr(esp))?;
        a.int3()
    })
}

fn a_triple_fault_leaves_the_others_alone() {
    let (boot, _folder) = beside(&triple_fault(), "", "");
    others_are_well(&boot.args(COUNTED).run().ends_with(1));
}

fn a_crash_is_followed_by_as_many_restarts_as_the_policy_allows() {
    let restarts = "restart = \"on-crash\"\nrestart_limit = 2";
    let (boot, _folder) = beside(&triple_fault(), restarts, "");
    let outcome = boot.args(COUNTED).run().ends_with(1);
    let crashes = outcome
        .lines
        .iter()
        .filter(|line| line.contains("bad: crashed: "));
    assert_eq!(crashes.count(), 3, "{:#?}", outcome.lines);
    others_are_well(&outcome);
}

/// The console answers meanwhile: it starts the clock. The others end, the clock last, and the one
/// that does not end is turned off.
fn starves_nobody(bad: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) {
    let (boot, _folder) = beside(&tiny_guest(bad), "", "autostart = false");
    let console = [
        ("", "one: power-off"),
        ("\x1d", ">  1 bad "),
        ("nnns", ">  4 clock              running"),
        ("\r", "clock: power-off"),
        ("\x1d1", "bad has the keyboard"),
        ("\x1d", ">  1 bad"),
        ("s\r", "bad: turned-off"),
    ];
    let outcome = script(boot, &console).args(COUNTED).run().ends_with(0);
    others_are_well(&outcome);
}

fn a_vm_that_spins_with_interrupts_off_starves_nobody() {
    starves_nobody(|a| {
        let mut again = a.create_label();
        a.cli()?;
        a.set_label(&mut again)?;
        a.jmp(again)
    });
}

fn a_vm_that_floods_its_uart_starves_nobody() {
    starves_nobody(|a| {
        let mut again = a.create_label();
        a.mov(dx, 0x3f8)?;
        a.mov(al, 0x2e)?;
        a.set_label(&mut again)?;
        a.out(dx, al)?;
        a.jmp(again)
    });
}

/// Has the timer tick with every second pulse of its crystal, 596,591 times a second, and serves
/// it as often as it comes; `rest` is what the kernel does otherwise, again and again.
fn ticks_as_fast_as_it_goes(
    a: &mut CodeAssembler,
    rest: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Result<(), IcedError> {
    const TIMER: u32 = 0;
    let mut again = a.create_label();
    on_interrupt(a, TIMER, |a| {
        end_interrupt(a, TIMER)?;
        a.iretd()
    })?;
    // Channel 0, both bytes, mode 2; from 2 pulses on.
    for (port, value) in [(0x43, 0x34), (0x40, 2), (0x40, 0)] {
        out(a, port, value)?;
    }
    a.sti()?;
    a.set_label(&mut again)?;
    rest(a)?;
    a.jmp(again)
}

fn a_vm_whose_timer_ticks_as_fast_as_it_goes_starves_nobody_while_it_spins() {
    starves_nobody(|a| ticks_as_fast_as_it_goes(a, |a| a.nop()));
}

fn a_vm_whose_timer_ticks_as_fast_as_it_goes_starves_nobody_while_it_sleeps() {
    starves_nobody(|a| ticks_as_fast_as_it_goes(a, |a| a.hlt()));
}
