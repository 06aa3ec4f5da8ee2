//! The schema for editors: current, true to good policies, and of use against bad ones.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use vmm_config::schema;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn validator() -> Validator {
    jsonschema::draft7::new(&schema::schema()).expect("a schema")
}

/// A TOML text as the JSON that editors validate.
fn json(path: &Path) -> serde_json::Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let value: toml::Value =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::to_value(value).expect("JSON")
}

fn policies_in(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(workspace().join(folder))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

/// After a change that is meant, `UPDATE_SCHEMA=1 cargo test -p vmm-config` writes it anew.
#[test]
fn the_schema_in_the_workspace_is_current() {
    let file = workspace().join("vm.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&file, schema::text()).expect("the schema is written");
    }
    let text = std::fs::read_to_string(&file).expect("the schema");
    assert!(
        text == schema::text(),
        "vm.schema.json is not what the vocabulary says"
    );
}

#[test]
fn good_policies_keep_to_the_schema() {
    let validator = validator();
    let mut files = policies_in("policies");
    files.push(workspace().join("vm.toml"));
    files.extend(policies_in("vmm-config-emit/tests/generated"));
    for file in files {
        let json = json(&file);
        let errors: Vec<String> = validator
            .iter_errors(&json)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", file.display());
    }
}

#[test]
fn the_workspaces_policy_names_the_schema_in_its_first_line() {
    let text = std::fs::read_to_string(workspace().join("vm.toml")).expect("vm.toml");
    assert_eq!(text.lines().next(), Some("#:schema ./vm.schema.json"));
}

/// What a schema can say, the editor says.
#[test]
fn an_editor_sees_what_a_schema_can_say() {
    let validator = validator();
    for rule in [
        "action-fits",
        "asid-zero",
        "cmdline",
        "count-method",
        "missing-key",
        "name",
        "no-vm",
        "pass-floor",
        "unit",
        "unknown-action",
        "unknown-cpuid",
        "unknown-debian",
        "unknown-device",
        "unknown-exit",
        "unknown-key",
        "unknown-machine",
        "unknown-msr",
        "unknown-word",
        "when-fits",
        "wrong-type",
    ] {
        let file = workspace().join("vmm-config/tests/rules").join(rule);
        let json = json(&file.with_extension("toml"));
        assert!(!validator.is_valid(&json), "{rule} is not seen");
    }
}
