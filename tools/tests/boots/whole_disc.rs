//! What `cargo image` makes: one disc with a menu of every policy, and the same from everywhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use tools::workspace::Workspace;

use crate::harness::{Boot, guest_kernel, slow, vmm};
use crate::images::qemu_with_disc;

/// The trials, which all take long.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![
        the_whole_disc_is_the_same_from_another_folder_and_small,
        the_whole_disc_boots_what_a_person_chooses_by_each_firmware,
    ]
}

fn the_whole_disc_is_the_same_from_another_folder_and_small() {
    const MOST_BYTES: usize = 16 << 20;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = disc_of(&mut vmm(), &folder.path().join("here.iso"));
    assert!(here.len() <= MOST_BYTES, "{} bytes", here.len());
    let guest = std::fs::read(guest_kernel()).expect("the guest kernel");
    let at = |bytes: &[u8]| bytes.windows(guest.len()).position(|part| part == guest);
    let first = at(&here).expect("the guest kernel is on the disc");
    assert_eq!(at(&here[first + 1..]), None, "it is there twice");
    let copy = folder.path().join("another place");
    copy_sources(Workspace::find().root(), &copy);
    let target = folder.path().join("target");
    borrow_dependencies(&target);
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["vmm"])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", &target);
    let there = disc_of(&mut cargo, &folder.path().join("there.iso"));
    assert!(here == there, "two builds in different folders differ");
}

/// Other people's crates for the host need not be compiled again to know that ours come out the same.
/// Where links cannot be made they are, and that takes longer.
fn borrow_dependencies(target: &Path) {
    let bare = Workspace::find().bare_metal_target();
    let here = bare.with_file_name("debug");
    let there = target.join("debug");
    std::fs::create_dir_all(&there).expect("a folder");
    for part in ["build", "deps", ".fingerprint"] {
        let mut links = Command::new("cp");
        links.arg("-al").arg(here.join(part)).arg(&there);
        let _ = links.output().expect("cp starts");
    }
}

/// What `image` makes, called by this command.
fn disc_of(command: &mut Command, file: &Path) -> Vec<u8> {
    let made = command
        .args(["image", "--output"])
        .arg(file)
        .output()
        .expect("the program starts");
    assert!(made.status.success(), "{made:?}");
    std::fs::read(file).expect("the disc")
}

/// The files under version control, as they are now.
fn copy_sources(from: &Path, to: &Path) {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(from)
        .output()
        .expect("git starts");
    for name in String::from_utf8_lossy(&listed.stdout).lines() {
        let (file, copy): (PathBuf, PathBuf) = (from.join(name), to.join(name));
        if file.is_file() {
            let folder = copy.parent().expect("a folder");
            std::fs::create_dir_all(folder).expect("a folder");
            std::fs::copy(file, copy).expect("a copy");
        }
    }
}

/// Whoever waits gets the policy of vm.toml. The others are chosen by name, and the last entry, on
/// BIOS alone, is the guest on the machine itself.
fn the_whole_disc_boots_what_a_person_chooses_by_each_firmware() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disc = folder.path().join("whole.iso");
    disc_of(&mut vmm(), &disc);
    let titles = titles(&disc, folder.path());
    let (bare, policies) = titles.split_last().expect("entries");
    assert_eq!(policies, of_own_kernel());
    let qemu = qemu_with_disc(folder.path(), &disc);
    let boot = |firmware: &str, title: &str| {
        let boot = Boot::command("run-qemu", true).arg(firmware);
        let boot = boot.arg("--qemu").arg(&qemu);
        let place = titles.iter().position(|other| other == title);
        // BIOS forgets keys that come faster than the menu is drawn.
        let down = titles[1..=place.expect("an entry")]
            .iter()
            .fold(boot.args(["--expect", &titles[1]]), |boot, title| {
                boot.args(["--keys", "<down>", "--expect", &format!("*{title}")])
            });
        down.args(["--keys", "<enter>"])
    };
    for firmware in ["--iso", "--uefi"] {
        Boot::command("run-qemu", true)
            .args([firmware, "--until", "demo| tollgate> ", "--qemu"])
            .arg(&qemu)
            .run()
            .ends_with(0);
        boot(firmware, "two-tenants")
            .run()
            .ends_with(0)
            .shows("careful| ")
            .shows("trusted| ");
    }
    let outcome = boot("--iso", bare)
        .args(["--until", "tollgate> "])
        .run()
        .ends_with(0);
    let of_a_vmm = |line: &&String| line.contains("demo| ") || line.contains("[vmm]");
    assert_eq!(outcome.lines.iter().find(of_a_vmm), None, "{outcome:?}");
}

/// What the disc's menu has, from its head on.
fn titles(disc: &Path, folder: &Path) -> Vec<String> {
    let file = folder.join("grub.cfg");
    let mut command = Command::new("xorriso");
    command.args(["-osirrox", "on", "-indev"]).arg(disc);
    command.args(["-extract", "/boot/grub/grub.cfg"]).arg(&file);
    let taken = command.output().expect("xorriso starts");
    assert!(taken.status.success(), "{taken:?}");
    let text = std::fs::read_to_string(file).expect("GRUB's configuration");
    let title = |line: &str| {
        Some(
            line.trim()
                .strip_prefix("menuentry '")?
                .split_once('\'')?
                .0
                .to_owned(),
        )
    };
    text.lines().filter_map(title).collect()
}

/// vm.toml, and the policies in policies/ that boot no kernel of Debian's.
fn of_own_kernel() -> Vec<String> {
    let folder = Workspace::find().root().join("policies");
    let mut names = Vec::new();
    for file in folder.read_dir().expect("policies") {
        let path = file.expect("a policy").path();
        let text = std::fs::read_to_string(&path).expect("a policy");
        if !text.contains("\"debian:") {
            let name = path.file_stem().expect("a name");
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    names.insert(0, "vm".into());
    names
}
