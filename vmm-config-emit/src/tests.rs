//! The generated code as people would read it.

use std::path::Path;

use vmm_config::{Handlers, Source};

fn generated(text: &str) -> String {
    let handlers = Handlers::Known(vec!["slow_tsc".to_owned()]);
    let lowered = vmm_config::policy(Source::new("some/vm.toml", text), &handlers, None)
        .unwrap_or_else(|report| panic!("{report}"));
    let file = syn::parse2(super::policy(&lowered)).unwrap_or_else(|error| panic!("{error}"));
    prettyplease::unparse(&file)
}

const SMALLEST: &str = r#"
[[vm]]
name = "small"
memory = "16 MiB"
intercepts = []
"#;

#[test]
fn the_smallest_policy_has_the_isolation_floor() {
    let code = generated(SMALLEST);
    insta::assert_snapshot!(code);
}

/// The code is a file that compiles: `tests/generated.rs` runs it. After a change that is
/// meant, `UPDATE_GENERATED=1 cargo test -p vmm-config-emit` writes it anew.
fn becomes(policy: &str, name: &str) {
    let code = generated(policy);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/generated");
    let file = file.join(name).with_extension("rs");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&file, &code).unwrap();
    }
    assert!(
        code == std::fs::read_to_string(&file).unwrap(),
        "{name}.toml becomes other code than {name}.rs"
    );
}

#[test]
fn every_kind_of_answer_becomes_its_handler() {
    let policy = include_str!("../tests/generated/every_answer.toml");
    becomes(policy, "every_answer");
}

#[test]
fn every_kind_of_rule_becomes_a_function() {
    let policy = include_str!("../tests/generated/every_rule.toml");
    becomes(policy, "every_rule");
}

/// Each line that comes from the policy says from where.
#[cfg(feature = "text")]
#[test]
fn the_code_for_people_has_the_policys_line_beside_it() {
    let text = "[set.base]\ncpuid = \"emulate\"\nrdtsc = { action = \"count\", limit = 9 }\n\
                pause = { when = [\n  { cpl = 3, action = \"log\" },\n  { action = \"count\" }] }\n\
                [[vm]]\nname = \"demo\"\nmemory = \"16 MiB\"\nintercepts = \"base\"\n\
                [vm.cpuid]\nhide = [\"sse3\"]\n\
                [[vm.io]]\nports = \"0xf4\"\naction = \"exit\"\n\
                [[vm.msr]]\nmsr = \"hwcr\"\nread = \"ignore\"\n";
    let lowered =
        vmm_config::policy(Source::new("some/vm.toml", text), &Handlers::Unknown, None).unwrap();
    insta::assert_snapshot!(super::text(&lowered));
}
