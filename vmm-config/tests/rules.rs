//! Each rule has a policy in `rules/` that breaks it and no other, and a golden error text.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use intercepts::{Action, EXITS, Exit, Intercept};
use vmm_config::rules::{RULES, Rule};
use vmm_config::{Handlers, Lowered, Report, Severity, Source};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules")
}

/// What is found in the policy of a rule, errors or warnings.
fn report(rule: &Rule) -> Report {
    let path = folder().join(rule.name).with_extension("toml");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let handlers = Handlers::of_text("pub fn coarse_tsc() {}");
    match vmm_config::policy(Source::new("vm.toml", &text), &handlers, Some(&folder())) {
        Ok(lowered) => lowered.warnings,
        Err(report) => report,
    }
}

/// The rules that are about a text; `readable` is about not having one.
fn rules_of_text() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().copied().filter(|rule| rule.name != "readable")
}

#[test]
fn each_rule_is_broken_by_its_policy_and_explains_itself() {
    let mut others = Vec::new();
    for rule in rules_of_text() {
        let report = report(rule);
        insta::assert_snapshot!(rule.name, report.to_string());
        assert!(!report.findings.is_empty(), "{} is not broken", rule.name);
        others.extend(
            report
                .findings
                .into_iter()
                .filter(|finding| finding.rule.name != rule.name)
                .map(|finding| {
                    format!("{}: {}: {}", rule.name, finding.rule.name, finding.message)
                }),
        );
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

#[test]
fn each_finding_says_what_to_write_unless_the_text_is_no_toml() {
    for rule in rules_of_text().filter(|rule| rule.name != "syntax") {
        for finding in report(rule).findings {
            assert!(finding.help.is_some(), "{}", finding.message);
        }
    }
}

#[test]
fn a_warning_refuses_nothing() {
    for rule in rules_of_text().filter(|rule| rule.severity == Severity::Warning) {
        assert!(!report(rule).has_errors());
    }
}

#[test]
fn every_policy_in_the_folder_belongs_to_a_rule() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let rules: BTreeSet<String> = rules_of_text().map(|rule| rule.name.to_owned()).collect();
    assert_eq!(files, rules);
}

#[test]
fn rule_names_are_unique() {
    let names: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
}

#[test]
fn a_file_that_is_not_there_is_reported_by_its_name() {
    let missing = folder().join("no-such-policy.toml");
    let report = vmm_config::load(&missing, None).unwrap_err();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].rule.name, "readable");
    assert!(
        report.to_string().contains("no-such-policy.toml"),
        "{report}"
    );
}

#[test]
fn all_findings_are_shown_at_once_in_the_order_of_the_file() {
    let text = r#"
        [set.base]
        cr3.wrte = "count"
        cpuid = "wait"
        [[vm]]
        name = "demo"
        memory = "64 MB"
        asid = 0
        intercepts = "bas"
    "#;
    let report =
        vmm_config::policy(Source::new("vm.toml", text), &Handlers::Unknown, None).unwrap_err();
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.at.start.line, finding.rule.name))
        .collect();
    assert_eq!(
        found,
        [
            (3, "unknown-exit"),
            (4, "action-fits"),
            (7, "unit"),
            (8, "asid-zero"),
            (9, "unknown-set"),
        ]
    );
}

#[test]
fn a_report_for_machines_has_rule_place_and_help() {
    let asid = RULES.iter().find(|rule| rule.name == "asid-zero").unwrap();
    let json = serde_json::to_value(report(asid)).unwrap();
    assert_eq!(json["source"]["name"], "vm.toml");
    let finding = &json["findings"][0];
    assert_eq!(finding["rule"], "asid-zero");
    assert_eq!(finding["severity"], "error");
    assert_eq!(
        finding["at"]["start"],
        serde_json::json!({ "line": 8, "column": 8 })
    );
    assert_eq!(
        finding["at"]["end"],
        serde_json::json!({ "line": 8, "column": 9 })
    );
    assert!(finding["help"].is_string());
}

/// The page of the documentation.
fn page() -> String {
    let mut page = String::from(
        "# The rules of the policy language\n\n\
         Every rule that `vm.toml` must keep, in the order in which a policy meets them. All that is\n\
         wrong is shown at once. A warning refuses nothing. This page is made from the rules and from\n\
         a policy that breaks each: `UPDATE_RULES=1 cargo test -p vmm-config --test rules`.\n",
    );
    for rule in RULES {
        let kind = match rule.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let section = rule
            .section
            .map(|section| format!(", APM volume 2, {section}"));
        page.push_str(&format!(
            "\n## {}\n\n{}{}. ({kind}{})\n",
            rule.name,
            rule.demands[..1].to_uppercase(),
            &rule.demands[1..],
            section.unwrap_or_default(),
        ));
        // A file that is no text has no picture.
        if rule.name != "readable"
            && let Some(picture) = report(rule).pictures(false).next()
        {
            page.push_str(&format!("\n```text\n{}\n```\n", picture.trim_end()));
        }
    }
    page
}

#[test]
fn the_page_of_rules_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    let page = page();
    if std::env::var_os("UPDATE_RULES").is_some() {
        std::fs::write(&file, &page).expect("the page is written");
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "docs/rules.md is not what the rules say");
}

#[test]
fn a_file_that_is_no_text_is_reported_where_it_stops_being_one() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-text.toml");
    std::fs::write(&file, b"[vmm]\nlog = \"info\" # \xe4\n").expect("a file");
    let report = vmm_config::load(&file, None).unwrap_err();
    let [finding] = &report.findings[..] else {
        panic!("{report}")
    };
    assert_eq!(finding.rule.name, "readable");
    assert_eq!((finding.at.start.line, finding.at.start.column), (2, 16));
}

#[test]
fn a_key_that_nests_too_deep_is_pointed_at() {
    let text = format!("[set.base]\ncr3.{}b = 1\n", "a.".repeat(200));
    let report = vmm_config::policy(Source::new("vm.toml", &text), &Handlers::Unknown, None);
    let report = report.unwrap_err();
    assert_eq!(report.findings[0].at.start.line, 2, "{report}");
    assert!(report.findings[0].help.is_some(), "{report}");
}

#[test]
fn what_is_wrong_at_a_place_is_said_once() {
    let text = format!("a = {}\n", "[".repeat(300));
    let report = vmm_config::policy(Source::new("vm.toml", &text), &Handlers::Unknown, None);
    let findings = report.unwrap_err().findings;
    let mut told = BTreeSet::new();
    for finding in &findings {
        let place = (finding.at.start.line, finding.at.start.column);
        assert!(told.insert((place, &finding.message)), "{findings:#?}");
    }
}

/// The sets are resolved in the order of their names.
#[test]
fn how_deep_sets_may_extend_does_not_depend_on_their_names() {
    let chain = |sets: usize, base: fn(usize) -> usize| {
        let mut text = String::new();
        for number in 0..sets {
            text += &format!("[set.s{number:02}]\nhlt = \"wait\"\n");
            if (0..sets).contains(&base(number)) {
                text += &format!("extends = \"s{:02}\"\n", base(number));
            }
        }
        text += "[[vm]]\nname = \"demo\"\nmemory = \"8 MiB\"\nintercepts = \"s00\"\n";
        vmm_config::policy(Source::new("vm.toml", &text), &Handlers::Unknown, None)
    };
    for base in [|number| number + 1, |number: usize| number.wrapping_sub(1)] {
        assert!(chain(33, base).is_ok());
        let report = chain(34, base).unwrap_err();
        assert_eq!(report.findings.len(), 1, "{report}");
        assert_eq!(report.findings[0].rule.name, "extends-depth");
    }
}

/// A policy for hardware that answers an exit so.
fn policy_of(exit: &Exit, action: Action, rest: &str) -> Result<Lowered, String> {
    let features = exit.feature.map_or(String::new(), |feature| {
        format!("features = [{:?}]", feature.name)
    });
    let parameters = match action {
        Action::Inject => ", vector = \"ud\"",
        _ => "",
    };
    let text = format!(
        "[target]\nmachine = \"zen1\"\n{features}\n\
         [set.base]\n\"{}\" = {{ action = \"{}\"{parameters} }}\n\
         [[vm]]\nname = \"demo\"\nmemory = \"16 MiB\"\nintercepts = \"base\"\n{rest}\n",
        exit.name,
        action.name()
    );
    vmm_config::policy(Source::new("vm.toml", &text), &Handlers::Unknown, None)
        .map_err(|report| format!("{text}{report}"))
}

#[test]
fn a_policy_can_say_every_exit_with_every_action_that_fits_it() {
    for exit in EXITS {
        let fitting = Action::ALL
            .into_iter()
            .filter(|action| exit.accepts(*action));
        for action in fitting {
            let policy = policy_of(exit, action, "").unwrap_or_else(|report| panic!("{report}"));
            let vm = &policy.vms[0];
            let gate = vm.gates.iter().find(|gate| gate.exit.code == exit.code);
            assert_eq!(gate.is_some(), action != Action::Pass, "{}", exit.name);
            if let Intercept::Bit { offset, bit } = exit.intercept {
                let is_set = vm.vmcb.iter().any(|field| {
                    let bit = field.field.bit_of(offset, bit);
                    bit.is_some_and(|bit| field.value >> bit & 1 != 0)
                });
                assert_eq!(is_set, action != Action::Pass, "{}", exit.name);
            }
            let needs = |feature| vm.needs.iter().any(|need| need.feature == feature);
            assert!(action == Action::Pass || exit.feature.is_none_or(needs));
        }
    }
}

/// What a refusal at run time says to write is no mistake, whichever paging the VM has.
#[test]
fn what_the_vmm_says_to_write_is_accepted() {
    let denied = EXITS.iter().filter(|exit| exit.accepts(Action::Deny));
    let denied = denied.flat_map(|exit| [true, false].map(|npt| (exit, npt, exit.permission(npt))));
    let unasked = EXITS.iter().map(|exit| (exit, true, exit.continuation()));
    for (exit, npt, action) in denied.chain(unasked) {
        let Some(action) = action else { continue };
        let checked = policy_of(exit, action, &format!("npt = {npt}"));
        assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }
}
