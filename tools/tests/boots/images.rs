//! Discs of one policy, on machines that boot them: each runs what QEMU's own loader runs.

use std::path::{Path, PathBuf};

use iced_x86::code_asm::{al, dx, esi};
use tools::image;
use tools::image::disc::Disc;
use tools::image::menu::{Entry, Menu, Start};
use tools::run::policy::{Brought, Given, Policy};
use tools::setup::{self, Need};
use tools::workspace::Workspace;

use crate::harness::{Boot, Outcome, qemu_with, slow, trials};
use crate::in_a_vm::{POLICY, count, runs_like_the_bare_machine};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    bios_boots_the_demo_from_a_disc,
    bios_boots_the_demo_from_a_stick,
    uefi_boots_the_demo_from_a_disc,
    uefi_boots_the_demo_from_a_stick,
    the_vmm_runs_where_the_loader_puts_it,
    a_disc_boots_another_kernel_in_a_vm,
    ryzen_in_bochs_runs_the_demo_and_is_switched_off,
    phenom_in_bochs_runs_the_demo_and_is_switched_off,
    typing_reaches_the_shell_in_bochs,
    a_triple_fault_in_bochs_ends_the_vm_and_not_the_machine,
    a_task_switch_in_bochs_is_the_exit_that_qemu_never_takes,
    the_text_of_until_ends_bochs_after_the_vmm_has_told_its_counts,
    a_vmm_that_halts_in_bochs_is_not_waited_for,
    keys_reach_the_keyboard_in_bochs,
    the_cpu_filters_pause_where_it_can,
    the_disc_of_a_policy_is_the_same_each_time,
];

/// The trials that take long.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![the_guests_first_line_comes_as_soon_from_any_disc_and_pixels_are_drawn_fast]
}

fn machine(name: &str, cmdline: &str) -> String {
    POLICY.replace("qemu-tcg", name).replace("CMDLINE", cmdline)
}

fn bochs(name: &str, cmdline: &str) -> Boot {
    Boot::bochs(&machine(name, cmdline))
}

fn boots_the_demo<const N: usize>(options: [&str; N]) {
    let boot = Boot::policy(&machine("qemu-tcg", "demo")).args(options);
    runs_like_the_bare_machine(boot, "demo", 30);
}

fn bios_boots_the_demo_from_a_disc() {
    boots_the_demo(["--iso"]);
}

fn bios_boots_the_demo_from_a_stick() {
    boots_the_demo(["--stick"]);
}

fn uefi_boots_the_demo_from_a_disc() {
    boots_the_demo(["--uefi"]);
}

fn uefi_boots_the_demo_from_a_stick() {
    boots_the_demo(["--uefi", "--stick"]);
}

/// The VMM asks the loader for a place from 1 MiB on. Here it asks for one from 32 MiB on, which
/// is what it gets where the firmware holds all that is below.
fn the_vmm_runs_where_the_loader_puts_it() {
    // A Multiboot 2 tag: relocatable, optional, 24 bytes, and the lowest address.
    const ASKING: [u8; 8] = [10, 0, 1, 0, 24, 0, 0, 0];
    const ELSEWHERE: u32 = 32 << 20;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policy = machine("qemu-tcg", "demo");
    let config = folder.path().join("vm.toml");
    std::fs::write(&config, &policy).expect("a policy");
    let (vmm, _) = crate::binary::build(&["--config".as_ref(), config.as_os_str()]);
    let mut elf = std::fs::read(vmm).expect("the VMM");
    let asks = elf.windows(ASKING.len()).position(|bytes| bytes == ASKING);
    let lowest = asks.expect("the VMM is relocatable") + ASKING.len();
    elf[lowest..lowest + 4].copy_from_slice(&ELSEWHERE.to_le_bytes());
    let vmm = folder.path().join("tollgate");
    std::fs::write(&vmm, elf).expect("a VMM");

    setup::ensure(&Workspace::find(), &[Need::ImageTools]).expect("set-up");
    let mut disc = Disc::new();
    let kernel = disc.add_kernel("tollgate", &vmm).expect("a kernel");
    let start = Start::Vmm {
        kernel,
        words: String::new(),
        modules: Vec::new(),
    };
    let menu = Menu {
        entries: vec![Entry {
            title: "elsewhere".into(),
            start,
        }],
        wait_seconds: None,
    };
    let file = folder.path().join("elsewhere.iso");
    disc.write(&menu, &file).expect("a disc");
    let boot = Boot::policy(&policy)
        .args(["--uefi", "--qemu"])
        .arg(qemu_with_disc(folder.path(), &file));
    runs_like_the_bare_machine(boot, "demo", 30);
}

/// QEMU with this disc in the drive, whichever it is told.
pub fn qemu_with_disc(folder: &Path, disc: &Path) -> PathBuf {
    let disc = disc.display();
    let script = format!(
        "case $word in *,file=*.iso) word=${{word%,file=*}},file={disc};; esac\n\
         set -- \"$@\" \"$word\"\ndone\n"
    );
    qemu_with(folder, &script)
}

fn a_disc_boots_another_kernel_in_a_vm() {
    let kernel = tiny_guest(|a| a.ud2());
    let outcome = Boot::policy(&machine("qemu-tcg", ""))
        .arg("--iso")
        .kernel(&kernel)
        .run()
        .ends_with(1);
    assert_eq!(how(&outcome), "crashed", "{outcome:?}");
}

fn ryzen_in_bochs_runs_the_demo_and_is_switched_off() {
    runs_the_demo_and_is_switched_off("bochs-ryzen");
}

fn phenom_in_bochs_runs_the_demo_and_is_switched_off() {
    runs_the_demo_and_is_switched_off("bochs-phenom");
}

/// The VMM does it: a Bochs that went on would be ended from outside, and say so.
fn runs_the_demo_and_is_switched_off(name: &str) {
    let outcome = runs_like_the_bare_machine(bochs(name, "demo"), "demo", 30);
    let ended = &outcome.report["ended"];
    assert_eq!(ended["process"], "exit status: 1", "{outcome:?}");
}

fn typing_reaches_the_shell_in_bochs() {
    bochs("bochs-ryzen", "")
        .args(["--expect", "tollgate> ", "--type", "fault\\n"])
        .args(["--expect", "tollgate> ", "--type", "poweroff\\n"])
        .run()
        .ends_with(0)
        .shows("demo| tollgate> fault")
        .shows("demo| fault: survived");
}

fn a_triple_fault_in_bochs_ends_the_vm_and_not_the_machine() {
    let kernel = tiny_guest(|a| a.ud2());
    for name in ["bochs-ryzen", "bochs-phenom"] {
        let outcome = bochs(name, "").kernel(&kernel).run().ends_with(1);
        assert_eq!(how(&outcome), "crashed", "{outcome:?}");
    }
}

/// QUIRK: QEMU 7.2 switches tasks past the intercept; Bochs exits, as the manual has it.
fn a_task_switch_in_bochs_is_the_exit_that_qemu_never_takes() {
    let outcome = bochs("bochs-ryzen", "exercise").run().ends_with(0);
    // To the second task and back, twice.
    assert_eq!(count(&outcome, "demo", "task-switch"), 4);
}

fn the_text_of_until_ends_bochs_after_the_vmm_has_told_its_counts() {
    let outcome = bochs("bochs-ryzen", "")
        .args(["--until", "tollgate> "])
        .run()
        .ends_with(0);
    let exits = &outcome.report["vms"][0]["exits"];
    assert!(
        exits.as_array().is_some_and(|exits| !exits.is_empty()),
        "{outcome:?}"
    );
}

fn a_vmm_that_halts_in_bochs_is_not_waited_for() {
    // A policy for a processor with RDPRU, which Bochs' Ryzen has not.
    let policy = machine("zen4", "").replace("[set.base]", "[set.base]\nrdpru = \"count\"");
    Boot::bochs(&policy).run().ends_with(3).says("RDPRU");
}

fn keys_reach_the_keyboard_in_bochs() {
    bochs("bochs-ryzen", "")
        .args(["--expect", "tollgate> ", "--keys", "Help!\\n"])
        .args(["--expect", "tollgate> ", "--keys", "poweroff\\n"])
        .run()
        .ends_with(0)
        .shows("demo| tollgate> Help!")
        .shows("demo| tollgate> poweroff");
}

/// QEMU has no filter; Bochs' Ryzen has one that counts down from each entry on, and its Phenom
/// has none.
fn the_cpu_filters_pause_where_it_can() {
    const PAUSES: u32 = 1000;
    let kernel = tiny_guest(|a| {
        let mut again = a.create_label();
        a.mov(esi, PAUSES)?;
        a.set_label(&mut again)?;
        a.pause()?;
        a.dec(esi)?;
        a.jnz(again)?;
        power_off(a)
    });
    let boot = |name: &str, answer: &str| {
        let answer = format!("[set.base]\npause = {answer}");
        let policy = machine(name, "").replace("[set.base]", &answer);
        Boot::bochs(&policy).kernel(&kernel).run()
    };
    let every = boot("bochs-ryzen", "\"count\"").ends_with(0);
    assert_eq!(count(&every, "demo", "pause"), u64::from(PAUSES));
    let filtered = "{ action = \"count\", filter = 99 }";
    let few = boot("bochs-ryzen", filtered).ends_with(0);
    let exits = count(&few, "demo", "pause");
    assert!((1..=10).contains(&exits), "{exits} exits");
    boot("bochs-phenom", filtered)
        .ends_with(2)
        .says("`filter` needs the feature `pause-filter`, which bochs-phenom lacks");
    // For a processor that has it, on one that has not.
    Boot::bochs(&machine("zen1", "").replace(
        "[set.base]",
        "[set.base]\npause = { action = \"count\", filter = 99, threshold = 9 }",
    ))
    .run()
    .ends_with(3)
    .says("this CPU lacks `pause-threshold`");
}

/// How the first VM ended, by the report.
fn how(outcome: &Outcome) -> &str {
    outcome.report["vms"][0]["end"]["how"]
        .as_str()
        .unwrap_or_default()
}

fn the_disc_of_a_policy_is_the_same_each_time() {
    let workspace = Workspace::find();
    setup::ensure(&workspace, &[Need::ImageTools]).expect("set-up");
    let config = workspace.root().join("vm.toml");
    let policy = Policy::load(&workspace, &config).expect("the policy");
    let modules = policy
        .modules(&workspace, &Given::default(), Brought::All)
        .expect("the files");
    let disc = || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("tollgate.iso");
        image::of_run(&workspace, &config, &modules, "", &file).expect("a disc");
        std::fs::read(file).expect("the disc")
    };
    let first = disc();
    // The next disc is made in another second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(first == disc(), "two discs of one policy differ");
}

/// From the boot loader's hand-over on, in instructions, which are told as nanoseconds. What QEMU's
/// own loader does is the measure. A screen of pixels is painted 25 times a second, and may take a
/// quarter of that.
fn the_guests_first_line_comes_as_soon_from_any_disc_and_pixels_are_drawn_fast() {
    const MOST_US: u64 = 10_000;
    let kernel = tiny_guest(|a| {
        for byte in b"line\n" {
            a.mov(dx, 0x3f8)?;
            a.mov(al, u32::from(*byte))?;
            a.out(dx, al)?;
        }
        power_off(a)
    });
    let run = |medium: &[&str]| {
        // Firmware takes long where instructions are counted.
        let boot = Boot::policy(&machine("qemu-tcg", ""))
            .within_seconds("900")
            .arg("--icount");
        let boot = medium.iter().fold(boot, |boot, option| boot.arg(*option));
        boot.kernel(&kernel).run().ends_with(0).shows("demo| line")
    };
    let ticks = |outcome: &Outcome| outcome.report["ticks"].as_u64().expect("a figure");
    let usual = ticks(&run(&[]));
    for medium in ["--iso", "--uefi"] {
        let outcome = run(&[medium]);
        let here = ticks(&outcome);
        println!("{medium}: {here} instructions to the first line, {usual} without a disc");
        assert!(
            here <= usual + usual / 2,
            "{medium}: {here}, {usual} without"
        );
        let drawn = outcome.lines.iter().find_map(|line| {
            let (screen, us) = line.strip_suffix(" us")?.rsplit_once(' ')?;
            screen.starts_with("[vmm] screen: ").then_some(us)
        });
        assert_eq!(drawn.is_some(), medium == "--uefi", "{outcome:?}");
        if let Some(us) = drawn {
            println!("{medium}: {us} us to draw a screen");
            let us: u64 = us.parse().expect("a figure");
            assert!(us <= MOST_US, "{us} us to draw a screen");
        }
    }
}
