//! `cargo vmcb-docs`: what it writes is current, keeps to its schema, and reads what a VMCB holds.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tools::reference::hexdump;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn vmcb_docs(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmm"))
        .arg("vmcb-docs")
        .args(arguments)
        .current_dir(workspace())
        .output()
        .expect("the program starts")
}

#[track_caller]
fn said(arguments: &[&str]) -> String {
    let finished = vmcb_docs(arguments);
    assert_eq!(finished.status.code(), Some(0), "{}", talk(&finished));
    String::from_utf8(finished.stdout).expect("text")
}

fn talk(finished: &Output) -> String {
    String::from_utf8_lossy(&finished.stderr).into_owned()
}

/// After a change that is meant, `UPDATE_DOCS=1 cargo test -p tools --test reference` writes
/// the files anew.
#[test]
fn the_reference_in_docs_is_current() {
    for (format, file) in [("md", "docs/vmcb.md"), ("schema", "docs/vmcb.schema.json")] {
        let text = said(&["--bare", "--format", format]);
        let file = workspace().join(file);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&file, &text).expect("the document is written");
        }
        let kept = std::fs::read_to_string(&file).expect("the document");
        assert!(
            kept == text,
            "{} is not what `cargo vmcb-docs --bare --format {format}` writes",
            file.display()
        );
    }
}

#[test]
fn the_data_keeps_to_its_schema() {
    let data: Value = serde_json::from_str(&said(&["--format", "json"])).expect("JSON");
    let schema: Value = serde_json::from_str(&said(&["--format", "schema"])).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = validator
        .iter_errors(&data)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(data["policies"][0]["file"], "vm.toml");
}

#[test]
fn a_policy_laid_over_names_value_line_and_handler() {
    let text = said(&["--config", "policies/watch-paging.toml"]);
    let line = |what: &str| text.lines().find(|line| line.contains(what));
    let bit = line("bit 3: cr3.write").expect("the bit");
    assert!(bit.contains("policies/watch-paging.toml:"), "{bit}");
    let handler = line("`exits::cr::emulate`").expect("the handler");
    assert!(handler.contains("watch-paging.toml:"), "{handler}");
}

#[test]
fn every_field_that_a_policy_sets_says_what_it_holds() {
    let files: Vec<String> = std::fs::read_dir(workspace().join("policies"))
        .expect("policies")
        .map(|file| file.expect("a policy").path().display().to_string())
        .collect();
    let mut arguments = vec!["--format", "json"];
    arguments.extend(files.iter().flat_map(|file| ["--config", file]));
    let data: Value = serde_json::from_str(&said(&arguments)).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for policy in list(&data["policies"]) {
        for vm in list(&policy["vms"]) {
            for field in list(&vm["fields"]) {
                assert!(!list(&field["parts"]).is_empty(), "{policy}: {field}");
            }
        }
    }
}

#[test]
fn the_filter_of_pause_is_laid_over_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("vm.toml");
    let policy = "[target]\nmachine = \"zen3\"\n\
        [set.base]\npause = { action = \"count\", filter = 3000, threshold = 100 }\n\
        [[vm]]\nname = \"demo\"\nimage = \"guest\"\nmemory = \"64 MiB\"\nintercepts = \"base\"\n";
    std::fs::write(&config, policy).expect("a policy");
    let text = said(&["--config", &config.to_string_lossy()]);
    for row in [
        "| `pause_filter_threshold` | 0x0064 | 100 cycles |",
        "| `pause_filter_count` | 0x0bb8 | 3000 PAUSEs |",
    ] {
        let line = text.lines().find(|line| line.starts_with(row));
        assert!(
            line.is_some_and(|line| line.contains("vm.toml:4: ")),
            "{row}: {line:?}"
        );
    }
}

#[test]
fn a_folder_gets_every_format_and_an_ending_names_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    said(&["-o", &format!("{}/", folder.path().display())]);
    for name in [
        "vmcb.md",
        "vmcb.html",
        "vmcb.json",
        "vmcb.csv",
        "vmcb.schema.json",
    ] {
        assert!(path(name).exists(), "{name}");
    }
    said(&["--bare", "-o", &path("table.csv").to_string_lossy()]);
    let table = std::fs::read_to_string(path("table.csv")).expect("a table");
    assert!(table.starts_with("kind,of,place"), "{table}");
    let page = std::fs::metadata(path("vmcb.html")).expect("the page");
    assert!(page.len() < 1 << 20, "the page weighs {} bytes", page.len());

    let lost = vmcb_docs(&["-o", &path("what.pdf").to_string_lossy()]);
    assert_eq!(lost.status.code(), Some(2));
    assert!(talk(&lost).contains("--format"), "{}", talk(&lost));
}

#[test]
fn a_value_is_read_in_words_and_a_slip_is_answered() {
    let text = said(&["--decode", "intercepts3=0x0800_0001", "ioio.info1=3f80041h"]);
    for part in ["27  ioio: IN, OUT", "0  intr", "PORT = 0x3f8", "IN or INS"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    for (wrong, hint) in [
        ("vintrr=1", "did you mean `vintr`?"),
        ("vintr=x", "write 0x1f"),
        ("cpl=0x100", "does not fit"),
        ("no/such/file", "cannot read"),
    ] {
        let finished = vmcb_docs(&["--decode", wrong]);
        assert_eq!(finished.status.code(), Some(2), "{wrong}");
        assert!(talk(&finished).contains(hint), "{}", talk(&finished));
    }
}

#[test]
fn a_dump_is_read_from_standard_input_with_what_vmrun_would_say() {
    let mut reader = Command::new(env!("CARGO_BIN_EXE_vmm"))
        .args(["vmcb-docs", "--decode", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut dump = [0u8; 4096];
    dump[0x58] = 1;
    dump[0x4d1] = 0x10;
    reader
        .stdin
        .take()
        .expect("a pipe")
        .write_all(&dump)
        .expect("a dump");
    let finished = reader.wait_with_output().expect("an end");
    let text = String::from_utf8_lossy(&finished.stdout);
    for part in [
        "058h guest_asid = 0x00000001",
        "12  SVME",
        "VMRUN would refuse this VMCB: intercept_misc2: VMRUN must be intercepted",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

/// One VMCB as `hexdump`, `hexdump -C`, `od -A x -t x1z`, `od -A x -t x8` and `xxd -a` wrote it.
#[test]
fn what_the_usual_tools_write_is_read() {
    let mut vmcb = [0; 4096];
    (vmcb[0x58], vmcb[0x70], vmcb[0x4d1]) = (1, 0x7b, 0x10);
    vmcb[0x78..0x7c].copy_from_slice(&[0x41, 0, 0xf8, 3]);
    vmcb[0xa70..0xab0].fill(0xff);
    for name in ["hexdump", "hexdump-C", "od-tx1z", "od-tx8", "xxd-a"] {
        let file = workspace().join(format!("tools/tests/data/dumps/{name}.txt"));
        let dump = std::fs::read(file).expect("a dump");
        assert_eq!(hexdump::read(&dump), Ok(vmcb), "{name}");
    }
}
