//! Traces and the live view: what they say agrees with the counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use iced_x86::code_asm::{CodeAssembler, dx, eax, edi};
use serde_json::Value;
use tools::setup::{self, Need};
use tools::workspace::Workspace;

use crate::harness::{Boot, Outcome, slow, trials, vmm};
use crate::ledger;
use crate::tiny_guest::{power_off, tiny_guest};

trials![
    a_trace_has_every_exit_that_the_report_counts,
    every_way_to_look_at_the_exits_agrees_over_vms_and_lives,
    a_vm_that_dies_leaves_its_last_exits,
    the_live_view_reads_the_counts_of_a_running_machine,
    wrong_files_are_refused_with_what_to_do,
];

/// Tests that need Perfetto's own Python package.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![perfettos_own_package_reads_every_packet]
}

const CPUIDS: u64 = 300;

/// Executes CPUID so often, and then `end`.
fn kernel(end: impl Fn(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>) -> Vec<u8> {
    tiny_guest(|assembler| {
        let mut again = assembler.create_label();
        assembler.mov(edi, CPUIDS as u32)?;
        assembler.set_label(&mut again)?;
        assembler.mov(eax, 1)?;
        assembler.cpuid()?;
        assembler.dec(edi)?;
        assembler.jnz(again)?;
        end(assembler)
    })
}

fn policy(rest: &str) -> String {
    format!(
        "[set.base]\ncpuid = \"emulate\"\nshutdown = \"stop\"\n\n[[vm]]\nname = \"demo\"\n\
         memory = \"16 MiB\"\nintercepts = \"base\"\n{rest}\n"
    )
}

/// `cargo vmm trace`; standard output.
fn trace(arguments: &[&str]) -> String {
    let finished = vmm()
        .arg("trace")
        .args(arguments)
        .output()
        .expect("the program starts");
    let talk = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success(), "{talk}");
    String::from_utf8_lossy(&finished.stdout).into_owned()
}

/// A VM's exits by name.
type Counts = BTreeMap<String, u64>;

/// The exits in a trace, by VM, through its CSV.
fn counts(file: &Path, folder: &Path) -> BTreeMap<String, Counts> {
    let csv = folder.join("trace.csv");
    let [file, out] = [file, &csv].map(|path| path.to_str().expect("a path"));
    trace(&[file, "--csv", out]);
    let text = std::fs::read_to_string(&csv).expect("values");
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<_> = line.split(',').collect();
        let (vm, exit) = (cells[0].to_owned(), cells[4].to_owned());
        *counts.entry(vm).or_default().entry(exit).or_default() += 1;
    }
    counts
}

/// What `--sum` says of them.
fn sums(file: &Path) -> BTreeMap<String, Counts> {
    let text = trace(&[file.to_str().expect("a path"), "--sum"]);
    let mut sums: BTreeMap<String, Counts> = BTreeMap::new();
    let mut vm = String::new();
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["VM", name, ..] => vm = name.to_owned(),
            [exit, count, ..] => {
                let count = count.replace(',', "").parse().expect("a count");
                sums.entry(vm.clone())
                    .or_default()
                    .insert(exit.to_owned(), count);
            }
            _ => {}
        }
    }
    sums
}

/// Names and counts in JSON.
fn named(exits: &Value) -> Counts {
    let exits = exits.as_array().expect("exits").iter();
    exits
        .filter_map(|exit| Some((exit["name"].as_str()?.into(), exit["count"].as_u64()?)))
        .collect()
}

/// What the report counts, those exits too that served the VMM alone.
fn counted(outcome: &Outcome) -> BTreeMap<String, Counts> {
    let vms = outcome.report["vms"].as_array().expect("VMs").iter();
    vms.map(|vm| {
        let mut counts = named(&vm["exits"]);
        let own = vm["own_exits"].as_u64().expect("a number");
        counts.extend((own != 0).then(|| ("(vmm)".to_owned(), own)));
        (vm["name"].as_str().expect("a name").to_owned(), counts)
    })
    .collect()
}

fn every_way_to_look_at_the_exits_agrees_over_vms_and_lives() {
    let folder = tempfile::tempdir().expect("a folder");
    let [file, memory] = ["run.trace", "memory"].map(|name| folder.path().join(name));
    let policy = ledger::everything("trace = 16");
    let (boot, _kernels) = ledger::boot(&policy, &ledger::doers());
    let outcome = boot
        .arg("--trace")
        .arg(&file)
        .arg("--share")
        .arg(&memory)
        .run()
        .ends_with(0);
    let counted = counted(&outcome);
    for (vm, counts) in &counted {
        // Steps and, in one VM, page faults of shadow paging serve the VMM alone; that VM's local
        // APIC is reached by page faults too, which count as nested ones.
        assert!(
            counts["(vmm)"] > 100 && counts["npf"] > 0,
            "{vm}: {counts:?}"
        );
    }
    assert_eq!(counts(&file, folder.path()), counted);
    assert_eq!(sums(&file), counted);
    // The ledger, as the machine has left it.
    let look = vmm().args(["top", "--once"]).arg(&memory).output();
    let look: Value =
        serde_json::from_slice(&look.expect("the program starts").stdout).expect("JSON");
    let vms = look["vms"].as_array().expect("VMs").iter();
    let seen: BTreeMap<String, Counts> = vms
        .map(|vm| {
            (
                vm["name"].as_str().expect("a name").to_owned(),
                named(&vm["exits"]),
            )
        })
        .collect();
    assert_eq!(seen, counted);
}

fn a_trace_has_every_exit_that_the_report_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.trace");
    // A ring so small that it comes round many times.
    let outcome = Boot::policy(&policy("trace = 16"))
        .kernel(&kernel(power_off))
        .arg("--trace")
        .arg(&file)
        .run()
        .ends_with(0);
    let counted = counted(&outcome);
    assert_eq!(counted["demo"]["cpuid"], CPUIDS);
    assert_eq!(counts(&file, folder.path()), counted);
    let text = trace(&[
        file.to_str().expect("a path"),
        "--exit",
        "cpuid",
        "--last",
        "1",
    ]);
    assert!(text.contains("cpuid            emulate"), "{text}");
    let sums = trace(&[file.to_str().expect("a path"), "--sum"]);
    assert!(sums.contains("300"), "{sums}");
}

fn a_vm_that_dies_leaves_its_last_exits() {
    let triple_fault = |assembler: &mut CodeAssembler| {
        assembler.mov(iced_x86::code_asm::esp, 0x20_0000)?;
        assembler.xor(eax, eax)?;
        assembler.push(eax)?;
        assembler.push(eax)?;
        assembler.lidt(iced_x86::code_asm::ptr(iced_x86::code_asm::esp))?;
        assembler.int3()
    };
    let outcome = Boot::policy(&policy("trace = 64"))
        .kernel(&kernel(triple_fault))
        .run()
        .ends_with(1)
        .says("the last exits are in ");
    let (_, rest) = outcome
        .talk
        .split_once("the last exits are in ")
        .expect("a place");
    let (file, _) = rest.split_once(';').expect("a path");
    let folder = tempfile::tempdir().expect("a folder");
    let counts = &counts(Path::new(file), folder.path())["demo"];
    assert_eq!(counts.values().sum::<u64>(), 64, "{counts:?}");
    assert_eq!(counts["shutdown"], 1, "{counts:?}");
    assert!(trace(&[file]).contains("exits were not kept"));
}

fn the_live_view_reads_the_counts_of_a_running_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let memory = folder.path().join("memory");
    let forever = |assembler: &mut CodeAssembler| {
        for letter in *b"done\n" {
            assembler.mov(dx, 0x3f8)?;
            assembler.mov(eax, u32::from(letter))?;
            assembler.out(dx, iced_x86::code_asm::al)?;
        }
        let mut forever = assembler.create_label();
        assembler.set_label(&mut forever)?;
        assembler.jmp(forever)
    };
    let boot = Boot::policy(&policy(""))
        .kernel(&kernel(forever))
        .arg("--share")
        .arg(&memory);
    let (mut machine, _files) = boot.start();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(machine.stdout.take().expect("its output"));
    while !line.contains("demo| done") {
        line.clear();
        let read = std::io::BufRead::read_line(&mut output, &mut line).expect("a line");
        assert_ne!(read, 0, "the machine ended");
    }
    let look = vmm()
        .args(["top", "--once"])
        .arg(&memory)
        .stderr(Stdio::inherit())
        .output()
        .expect("the program starts");
    machine.kill().expect("an end");
    machine.wait().expect("an end");
    let look: Value = serde_json::from_slice(&look.stdout).expect("JSON");
    let vm = &look["vms"][0];
    assert_eq!((&vm["name"], &vm["lives"]), (&"demo".into(), &1.into()));
    let exits = vm["exits"].as_array().expect("exits");
    let cpuid = exits.iter().find(|exit| exit["name"] == "cpuid");
    assert_eq!(cpuid.expect("CPUID")["count"], CPUIDS, "{look:#}");
}

fn wrong_files_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "not a trace\n").expect("a file");
    for (command, help) in [("trace", "run-qemu --trace"), ("top", "run-qemu --share")] {
        let refused = vmm()
            .arg(command)
            .arg(&file)
            .output()
            .expect("the program starts");
        let talk = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{talk}");
        assert!(talk.contains(help), "{talk}");
    }
}

/// Every packet parses, every slice begins and ends on its track, one within no other, and has
/// its name; the counter of each VM adds up to its slices. Prints these by track and name, in JSON.
const READER: &str = r#"
import json
import sys
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent
trace = Trace()
trace.ParseFromString(open(sys.argv[1], "rb").read())
described = [p.track_descriptor for p in trace.packet if p.HasField("track_descriptor")]
tracks = {track.uuid: track.name for track in described}
parents = {track.uuid: track.parent_uuid for track in described if track.HasField("counter")}
assert {tracks[uuid] for uuid in parents} == {"exits a millisecond"}, tracks
open_slices, last = {}, {}
names = {uuid: {} for uuid in tracks if uuid not in parents}
added = {uuid: 0 for uuid in names}
for packet in trace.packet:
    assert packet.trusted_packet_sequence_id == 1
    if not packet.HasField("track_event"):
        continue
    event = packet.track_event
    assert event.track_uuid in tracks, event
    if event.type == TrackEvent.TYPE_SLICE_BEGIN:
        assert event.name and event.track_uuid not in open_slices, event
        assert packet.timestamp >= last.get(event.track_uuid, 0), packet
        notes = {note.name for note in event.debug_annotations}
        assert {"rip", "action", "exitinfo1"} <= notes, notes
        open_slices[event.track_uuid] = packet.timestamp
        of_track = names[event.track_uuid]
        of_track[event.name] = of_track.get(event.name, 0) + 1
    elif event.type == TrackEvent.TYPE_SLICE_END:
        begun = open_slices.pop(event.track_uuid)
        assert packet.timestamp >= begun, packet
        last[event.track_uuid] = packet.timestamp
    else:
        assert event.type == TrackEvent.TYPE_COUNTER, event
        assert event.HasField("counter_value"), event
        added[parents[event.track_uuid]] += event.counter_value
assert not open_slices, open_slices
assert added == {uuid: sum(of_track.values()) for uuid, of_track in names.items()}, added
print(json.dumps({tracks[uuid]: of_track for uuid, of_track in names.items()}))
"#;

fn perfettos_own_package_reads_every_packet() {
    setup::ensure(&Workspace::find(), &[Need::Python]).expect("set-up");
    let folder = tempfile::tempdir().expect("a folder");
    let [file, perfetto, reader] =
        ["run.trace", "run.perfetto", "reader.py"].map(|name| folder.path().join(name));
    let (boot, _kernels) = ledger::boot(&ledger::everything("trace = 16"), &ledger::doers());
    let outcome = boot.arg("--trace").arg(&file).run().ends_with(0);
    let [from, to] = [&file, &perfetto].map(|path| path.to_str().expect("a path"));
    trace(&[from, "--perfetto", to]);
    std::fs::write(&reader, READER).expect("a program");
    let python = folder.path().join("venv/bin/python");
    for command in [
        &mut std::process::Command::new("python3")
            .args(["-m", "venv"])
            .arg(folder.path().join("venv")),
        &mut std::process::Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "perfetto"]),
    ] {
        assert!(command.status().expect("Python").success());
    }
    let read = std::process::Command::new(&python)
        .arg(&reader)
        .arg(&perfetto)
        .output()
        .expect("Python");
    assert!(
        read.status.success(),
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
    let slices: BTreeMap<String, Counts> = serde_json::from_slice(&read.stdout).expect("JSON");
    let counted = counted(&outcome).into_iter();
    let tracks: BTreeMap<_, _> = counted
        .map(|(vm, counts)| (format!("VM {vm}"), counts))
        .collect();
    assert_eq!(slices, tracks);
}
