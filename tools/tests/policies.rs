//! The policies that come with the workspace, and the commands that read policies. Nothing
//! boots here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn vmm(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmm"))
        .args(arguments)
        .current_dir(workspace())
        .output()
        .expect("the program starts")
}

fn talk(finished: &Output) -> String {
    String::from_utf8_lossy(&finished.stderr).into_owned()
}

fn said(finished: &Output) -> String {
    String::from_utf8_lossy(&finished.stdout).into_owned()
}

/// The files in `policies/`.
fn policies() -> Vec<String> {
    let mut files: Vec<String> = std::fs::read_dir(workspace().join("policies"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| format!("policies/{}", name.to_string_lossy()))
        .collect();
    files.sort();
    files
}

#[test]
fn every_policy_in_the_workspace_is_good_and_commented() {
    let files = policies();
    assert!(files.len() >= 12, "{files:?}");
    for file in files {
        let checked = vmm(&["check", "--json", &file]);
        let reports: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
        let findings = reports[0]["findings"].as_array().expect("a list");
        let errors: Vec<_> = findings
            .iter()
            .filter(|finding| finding["severity"] == "error")
            .collect();
        assert_eq!(checked.status.code(), Some(0), "{file}: {errors:#?}");
        let text = std::fs::read_to_string(workspace().join(&file)).expect("the policy");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("#:schema ../vm.schema.json"), "{file}");
        assert!(
            lines.next().is_some_and(|line| line.starts_with("# ")),
            "{file} does not say what it is for"
        );
    }
}

#[test]
fn check_is_2_with_a_picture_for_a_policy_that_is_refused_and_0_for_a_good_one() {
    let bad = "vmm-config/tests/rules/asid-zero.toml";
    let checked = vmm(&["check", "vm.toml", bad]);
    assert_eq!(checked.status.code(), Some(2));
    let text = talk(&checked);
    for part in [
        "asid-zero.toml:8:8",
        "^",
        "15.5.1",
        "vm.toml: good",
        "1 error",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(vmm(&["check"]).status.code(), Some(0));
    assert_eq!(vmm(&["check", "no/such/file"]).status.code(), Some(2));
}

#[test]
fn check_tells_machines_the_rule_and_the_place() {
    let checked = vmm(&["check", "--json", "vmm-config/tests/rules/asid-zero.toml"]);
    let reports: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let finding = &reports[0]["findings"][0];
    assert_eq!(finding["rule"], "asid-zero");
    assert_eq!(finding["at"]["start"]["line"], 8);
    assert_eq!(talk(&checked), "");
}

#[test]
fn an_expanded_policy_is_a_policy_without_difference() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in policies() {
        let expanded = vmm(&["expand", "--config", &file]);
        assert_eq!(expanded.status.code(), Some(0), "{}", talk(&expanded));
        let copy = folder.path().join("vm.toml");
        std::fs::write(&copy, &expanded.stdout).expect("a file");
        let differences = vmm(&["diff", &file, &copy.to_string_lossy()]);
        assert_eq!(said(&differences), "no difference\n", "{file}");
    }
}

#[test]
fn expanded_code_has_the_policys_line_beside_it() {
    let expanded = vmm(&["expand", "--rust"]);
    let code = said(&expanded);
    let cpuid = code
        .lines()
        .find(|line| line.contains("ExitCode::Cpuid,"))
        .expect("the exit");
    assert!(
        cpuid.contains("exits::cpuid::emulate") && cpuid.contains("// vm.toml:"),
        "{cpuid}"
    );
}

#[test]
fn explain_knows_names_and_numbers_and_asks_back_on_a_slip() {
    for what in ["cr3.write", "0x13", "19", "VMEXIT_CR3_WRITE"] {
        let text = said(&vmm(&["explain", what]));
        assert!(text.contains("VMEXIT_CR3_WRITE"), "{what}: {text}");
    }
    let slip = vmm(&["explain", "cr3.wrte"]);
    assert_eq!(slip.status.code(), Some(2));
    assert!(talk(&slip).contains("did you mean `cr3.write`?"));
}

#[test]
fn the_compiler_shows_the_very_findings_of_check() {
    let wrong = workspace().join("vmm-config/tests/rules/unknown-action.toml");
    let wrong = wrong.canonicalize().expect("a path");
    let check = vmm(&["check", wrong.to_str().expect("UTF-8")]);
    assert_eq!(check.status.code(), Some(2));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let compiler = Command::new(cargo)
        .args([
            "check",
            "--package",
            "boot",
            "--lib",
            "--message-format=json",
        ])
        .env("VM_CONFIG", &wrong)
        .current_dir(workspace())
        .output()
        .expect("cargo starts");
    assert!(!compiler.status.success());
    let errors: Vec<String> = said(&compiler)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|message: &Value| message["message"]["level"] == "error")
        .filter_map(|message| Some(message["message"]["message"].as_str()?.to_owned()))
        .map(|text| format!("error: {text}\n\n"))
        .collect();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    let shown = talk(&check);
    assert!(shown.starts_with(&errors.concat()), "{shown}\n{errors:#?}");
}
