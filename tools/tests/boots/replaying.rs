//! Replays: a recorded run is the same again, and what was changed since is where it differs.

use std::path::Path;

use iced_x86::code_asm::{CodeAssembler, eax, edi};

use crate::harness::{Boot, slow, trials, vmm};
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    a_record_replays_the_same_and_a_change_is_named_where_it_shows,
    what_cannot_be_recorded_or_replayed_is_refused_with_the_reason,
];

/// Whole guests under policies that stop them for everything.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![records_of_whole_guests_replay_the_same]
}

const ROUNDS: u32 = 50;

/// Reads CPUID and the time-stamp counter so often.
fn kernel() -> Vec<u8> {
    tiny_guest(|assembler: &mut CodeAssembler| {
        let mut again = assembler.create_label();
        assembler.mov(edi, ROUNDS)?;
        assembler.set_label(&mut again)?;
        assembler.mov(eax, 1)?;
        assembler.cpuid()?;
        assembler.rdtsc()?;
        assembler.dec(edi)?;
        assembler.jnz(again)?;
        power_off(assembler)
    })
}

fn policy(intercepts: &str) -> String {
    format!(
        "[set.base]\n{intercepts}\nshutdown = \"stop\"\n\n[[vm]]\nname = \"demo\"\n\
         memory = \"16 MiB\"\nintercepts = \"base\"\n"
    )
}

/// `cargo vmm replay`: its status, and all that it said.
fn replay(record: &Path, config: Option<&Path>) -> (Option<i32>, String) {
    let mut command = vmm();
    command.arg("replay").arg(record);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    let finished = command.output().expect("the program starts");
    let [out, talk] =
        [&finished.stdout, &finished.stderr].map(|text| String::from_utf8_lossy(text));
    (finished.status.code(), format!("{out}{talk}"))
}

fn a_record_replays_the_same_and_a_change_is_named_where_it_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    let [record, config] = ["run.journal", "vm.toml"].map(|name| folder.path().join(name));
    let recorded = policy("cpuid = \"emulate\"\nrdtsc = \"emulate\"");
    std::fs::write(&config, &recorded).expect("a policy");
    let outcome = Boot::policy(&recorded)
        .kernel(&kernel())
        .arg("--record")
        .arg(&record)
        .run()
        .ends_with(0);
    let exits = outcome.report["vms"][0]["exits"].as_array().expect("exits");
    let counted: u64 = exits.iter().filter_map(|exit| exit["count"].as_u64()).sum();
    assert!(counted > 2 * u64::from(ROUNDS), "{counted}");
    let (status, said) = replay(&record, Some(&config));
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains(&format!("the same: {counted} exits")),
        "{said}"
    );

    // Each change, and what it makes of which exit.
    for (changed, differs) in [
        (
            "cpuid = \"deny\"\nrdtsc = \"emulate\"",
            &["of VM `demo`: cpuid", "control.event_injection 0x80000306"][..],
        ),
        (
            "cpuid = \"emulate\"\nrdtsc = { handler = \"coarse_tsc\" }",
            &["of VM `demo`: rdtsc", "save.rax: recorded 0x"],
        ),
        (
            "cpuid = \"emulate\"\nrdtsc = \"emulate\"\npushf = \"count\"",
            &["the start of VM `demo`", "this policy intercepts pushf"],
        ),
    ] {
        std::fs::write(&config, policy(changed)).expect("a policy");
        let (status, said) = replay(&record, Some(&config));
        assert_eq!(status, Some(1), "{changed}: {said}");
        for words in differs {
            assert!(said.contains(words), "{changed}: no {words:?} in {said}");
        }
    }
}

fn what_cannot_be_recorded_or_replayed_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let record = folder.path().join("record");
    let shadowed = policy("cpuid = \"emulate\"") + "npt = false\n";
    Boot::policy(&shadowed)
        .arg("--record")
        .arg(&record)
        .run()
        .ends_with(2)
        .says("VM `demo` has `npt = false`");
    std::fs::write(&record, "no record").expect("a file");
    let (status, said) = replay(&record, None);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("run-qemu --record"), "{said}");
}

fn records_of_whole_guests_replay_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let record = folder.path().join("record");
    for text in [
        include_str!("../../../policies/count-everything.toml"),
        include_str!("../../../policies/two-tenants.toml"),
    ] {
        Boot::policy(text)
            .arg("--icount")
            .arg("--record")
            .arg(&record)
            .run()
            .ends_with(0);
        // The policy of the run is gone with its folder.
        let config = folder.path().join("vm.toml");
        std::fs::write(&config, text).expect("a policy");
        let (status, said) = replay(&record, Some(&config));
        assert_eq!(status, Some(0), "{said}");
    }
}
