//! What a policy comes to: sets, defaults, fields, handlers, rules.

mod common;

use std::path::Path;

use intercepts::vmcb::intercepts as is_intercepted;
use intercepts::{ExitCode, Feature};
use vmm_config::expand::Expanded;
use vmm_config::lowered::{Handler, Owner, Vm};
use vmm_config::words::{Device, IoAction, Test, Then};
use vmm_config::written::{Condition, Image};
use vmm_config::{Handlers, Lowered, Source};

fn lowered(text: &str) -> Lowered {
    let handlers = Handlers::Known(vec!["coarse_tsc".to_owned()]);
    vmm_config::policy(Source::new("vm.toml", text), &handlers, None)
        .unwrap_or_else(|report| panic!("{report}"))
}

/// A policy with one VM, whose set is `main`.
fn one(sets: &str) -> Vm {
    let vm = "[[vm]]\nname = \"demo\"\nmemory = \"64 MiB\"\nintercepts = \"main\"\n";
    lowered(&format!("{sets}\n{vm}")).vms.remove(0)
}

fn handler(vm: &Vm, code: ExitCode) -> Option<String> {
    let gate = vm.gates.iter().find(|gate| gate.exit.code == code)?;
    Some(match &gate.handler {
        Handler::Vmm { module, function } => format!("{module}::{function}"),
        Handler::Inject { vector, error } => format!("inject {vector} {error:?}"),
        Handler::User(name) => format!("handlers::{name}"),
    })
}

fn workspace_policy() -> Lowered {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let handlers = root.join("boot/src/handlers.rs");
    vmm_config::load(&root.join("vm.toml"), Some(&handlers))
        .unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn the_policy_of_the_workspace_is_good_and_boots_its_own_guest() {
    let policy = workspace_policy();
    assert!(policy.warnings.findings.is_empty(), "{}", policy.warnings);
    assert_eq!(policy.machine.qemu_cpu(), Some("max"));
    assert_eq!(policy.memory(), 64 << 20);
    let [vm] = &policy.vms[..] else {
        panic!("{} VMs", policy.vms.len())
    };
    assert_eq!(
        (&*vm.name, &vm.image, &*vm.cmdline),
        ("demo", &Image::Guest, "")
    );
    assert_eq!(vm.devices, Device::DEFAULT);
}

/// Every example that the workspace's policy has in comments works when it is uncommented.
#[test]
fn the_commented_examples_of_the_workspace_are_good() {
    let policy = workspace_policy();
    let is_example = |line: &str| line.contains(" = ") || line.starts_with("[[");
    let text: String = policy
        .source
        .text
        .lines()
        .skip_while(|line| !line.starts_with("[target]"))
        .map(|line| match line.strip_prefix("# ") {
            Some(example) if is_example(example) => example,
            _ => line,
        })
        .fold(String::new(), |text, line| text + line + "\n")
        .replace("intercepts = \"base\"", "intercepts = \"watch\"");
    let vm = lowered(&text).vms.remove(0);
    assert_eq!(
        handler(&vm, ExitCode::ExceptionPf).as_deref(),
        Some("exception::reflect")
    );
    assert_eq!((vm.io.len(), vm.msrs.len()), (1, 1));
}

#[test]
fn dotted_and_quoted_names_are_the_same() {
    for set in [
        "[set.main]\nexception.pf = \"count\"",
        "[set.main]\n\"exception.pf\" = \"count\"",
        "[set.main.exception]\npf = \"count\"",
        "[set.main]\nexception = { pf = \"count\" }",
        "[set.main]\nexception.pf = { action = \"count\" }",
        "[set.main]\nexception.pf.action = \"count\"",
    ] {
        let vm = one(set);
        assert_eq!(
            handler(&vm, ExitCode::ExceptionPf).as_deref(),
            Some("exception::reflect"),
            "{set}"
        );
    }
}

/// `mwait` and `mwait.armed` are two exits.
#[test]
fn an_exit_whose_name_begins_anothers_has_an_answer_of_its_own() {
    let vm = one("[set.main]\nmwait = { action = \"deny\", armed = \"wait\" }");
    assert_eq!(handler(&vm, ExitCode::Mwait).as_deref(), Some("deny::ud"));
    assert_eq!(
        handler(&vm, ExitCode::MwaitConditional).as_deref(),
        Some("mwait::wait")
    );
}

#[test]
fn later_sets_win_and_a_sets_own_words_win_over_all() {
    let vm = one(
        "[set.a]\nhlt = \"stop\"\npause = \"stop\"\nrdtsc = \"stop\"\n\
         [set.b]\npause = \"deny\"\nrdtsc = \"deny\"\n\
         [set.main]\nextends = [\"a\", \"b\"]\nrdtsc = \"count\"\n",
    );
    assert_eq!(handler(&vm, ExitCode::Hlt).as_deref(), Some("stop::stop"));
    assert_eq!(handler(&vm, ExitCode::Pause).as_deref(), Some("deny::ud"));
    assert_eq!(
        handler(&vm, ExitCode::Rdtsc).as_deref(),
        Some("tsc::emulate")
    );
}

#[test]
fn pass_takes_an_inherited_intercept_away() {
    let vm = one("[set.a]\nhlt = \"stop\"\n[set.main]\nextends = \"a\"\nhlt = \"pass\"\n");
    assert_eq!(handler(&vm, ExitCode::Hlt), None);
    assert!(!is_intercepted(&common::vmcb(&vm), ExitCode::Hlt));
}

#[test]
fn an_answer_knows_the_line_it_comes_from() {
    let vm = one("[set.a]\nhlt = \"stop\" # why\n[set.main]\nextends = \"a\"\n");
    let gate = vm.gates.iter().find(|gate| gate.exit.code == ExitCode::Hlt);
    let origin = gate
        .and_then(|gate| gate.origin.clone())
        .expect("an origin");
    assert_eq!((origin.line, &*origin.text), (2, "hlt = \"stop\""));
}

#[test]
fn a_vm_may_change_its_set_in_place() {
    let policy = lowered(
        "[set.a]\nhlt = \"stop\"\npause = \"stop\"\n\
         [[vm]]\nname = \"demo\"\nmemory = \"64 MiB\"\n\
         [vm.intercepts]\nextends = \"a\"\npause = \"pass\"\n",
    );
    assert_eq!(
        handler(&policy.vms[0], ExitCode::Hlt).as_deref(),
        Some("stop::stop")
    );
    assert_eq!(handler(&policy.vms[0], ExitCode::Pause), None);
}

#[test]
fn parameters_reach_the_handler() {
    let vm = one("[set.main]\n\
         rdtsc = { handler = \"coarse_tsc\", log = true }\n\
         pause = { action = \"inject\", vector = \"#gp\", error = 8 }\n\
         wbinvd = \"log\"\n");
    assert_eq!(
        handler(&vm, ExitCode::Rdtsc).as_deref(),
        Some("handlers::coarse_tsc")
    );
    assert_eq!(
        handler(&vm, ExitCode::Pause).as_deref(),
        Some("inject 13 Some(8)")
    );
    let logged: Vec<_> = vm
        .gates
        .iter()
        .filter(|gate| gate.log)
        .map(|gate| gate.exit.name)
        .collect();
    assert_eq!(logged, ["rdtsc", "wbinvd"]);
}

#[test]
fn rules_and_limits_reach_the_gate() {
    let vm = one("[set.main]\n\
         rdtsc = { limit = 5, when = [{ cpl = 3, action = \"log\" }, { action = \"stop\" }] }\n\
         pause = { action = \"count\", limit = 7, then = \"pass\" }\n");
    let gate = |code| vm.gates.iter().find(|gate| gate.exit.code == code).unwrap();
    let rdtsc = gate(ExitCode::Rdtsc);
    assert_eq!(rdtsc.limit, Some((5, Then::Stop)));
    let [rule] = &rdtsc.rules[..] else {
        panic!("{} rules", rdtsc.rules.len())
    };
    let condition = Condition {
        test: Test::Cpl,
        first: 3,
        last: 3,
    };
    assert_eq!(rule.conditions, [condition]);
    assert_eq!((rule.log, rule.origin.line), (true, 2));
    assert_eq!(handler(&vm, ExitCode::Rdtsc).as_deref(), Some("stop::stop"));
    assert_eq!(gate(ExitCode::Pause).limit, Some((7, Then::Pass)));
}

#[test]
fn a_filter_reaches_the_vmcb_and_asks_for_what_the_cpu_must_have() {
    const HEAD: &str = "[target]\nmachine = \"zen1\"\n[set.main]\n";
    let seen = |answer: &str| {
        let vm = one(&format!("{HEAD}pause = {answer}\n"));
        let value = |name: &str| {
            let mut fields = vm.vmcb.iter();
            fields
                .find(|field| field.field.name == name)
                .map(|field| field.value)
        };
        let needs: Vec<_> = vm.needs.iter().map(|need| need.feature.name).collect();
        (
            value("pause_filter_count"),
            value("pause_filter_threshold"),
            needs[2..].to_vec(),
        )
    };
    assert_eq!(seen("\"count\""), (None, None, vec![]));
    assert_eq!(
        seen("{ action = \"count\", filter = 3000 }"),
        (Some(3000), None, vec!["pause-filter"])
    );
    assert_eq!(
        seen("{ action = \"count\", filter = 1, threshold = 128 }"),
        (Some(1), Some(128), vec!["pause-filter", "pause-threshold"])
    );
}

#[test]
fn the_guests_cpu_is_the_model_with_what_the_policy_says() {
    let policy = lowered(
        "[[vm]]\nname = \"demo\"\nmemory = \"4 MiB\"\nintercepts = { cpuid = \"emulate\" }\n\
         [vm.cpuid]\nhide = [\"sse3\", \"0x80000008\"]\nshow = [\"aes\", \"hypervisor\", 7]\n",
    );
    let vm = &policy.vms[0];
    let [features, seven, sizes] = &vm.cpuid[..] else {
        panic!("{} leaves", vm.cpuid.len())
    };
    let (sse3, aes, hypervisor) = (1 << 0, 1 << 25, 1 << 31);
    assert_eq!(features.keep, [!0, !0, !(sse3 | aes | hypervisor), !0]);
    assert_eq!(features.host, [0, 0, aes, 0]);
    assert_eq!(features.set, [0, 0, hypervisor, 0]);
    assert_eq!((seven.keep, seven.host), ([0; 4], [!0; 4]));
    assert_eq!(
        (sizes.keep, sizes.host, sizes.set),
        ([0; 4], [0; 4], [0; 4])
    );
    // Leaf 7 is none of the model's.
    assert_eq!(
        handler(vm, ExitCode::Cpuid).as_deref(),
        Some("cpuid::by_rules")
    );
}

#[test]
fn an_omitted_asid_is_the_lowest_free_one() {
    let vm = |name: &str, asid: &str| {
        format!("[[vm]]\nname = \"{name}\"\nmemory = \"4 MiB\"\nintercepts = []\n{asid}\n")
    };
    let text = [
        vm("a", ""),
        vm("b", "asid = 1"),
        vm("c", ""),
        vm("d", "asid = 3"),
    ]
    .concat();
    let asids: Vec<_> = lowered(&text).vms.iter().map(|vm| vm.asid).collect();
    assert_eq!(asids, [2, 1, 4, 3]);
}

#[test]
fn a_line_brings_its_ports_to_the_vm_that_gets_it() {
    let policy = lowered(
        "[[vm]]\nname = \"demo\"\nmemory = \"4 MiB\"\nintercepts = []\n\
         [[vm.io]]\nports = \"0x300-0x30f\"\naction = \"ignore\"\n\
         [irq]\n5 = { vm = \"demo\", ports = \"0x220-0x22f\" }\n1 = \"vmm\"\n12 = \"focus\"\n",
    );
    let routes: Vec<_> = policy
        .routes
        .iter()
        .map(|route| (route.line, route.to))
        .collect();
    assert_eq!(
        routes,
        [(1, Owner::Vmm), (5, Owner::Vm(0)), (12, Owner::Focus)]
    );
    let rules: Vec<_> = policy.vms[0]
        .io
        .iter()
        .map(|rule| (rule.first, rule.last, rule.action, rule.origin.line))
        .collect();
    let expected = [
        (0x220, 0x22f, IoAction::Pass, 9),
        (0x300, 0x30f, IoAction::Ignore, 6),
    ];
    assert_eq!(rules, expected);
}

#[test]
fn a_policy_without_irq_leaves_keyboard_and_com1_to_the_vmm() {
    let policy = lowered("[[vm]]\nname = \"demo\"\nmemory = \"4 MiB\"\nintercepts = []\n");
    let lines: Vec<_> = policy
        .routes
        .iter()
        .map(|route| (route.line, route.to))
        .collect();
    assert_eq!(lines, [(1, Owner::Vmm), (4, Owner::Vmm)]);
}

#[test]
fn what_a_policy_needs_is_named_with_the_line_that_asks() {
    let vm = one("[set.main]\nmonitor = \"emulate\"\nmwait = \"wait\"\n");
    let needs: Vec<_> = vm
        .needs
        .iter()
        .map(|need| (need.feature, need.origin.line, &*need.origin.text))
        .collect();
    assert_eq!(
        needs,
        [
            (Feature::SVM, 5, "[[vm]]"),
            (Feature::NPT, 5, "npt = true, by default"),
            (Feature::MONITOR, 2, "monitor = \"emulate\""),
        ]
    );
}

/// `msr::emulate` is the short road that asks no rule.
#[test]
fn rules_over_msrs_are_asked_exactly_where_there_are_some() {
    let msr = |action: &str, rule: &str| {
        let text = format!(
            "[[vm]]\nname = \"demo\"\nmemory = \"64 MiB\"\nintercepts = {{ msr = \"{action}\" }}\n{rule}"
        );
        handler(&lowered(&text).vms.remove(0), ExitCode::Msr)
    };
    let rule = |read: &str| format!("[[vm.msr]]\nmsr = \"tsc_aux\"\nread = \"{read}\"\n");
    for action in ["emulate", "count", "log"] {
        assert_eq!(msr(action, "").as_deref(), Some("msr::emulate"));
        for by_model in ["pass", "emulate"] {
            let handler = msr(action, &rule(by_model));
            assert_eq!(handler.as_deref(), Some("msr::emulate"), "{by_model}");
        }
        for own in ["ignore", "deny", "stop"] {
            let handler = msr(action, &rule(own));
            assert_eq!(handler.as_deref(), Some("msr::by_rules"), "{own}");
        }
    }
    assert_eq!(msr("deny", &rule("ignore")).as_deref(), Some("deny::gp"));
}

#[test]
fn a_broken_text_is_not_blamed_for_what_it_seems_to_lack() {
    let text = "[[vm]]\nname = \"demo\"\nmemory = \nintercepts = \"main\"\ncolour = 1\n";
    let report = vmm_config::policy(Source::new("vm.toml", text), &Handlers::Unknown, None)
        .expect_err("no TOML");
    let rules: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.rule.name)
        .collect();
    assert_eq!(rules, ["syntax", "unknown-key"]);
}

const EXPANDED: &str = r#"
[set.base]
cpuid = "emulate"
hlt = "wait"

[set.main]
extends = "base"
rdtsc = { handler = "coarse_tsc", log = true }
pause = { action = "inject", vector = 13, error = 0 }

[[vm]]
name = "demo"
memory = "64 MiB"
intercepts = "main"

[[vm.msr]]
msr = "tsc_aux"
read = "pass"

[irq]
5 = { vm = "demo", ports = "0x220-0x22f" }
"#;

#[test]
fn a_policy_written_out_says_where_each_answer_comes_from() {
    let text = Expanded(&lowered(EXPANDED)).to_string();
    insta::assert_snapshot!(text);
}

/// A processor with INVPCID would flush its TLB, and the shadow tables would not hear of it.
#[test]
fn invpcid_is_no_instruction_of_a_guest_under_shadow_paging() {
    let on = |machine: &str, sets: &str| {
        let sets = format!("[target]\nmachine = \"{machine}\"\n[set.main]\nhlt = \"wait\"\n{sets}");
        let vm =
            "[[vm]]\nname = \"demo\"\nmemory = \"64 MiB\"\nintercepts = \"main\"\nnpt = false\n";
        handler(
            &lowered(&format!("{sets}\n{vm}")).vms.remove(0),
            ExitCode::Invpcid,
        )
    };
    assert_eq!(on("zen3", "").as_deref(), Some("deny::ud"));
    assert_eq!(
        on("zen3", "invpcid = \"count\"").as_deref(),
        Some("deny::ud")
    );
    assert_eq!(on("zen2", ""), None);
}
