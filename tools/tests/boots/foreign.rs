//! Guests that nobody here wrote: GRUB, memtest86+, GNU Mach, and Linux to a prompt, a self-test
//! and the end.
//!
//! They come out of Debian's packages, whatever version those have: seen were GRUB 2.06, Linux
//! 6.1.192 (cloud-amd64) and 6.1.176 (686, 686-pae), BusyBox 1.35.0, memtest86+ 6.10 and GNU
//! Mach 1.8.

mod serial;

use libtest_mimic::Trial;
use tools::workspace::Workspace;

use crate::harness::{Boot, slow, trials};
use serial::{
    FIRST, a_megabyte_goes_through_the_serial_port_of_linux_686_pae_unharmed,
    a_megabyte_goes_through_the_serial_port_of_linux_686_unharmed,
    a_megabyte_goes_through_the_serial_port_unharmed, came_unharmed,
    what_is_typed_comes_in_unharmed,
};

trials![
    grub_answers_a_command,
    linux_comes_to_a_prompt_answers_and_ends,
    linux_takes_its_interrupts_from_the_apics,
];

/// What takes minutes.
pub fn slow_trials() -> Vec<Trial> {
    slow![
        a_megabyte_goes_through_the_serial_port_unharmed,
        a_megabyte_goes_through_the_serial_port_of_linux_686_unharmed,
        a_megabyte_goes_through_the_serial_port_of_linux_686_pae_unharmed,
        what_is_typed_comes_in_unharmed,
        linux_comes_to_a_prompt_in_6000_exits,
        gnu_mach_looks_for_what_is_to_run_on_it,
        gnu_mach_runs_under_shadow_paging,
        linux_passes_its_self_test,
        linux_686_passes_its_self_test,
        linux_686_passes_its_self_test_under_shadow_paging,
        linux_passes_its_self_test_under_shadow_paging,
        linux_passes_its_self_test_with_apics,
        linux_passes_its_self_test_with_apics_under_shadow_paging,
        linux_counts_by_the_apic_timer_without_deadlines,
        linux_686_pae_passes_its_self_test,
        linux_686_pae_passes_its_self_test_under_shadow_paging,
        linux_starts_in_long_mode,
        linux_starts_on_a_cpu_of_amd,
        linux_686_starts_on_a_cpu_of_amd,
        linux_starts_on_the_hosts_cpu,
        linux_finds_keyboard_and_mouse,
        memtest_in_long_mode_finds_no_error,
        memtest_in_long_mode_finds_no_error_under_shadow_paging,
        memtest_with_pae_finds_no_error,
        memtest_with_pae_finds_no_error_under_shadow_paging,
        two_linux_and_the_own_kernel_run_at_once,
    ]
}

/// A policy with one VM that boots a file of Debian's; `more` are further keys.
fn guest(file: &str, memory: &str, more: &str) -> String {
    format!(
        r#"
[vmm]
log = "error"

[set.base]
cpuid    = "emulate"
hlt      = "wait"
shutdown = "stop"

[[vm]]
name       = "guest"
image      = "debian:{file}"
memory     = "{memory}"
intercepts = "base"
devices    = ["pic", "pit", "uart", "rtc"]
{more}
"#
    )
}

/// It lists its memory: what is above the first of 64 MiB.
fn grub_answers_a_command() {
    // Its file has a Multiboot header as well, but it is linked to be coreboot's payload.
    let policy = guest("grub", "64 MiB", "protocol = \"coreboot\"");
    Boot::policy(&policy)
        .within_seconds("100")
        .args(["--expect", "grub> ", "--type", "lsmmap\r"])
        .args(["--until", "length = 0x3f00000"])
        .run()
        .ends_with(0);
}

/// A whole pass over 16 MiB; `more` is a further key. The screen that it sends has the count of
/// errors twice, and each time it is drawn.
fn memtest(file: &str, more: &str) {
    let line = "cmdline = \"console=ttyS0,115200 nosmp\"\n";
    let outcome = Boot::policy(&guest(file, "16 MiB", &format!("{line}{more}")))
        // It waits for minutes by a clock that it sets by the interval timer, and a busy host
        // makes that wrong.
        .within_seconds("1500")
        .args(["--until", "Pass:  1"])
        .run()
        .ends_with(0);
    let lines = outcome.lines.iter();
    let counts = lines.flat_map(|line| line.split("Errors: ").skip(1));
    let counts: Vec<&str> = counts
        .filter_map(|text| text.split_whitespace().next())
        .collect();
    assert!(!counts.is_empty(), "{:#?}", outcome.lines);
    assert!(counts.iter().all(|count| *count == "0"), "{counts:?}");
}

fn memtest_with_pae_finds_no_error() {
    memtest("memtest86+ia32", "");
}

fn memtest_in_long_mode_finds_no_error() {
    memtest("memtest86+x64", "");
}

fn memtest_with_pae_finds_no_error_under_shadow_paging() {
    memtest("memtest86+ia32", "npt = false");
}

fn memtest_in_long_mode_finds_no_error_under_shadow_paging() {
    memtest("memtest86+x64", "npt = false");
}

fn gnu_mach_looks_for_what_is_to_run_on_it() {
    gnu_mach("");
}

fn gnu_mach_runs_under_shadow_paging() {
    gnu_mach("npt = false");
}

fn gnu_mach(more: &str) {
    let line = "cmdline = \"console=com0\"\n";
    Boot::policy(&guest("gnumach", "64 MiB", &format!("{line}{more}")))
        .within_seconds("100")
        .args(["--until", "No bootstrap code loaded with the kernel!"])
        .run()
        .ends_with(0);
}

/// The text of a policy in policies/.
fn policy(name: &str) -> String {
    let file = Workspace::find()
        .root()
        .join("policies")
        .join(name)
        .with_extension("toml");
    std::fs::read_to_string(file).expect("the policy")
}

/// The last of 7 KB: counting instructions makes an exit slow.
const LAST: u32 = 100_999;

/// Boots Linux, and types what shows that it works. Instructions are counted: by a busy host's time,
/// a second of sleep is as long as the host pleases.
fn linux(policy: &str) {
    let numbers = format!("seq {FIRST} {LAST}\n");
    let outcome = Boot::policy(policy)
        .within_seconds("900")
        .args(["--icount", "--expect", "linux# "])
        .args(["--type", &format!("self-test {}\n", kib_of(policy))])
        .args(["--expect", "self-test: ", "--expect", "linux# "])
        .args(["--type", &numbers, "--expect", "linux# "])
        .args(["--type", "poweroff\n"])
        .run()
        .ends_with(0)
        .shows("self-test: passed");
    came_unharmed(&outcome, LAST);
}

/// How many KiB of memory the first VM of a policy has, by its line `memory = "N MiB"`.
fn kib_of(policy: &str) -> u32 {
    let size = policy.split("memory ").nth(1).expect("a memory");
    let size = size.split('"').nth(1).expect("a size");
    let mib = size.strip_suffix(" MiB").expect("MiB");
    mib.parse::<u32>().expect("a number") * 1024
}

/// Exits are counted where instructions are, so that a busy host changes nothing.
fn linux_comes_to_a_prompt_in_6000_exits() {
    let outcome = Boot::policy(&policy("linux"))
        .within_seconds("600")
        .args(["--icount", "--until", "linux# "])
        .run()
        .ends_with(0);
    let exits = &outcome.report["vms"][0]["exits"];
    let counts = exits.as_array().into_iter().flatten();
    let count: u64 = counts.filter_map(|exit| exit["count"].as_u64()).sum();
    assert!((1..=6_000).contains(&count), "{exits:#}");
}

fn linux_comes_to_a_prompt_answers_and_ends() {
    Boot::policy(&policy("linux"))
        .within_seconds("300")
        .args(["--expect", "linux# ", "--type", "uname -m\n"])
        .args(["--expect", "x86_64", "--expect", "linux# "])
        .args(["--type", "poweroff\n"])
        .run()
        .ends_with(0);
}

/// `/proc/interrupts` has the serial port on a pin of the I/O APIC, and the local timer's ticks.
fn linux_takes_its_interrupts_from_the_apics() {
    let outcome = Boot::policy(&policy("linux-apic"))
        .within_seconds("300")
        .args(["--expect", "linux# ", "--type", "cat /proc/interrupts\n"])
        .args(["--expect", "linux# ", "--type", "poweroff\n"])
        .run()
        .ends_with(0);
    let lines = outcome.lines_of("linux");
    let counted = |name: &str, by: &str| {
        let mut words = lines.iter().map(|line| line.split_whitespace());
        let count = words.find_map(|mut words| {
            let count = (words.next() == Some(name)).then(|| words.next())??;
            words.any(|word| word == by).then(|| count.parse().ok())?
        });
        count.is_some_and(|count: u32| count > 0)
    };
    assert!(counted("4:", "IO-APIC"), "{lines:#?}");
    assert!(counted("LOC:", "timer"), "{lines:#?}");
}

fn linux_passes_its_self_test_with_apics() {
    linux(&policy("linux-apic"));
}

fn linux_passes_its_self_test_with_apics_under_shadow_paging() {
    linux(&under_shadow_paging(&policy("linux-apic")));
}

/// The counter of the timer, which Linux measures by the interval timer first.
fn linux_counts_by_the_apic_timer_without_deadlines() {
    let hidden = "cpuid = { hide = [\"tsc-deadline\"] }\ninitrd ";
    linux(&policy("linux-apic").replace("initrd ", hidden));
}

fn linux_passes_its_self_test() {
    linux(&policy("linux"));
}

fn linux_passes_its_self_test_under_shadow_paging() {
    linux(&under_shadow_paging(&policy("linux")));
}

fn linux_686_passes_its_self_test_under_shadow_paging() {
    linux(&under_shadow_paging(&policy("linux-686")));
}

/// The same policy without nested paging.
fn under_shadow_paging(policy: &str) -> String {
    policy.replace("initrd ", "npt = false\ninitrd ")
}

fn linux_starts_in_long_mode() {
    let long = "protocol = \"linux-64\"\ninitrd ";
    linux(&policy("linux").replace("initrd ", long));
}

fn linux_686_passes_its_self_test() {
    linux(&policy("linux-686"));
}

fn linux_686_pae_passes_its_self_test() {
    linux(&with_pae());
}

fn linux_686_pae_passes_its_self_test_under_shadow_paging() {
    linux(&under_shadow_paging(&with_pae()));
}

fn with_pae() -> String {
    let pae = "debian:linux-686-pae";
    policy("linux-686").replace("debian:linux-686", pae)
}

fn linux_starts_on_a_cpu_of_amd() {
    starts_on("amd", &policy("linux"));
}

fn linux_686_starts_on_a_cpu_of_amd() {
    starts_on("amd", &policy("linux-686"));
}

fn linux_starts_on_the_hosts_cpu() {
    starts_on("host", &policy("linux"));
}

/// Linux knows whose CPU it is on, and finds there all that it looks for on one of AMD's: nothing
/// that it reads or writes of the CPU is refused.
fn starts_on(cpu: &str, policy: &str) {
    let outcome = Boot::policy(&policy.replace("initrd ", &format!("cpu = \"{cpu}\"\ninitrd ")))
        .within_seconds("300")
        .args(["--expect", "linux# "])
        .args(["--type", "grep -m1 vendor /proc/cpuinfo\n"])
        .args(["--expect", "AuthenticAMD", "--expect", "linux# "])
        .args(["--type", "dmesg | grep -i -A3 'unchecked MSR'\n"])
        .args(["--expect", "linux# ", "--type", "poweroff\n"])
        .run()
        .ends_with(0);
    let unchecked = |line: &&&str| line.contains("unchecked MSR access error");
    let lines = outcome.lines_of("linux");
    assert_eq!(lines.iter().find(unchecked), None, "{lines:#?}");
}

/// It asks each port of the controller who is there, and says so in what `dmesg` shows.
fn linux_finds_keyboard_and_mouse() {
    let both = "\"rtc\", \"keyboard\", \"mouse\"";
    let outcome = Boot::policy(&policy("linux-686").replace("\"rtc\"", both))
        .within_seconds("300")
        .args(["--expect", "linux# ", "--type", "dmesg | grep serio\n"])
        .args(["--expect", "linux# ", "--type", "poweroff\n"])
        .run()
        .ends_with(0);
    let said = outcome.lines_of("linux");
    for port in [
        "KBD port at 0x60,0x64 irq 1",
        "AUX port at 0x60,0x64 irq 12",
    ] {
        assert!(said.iter().any(|line| line.contains(port)), "{said:#?}");
    }
}

/// Each VM is typed to in its turn; `Ctrl-] N` gives the keyboard to VM N. The own kernel answers
/// before the minute and after it.
fn two_linux_and_the_own_kernel_run_at_once() {
    const MINUTE: u32 = 60;
    let first = policy("linux");
    let at = first.find("[[vm]]").expect("a VM");
    let second = first[at..].replace("\"linux\"", "\"second\"");
    let own = r#"
[[vm]]
name       = "own"
cmdline    = "hz=100"
memory     = "32 MiB"
intercepts = "base"
"#;
    let test = format!("self-test; sleep {MINUTE}; self-test");
    let outcome = Boot::policy(&format!("{first}\n{second}\n{own}"))
        .within_seconds("600")
        .args(["--icount", "--expect", "linux| linux# "])
        .args(["--type", &format!("{test}\n")])
        .args(["--type", "\x1d2", "--type", "\n"])
        .args(["--expect", "second| linux# "])
        .args(["--type", &format!("{test}; poweroff\n")])
        .args(["--type", "\x1d3", "--type", "help\n"])
        .args(["--expect", "own|   poweroff"])
        .args(["--expect", "second: halted"])
        .args(["--type", "ticks\n", "--expect", "own| ~ ticks: "])
        .args(["--type", "poweroff\n", "--expect", "own: power-off"])
        .args(["--type", "\x1d1", "--type", "poweroff\n"])
        .run()
        .ends_with(0);
    for vm in ["linux", "second"] {
        let passed = outcome.lines_of(vm);
        let passed = passed.iter().filter(|line| **line == "self-test: passed");
        assert_eq!(passed.count(), 2, "{vm}");
    }
    let own = outcome.lines_of("own");
    let mut ticks = own.iter().filter_map(|line| line.strip_prefix("~ ticks: "));
    let ticks: u32 = ticks.next().expect("ticks").parse().expect("a number");
    assert!(ticks >= MINUTE * 100, "{ticks}");
}
