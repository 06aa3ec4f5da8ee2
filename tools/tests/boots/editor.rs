//! What an editor with Taplo shows to a person at work on vm.toml: asked of Taplo's own language
//! server, from its package.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tools::setup::{self, Need};
use tools::workspace::Workspace;

use crate::harness::slow;

/// The package and the version that these tests have seen.
const TAPLO: &str = "@taplo/lsp@0.8.0";

/// The trials that take long.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![
        taplo_finds_no_fault_with_good_policies,
        taplo_underlines_what_is_wrong,
        taplo_completes_keys_and_shows_their_docs,
        taplo_completes_values_and_shows_their_docs,
        taplo_tells_what_an_exit_is_under_the_pointer,
    ]
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    here.canonicalize().expect("the workspace")
}

/// The folder that holds the package.
fn taplo() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let workspace = Workspace::find();
        setup::ensure(&workspace, &[Need::Node]).expect("set-up");
        let folder = workspace.artifacts().join("taplo");
        std::fs::create_dir_all(&folder).expect("a folder");
        // An installed package of this version is left as it is.
        let npm = Command::new("npm")
            .args(["install", "--no-save", "--no-audit", "--no-fund"])
            .arg("--prefix")
            .arg(&folder)
            .arg(TAPLO)
            .output()
            .expect("npm starts");
        assert!(npm.status.success(), "{npm:?}");
        folder
    })
}

/// Taplo's answers to an editor that has these texts open.
fn answers(questions: &[Value]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boots/editor/ask_taplo.cjs");
    let mut node = Command::new("node")
        .arg(script)
        .arg(taplo())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node starts");
    let input = json!({ "folder": root(), "questions": questions });
    let mut pipe = node.stdin.take().expect("a pipe");
    pipe.write_all(input.to_string().as_bytes()).expect("asked");
    drop(pipe);
    let finished = node.wait_with_output().expect("node ends");
    assert!(
        finished.status.success(),
        "{}",
        String::from_utf8_lossy(&finished.stderr)
    );
    serde_json::from_slice(&finished.stdout).expect("answers")
}

/// A policy of these lines, of which `|` marks where the cursor is.
fn asked(method: &str, lines: &str) -> Value {
    let marked = format!("#:schema ./vm.schema.json\n{lines}");
    let cursor = marked.find('|').expect("a cursor");
    let before = &marked[..cursor];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let question = json!({
        "method": method,
        "text": marked.replacen('|', "", 1),
        "line": before.matches('\n').count(),
        "character": cursor - line_start,
    });
    let mut answers = answers(&[question]);
    answers.remove(0)
}

/// What is offered at the cursor, each with its docs.
fn completions(lines: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    asked("textDocument/completion", lines)
        .as_array()
        .expect("a list of offers")
        .iter()
        .map(|offer| {
            (
                text(&offer["label"]),
                text(&offer["documentation"]["value"]),
            )
        })
        .collect()
}

fn diagnostics(file: &Path) -> Value {
    let policy = std::fs::read_to_string(file).expect("a policy");
    let text = format!("#:schema ./vm.schema.json\n{policy}");
    json!({ "method": "diagnostics", "text": text })
}

fn taplo_finds_no_fault_with_good_policies() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("policies"))
        .expect("policies")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.push(root().join("vm.toml"));
    let questions: Vec<Value> = files.iter().map(|file| diagnostics(file)).collect();
    for (file, answer) in files.iter().zip(answers(&questions)) {
        assert_eq!(answer, json!([]), "{}", file.display());
    }
}

fn taplo_underlines_what_is_wrong() {
    let rules = root().join("vmm-config/tests/rules");
    for (rule, said) in [
        ("unknown-action", "emulated"),
        ("unknown-key", "memroy"),
        ("wrong-type", "string"),
    ] {
        let answer = answers(&[diagnostics(&rules.join(rule).with_extension("toml"))]);
        assert!(answer[0].to_string().contains(said), "{rule}: {answer:#?}");
    }
}

fn taplo_completes_keys_and_shows_their_docs() {
    let in_a_vm = completions("[[vm]]\nname = \"demo\"\n|\n");
    for (key, docs) in [
        ("asid", "Address space identifier"),
        ("npt", "Nested paging"),
        ("restart", "When it starts again"),
    ] {
        let offered = in_a_vm
            .iter()
            .any(|(label, shown)| label == key && shown.contains(docs));
        assert!(offered, "{key}: {in_a_vm:#?}");
    }
    let in_a_set = completions("[set.mine]\n|\n");
    for exit in intercepts::EXITS {
        // What each is, it tells under the pointer.
        let offered = in_a_set.iter().any(|(label, _)| label == exit.name);
        assert!(offered, "{} is not offered", exit.name);
    }
}

fn taplo_completes_values_and_shows_their_docs() {
    let actions = completions("[set.mine]\ncpuid = \"|\"\n");
    let counted = (
        "\"count\"".to_owned(),
        "counted, then done as the CPU would have done it".to_owned(),
    );
    assert!(actions.contains(&counted), "{actions:#?}");
    let machines = completions("[target]\nmachine = \"|\"\n");
    assert!(
        machines
            .iter()
            .any(|(label, docs)| label == "\"zen5\"" && !docs.is_empty()),
        "{machines:#?}"
    );
}

fn taplo_tells_what_an_exit_is_under_the_pointer() {
    let shown = asked("textDocument/hover", "[set.mine]\nr|dtsc = \"count\"\n");
    let docs = shown["contents"]["value"].as_str().unwrap_or_default();
    assert!(
        docs.contains("VMEXIT_RDTSC") && docs.contains("APM 15.9"),
        "{shown}"
    );
}
