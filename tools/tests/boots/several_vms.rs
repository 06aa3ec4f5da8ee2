//! Several VMs at once: switched among, typed into, stopped and started again at the console.

use iced_x86::code_asm::{al, dx, edi, esi};

use crate::harness::{Boot, Outcome, slow, trials, vmm};
use crate::in_a_vm::count;
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    four_vms_are_switched_among_and_typed_into,
    a_vm_is_stopped_and_started_and_reset_at_the_console,
    each_press_of_the_switch_counts_even_in_one_breath,
    a_paused_vm_stands_and_goes_on,
    a_paused_vm_s_clock_stands,
    the_last_vm_can_be_started_again_while_the_console_is_open,
    a_vm_without_autostart_waits_for_a_person,
    vms_that_print_at_once_keep_their_lines_whole,
    a_busy_guest_counts_its_ticks_although_others_run,
    the_list_shows_each_vm_s_share_by_weight_and_e_its_own_exits,
    the_power_button_switches_a_guest_off_that_listens_and_is_told_of_one_that_does_not,
];

/// The trials that take long.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![figures_of_several_vms_are_within_their_limits]
}

/// Shares by weight, ticks, a change of vCPU and an exit among eight.
fn figures_of_several_vms_are_within_their_limits() {
    let bench = vmm().args(["bench-exits", "--several"]).output();
    let bench = bench.expect("the program starts");
    assert_eq!(bench.status.code(), Some(0), "{bench:?}");
}

const HEAD: &str = r#"
[vmm]
quantum = "QUANTUM"

[set.base]
cpuid    = "emulate"
hlt      = "wait"
vmmcall  = "hypercall"
shutdown = "stop"
"#;

/// A VM with the guest kernel; `rest` is lines of its table.
pub fn with_kernel(name: &str, cmdline: &str, rest: &str) -> String {
    vm(name, "guest", &format!("cmdline = \"{cmdline}\"\n{rest}"))
}

pub fn vm(name: &str, image: &str, rest: &str) -> String {
    format!(
        "[[vm]]\nname = \"{name}\"\nimage = \"{image}\"\nmemory = \"16 MiB\"\n\
         intercepts = \"base\"\n{rest}\n"
    )
}

/// A policy of these VMs. With a long quantum no VM interrupts another's line on the log, so
/// that a script can wait for whole prompts.
pub fn policy(quantum: &str, vms: &[String]) -> Boot {
    Boot::policy(&format!(
        "{}{}",
        HEAD.replace("QUANTUM", quantum),
        vms.concat()
    ))
}

/// The guest kernel's shell in a VM each.
fn shells(names: &[&str]) -> Boot {
    let vms: Vec<_> = names.iter().map(|name| with_kernel(name, "", "")).collect();
    let boot = policy("500 ms", &vms).within_seconds("60");
    names.iter().fold(boot, |boot, _| boot.args(PROMPT))
}

/// Instructions are counted, so that how busy the host is changes nothing, and few make a second,
/// so that it is soon over.
pub const COUNTED: [&str; 3] = ["--", "-icount", "shift=6,sleep=off"];

const PROMPT: [&str; 2] = ["--expect", "tollgate> "];

/// Types this, if anything, then waits until that came.
fn and(boot: Boot, types: &str, awaits: &str) -> Boot {
    let boot = match types {
        "" => boot,
        _ => boot.args(["--type", types]),
    };
    boot.args(["--expect", awaits])
}

/// Types and awaits these, one after the other.
pub fn script(boot: Boot, steps: &[(&str, &str)]) -> Boot {
    let steps = steps.iter();
    steps.fold(boot, |boot, (types, awaits)| and(boot, types, awaits))
}

fn play(boot: Boot, steps: &[(&str, &str)]) -> Outcome {
    script(boot, steps).run()
}

fn four_vms_are_switched_among_and_typed_into() {
    let outcome = play(
        shells(&["a", "b", "c", "d"]),
        &[
            ("\x1d3", "c has the keyboard"),
            ("fault\n", "tollgate> "),
            ("\x1d2", "b has the keyboard"),
            ("poweroff\n", "b: power-off"),
            ("\x1d4", "d has the keyboard"),
            ("poweroff\n", "d: power-off"),
            ("\x1d", ">  4 d"),
            ("1", "a has the keyboard"),
            ("poweroff\n", "a: power-off"),
            ("\x1d3", "c has the keyboard"),
            ("poweroff\n", "c: power-off"),
        ],
    )
    .ends_with(0);
    assert!(outcome.lines_of("c").contains(&"fault: survived"));
    for other in ["a", "b", "d"] {
        assert!(!outcome.lines_of(other).contains(&"fault: survived"));
    }
}

fn a_vm_is_stopped_and_started_and_reset_at_the_console() {
    let outcome = play(
        shells(&["a", "b"]),
        &[
            ("\x1d2", "b has the keyboard"),
            ("\x1ds", "b: turned-off"),
            ("\x1d", "turned-off"),
            ("s", "b: 16384 KiB of memory"),
            ("\r", "b has the keyboard"),
            ("", "tollgate> "),
            ("\x1dr", "b: turned-off: reset at the console"),
            ("\r", "b has the keyboard"),
            ("", "tollgate> "),
            ("poweroff\n", "b: power-off"),
            ("\x1d1", "a has the keyboard"),
            ("poweroff\n", "a: power-off"),
        ],
    )
    .ends_with(0);
    let starts = outcome.lines_of("b");
    let prompts = starts.iter().filter(|line| line.starts_with("tollgate> "));
    assert_eq!(prompts.count(), 3, "{starts:#?}");
}

/// Off and on; then off, on and off, or the run would not end.
fn each_press_of_the_switch_counts_even_in_one_breath() {
    let outcome = play(
        shells(&["a", "b"]),
        &[
            ("\x1d2", "b has the keyboard"),
            ("\x1dss\r", "b: turned-off"),
            ("", "b| tollgate> "),
            ("\x1dsss\r", "b: turned-off"),
            ("\x1d1", "a has the keyboard"),
            ("poweroff\n", "a: power-off"),
        ],
    )
    .ends_with(0);
    let starts = outcome.lines_of("b");
    let prompts = starts.iter().filter(|line| line.starts_with("tollgate> "));
    assert_eq!(prompts.count(), 2, "{starts:#?}");
}

fn a_paused_vm_stands_and_goes_on() {
    play(
        shells(&["a"]),
        &[
            ("\x1dp", "paused"),
            ("\r", "a has the keyboard"),
            ("poweroff\n\x1d", "paused"),
            ("p", "exits/s"),
            ("\r", "a: power-off"),
        ],
    )
    .ends_with(0);
}

/// A guest of three seconds, paused while another one counts one of its own: it counts three, and they
/// are over a second later.
fn a_paused_vm_s_clock_stands() {
    let vms = [
        with_kernel("a", "busy=3", ""),
        with_kernel("b", "busy=1", "autostart = false"),
    ];
    let steps = [
        ("", "a| keyboard: ready"),
        ("\x1dp", "paused"),
        ("ns", "b| ~ busy: "),
        ("1\x1dp", "running"),
        ("\r", "a| ~ busy: "),
    ];
    let boot = script(policy("10 ms", &vms).within_seconds("60"), &steps);
    let outcome = boot.args(COUNTED).run().ends_with(0);
    assert_eq!(counts_its_ticks(&outcome, "b"), 100);
    assert_eq!(counts_its_ticks(&outcome, "a"), 300);
    let hz = outcome.report["tsc_hz"].as_f64().expect("a rate");
    let seconds = outcome.report["cycles"].as_f64().expect("cycles") / hz;
    assert!(seconds > 3.99, "the clock did not stand: {seconds}");
}

fn the_last_vm_can_be_started_again_while_the_console_is_open() {
    play(
        shells(&["a"]),
        &[
            ("\x1ds", "a: turned-off"),
            ("s", "a: 16384 KiB of memory"),
            ("\r", "tollgate> "),
            ("poweroff\n", "a: power-off"),
        ],
    )
    .ends_with(0);
}

fn a_vm_without_autostart_waits_for_a_person() {
    let vms = [
        with_kernel("a", "", ""),
        with_kernel("b", "demo", "autostart = false"),
    ];
    let outcome = play(
        policy("10 ms", &vms).within_seconds("60").args(PROMPT),
        &[
            ("\x1d2", "b is off"),
            ("\x1ds", "b: 16384 KiB of memory"),
            ("1", "a has the keyboard"),
            ("", "b: power-off"),
            ("poweroff\n", "a: power-off"),
        ],
    )
    .ends_with(0);
    assert!(outcome.lines_of("b").contains(&"demo: done"));
}

fn vms_that_print_at_once_keep_their_lines_whole() {
    const LINES: u32 = 500;
    const LETTERS: u32 = 60;
    let kernel = |letter: u8| {
        tiny_guest(|a| {
            let (mut line, mut more) = (a.create_label(), a.create_label());
            a.mov(dx, 0x3f8)?;
            a.mov(esi, LINES)?;
            a.set_label(&mut line)?;
            a.mov(edi, LETTERS)?;
            a.mov(al, u32::from(letter))?;
            a.set_label(&mut more)?;
            a.out(dx, al)?;
            a.dec(edi)?;
            a.jnz(more)?;
            a.mov(al, u32::from(b'\n'))?;
            a.out(dx, al)?;
            a.dec(esi)?;
            a.jnz(line)?;
            power_off(a)
        })
    };
    let folder = tempfile::tempdir().expect("a folder");
    let letters = [b'x', b'y', b'z'];
    let vms = letters.map(|letter| {
        let name = char::from(letter).to_string();
        let file = folder.path().join(&name);
        std::fs::write(&file, kernel(letter)).expect("a kernel");
        vm(&name, file.to_str().expect("a path"), "")
    });
    // A line that rests is sent, and on a busy host a guest may rest in the middle of one. Counted,
    // the guests' time is their own.
    let boot = policy("1 ms", &vms).within_seconds("60").arg("--icount");
    let outcome = boot.run().ends_with(0);
    for letter in letters.map(char::from) {
        let lines = outcome.lines_of(&letter.to_string());
        let whole = letter.to_string().repeat(LETTERS as usize);
        assert_eq!(lines.len(), LINES as usize, "{:#?}", outcome.lines);
        assert!(lines.iter().all(|line| **line == whole), "{lines:#?}");
    }
}

/// The first of three busy guests to have counted the ticks of a second has taken a second for
/// it. The fourth, which does without late ticks, is far behind.
fn a_busy_guest_counts_its_ticks_although_others_run() {
    let vms: Vec<_> = [("a", ""), ("b", ""), ("c", ""), ("d", "ticks = \"drop\"")]
        .map(|(name, rest)| with_kernel(name, "busy=1", rest))
        .into();
    let outcome = policy("10 ms", &vms)
        .within_seconds("60")
        .args(["--until", " cycles"])
        .args(COUNTED)
        .run()
        .ends_with(0);
    let first = outcome
        .lines
        .iter()
        .find(|line| line.contains("| ~ busy: "));
    let first = first.and_then(|line| line.split('|').next()).expect("a VM");
    assert_ne!(first, "d");
    assert_eq!(counts_its_ticks(&outcome, first), 100);
}

/// The third VM is started when the list is shown first, and is over when it is shown last. Until
/// then the others have run by their weights.
fn the_list_shows_each_vm_s_share_by_weight_and_e_its_own_exits() {
    let vms = [
        with_kernel("light", "busy=60", "weight = 1"),
        with_kernel("heavy", "busy=60", "weight = 3"),
        with_kernel("clock", "busy=2", "weight = 4\nautostart = false"),
    ];
    let steps = [
        ("", "heavy| keyboard: ready"),
        ("\x1dnns\r", "clock has the keyboard"),
        ("", "clock: power-off"),
        ("\x1d", "Enter to the guest"),
        ("1\x1de", "exits of light:"),
        ("n", ">  2 heavy"),
        ("e", "exits of heavy:"),
        ("s", "heavy: turned-off"),
        ("1\x1ds\r", "light: turned-off"),
    ];
    let boot = script(policy("10 ms", &vms).within_seconds("120"), &steps);
    let outcome = boot.args(COUNTED).run().ends_with(0);
    let over = outcome
        .lines
        .iter()
        .position(|line| line.starts_with("clock| ~ busy: "));
    let last = &outcome.lines[over.expect("an end")..];
    let row = |name: &str| {
        let rows = last.iter().filter_map(|line| line.strip_prefix("[vmm] "));
        let mut words = rows.map(|row| row.trim_start_matches('>').split_whitespace());
        let row = words.find(|words| words.clone().nth(1) == Some(name));
        row.expect("a row").map(str::to_owned).collect::<Vec<_>>()
    };
    let number = |text: &str| text.parse::<f64>().expect("a number");
    let [light, heavy, clock] = ["light", "heavy", "clock"].map(row);
    for (row, least) in [(&light, 0.2), (&heavy, 0.6)] {
        assert_eq!(row[2], "running");
        assert!(number(&row[3]) >= least, "{row:?}");
        assert!(number(&row[7]) > 0.0, "no exits: {row:?}");
        assert_eq!(row[8], "16");
    }
    assert_eq!((&*clock[2], &*clock[8]), ("power-off", "0"));
    let shares = [&light, &heavy].map(|row| number(&row[5]));
    let ratio = shares[1] / shares[0];
    assert!((2.8..3.2).contains(&ratio), "{shares:?}");
    assert!(shares[0] > 9.0, "{shares:?}");

    let [light, heavy] = ["light", "heavy"].map(|name| {
        let heading = format!("[vmm] exits of {name}:");
        let rows = last.iter().skip_while(|line| **line != heading).skip(1);
        let rows = rows.map_while(|line| {
            let (count, exit) = line.strip_prefix("[vmm] ")?.trim_start().split_once("  ")?;
            Some((exit.to_owned(), count.parse::<u64>().ok()?))
        });
        rows.collect::<Vec<_>>()
    });
    for (name, exits) in [("light", &light), ("heavy", &heavy)] {
        assert!(exits.iter().any(|(exit, _)| exit == "ioio"), "{exits:?}");
        for (exit, shown) in exits {
            let in_the_end = count(&outcome, name, exit);
            assert!(
                0 < *shown && *shown <= in_the_end,
                "{name}: {exit}: {shown}"
            );
        }
    }
    assert_ne!(light, heavy);
}

/// How many ticks of its timer, which ticks a hundred times a second, a busy guest says it has
/// counted. Within a hundredth there were as many in the time that it says it took.
pub fn counts_its_ticks(outcome: &Outcome, name: &str) -> u32 {
    let hz = outcome.report["tsc_hz"].as_f64().expect("a rate");
    let figures = outcome.lines_of(name).into_iter().find_map(|line| {
        let (ticks, cycles) = line.strip_prefix("~ busy: ")?.split_once(" ticks, ")?;
        let cycles = cycles.strip_suffix(" cycles")?;
        Some((ticks.parse::<u32>().ok()?, cycles.parse::<f64>().ok()?))
    });
    let (ticks, cycles) = figures.expect("figures");
    let ratio = f64::from(ticks) / 100.0 / (cycles / hz);
    assert!((0.99..1.01).contains(&ratio), "{name}: {ratio}");
    ticks
}

fn the_power_button_switches_a_guest_off_that_listens_and_is_told_of_one_that_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("deaf");
    let deaf = tiny_guest(|a| {
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.jmp(again)
    });
    std::fs::write(&file, deaf).expect("a kernel");
    let vms = [
        with_kernel("a", "", ""),
        vm("deaf", file.to_str().expect("a path"), ""),
    ];
    let boot = policy("10 ms", &vms).within_seconds("60").args(PROMPT);
    play(
        boot,
        &[
            ("\x1db", "a: its power button is pressed"),
            ("", "a: power-off"),
            ("b", "a is off"),
            ("2", "deaf has the keyboard"),
            ("\x1db", "deaf does not listen for its power button"),
            ("s\r", "deaf: turned-off"),
        ],
    )
    .ends_with(0);
}
