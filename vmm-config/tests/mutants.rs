//! Whatever becomes of a good policy's text, it is refused at a place inside the file, or it
//! makes a VMCB that VMRUN accepts. Nothing panics.

mod change;
mod common;

use change::{GOOD, apply, change};
use intercepts::{Action, EXITS, Intercept, vmcb};
use proptest::prelude::*;
use vmm_config::expand::Expanded;
use vmm_config::lowered::{Gate, Vm};
use vmm_config::written::Answer;
use vmm_config::{Handlers, Lowered, Source};

fn holds(text: &str) -> Result<(), TestCaseError> {
    let handlers = Handlers::Known(vec!["quiet".to_owned()]);
    match vmm_config::policy(Source::new("vm.toml", text), &handlers, None) {
        Err(report) => {
            let lines = text.matches('\n').count() + 1;
            prop_assert!(report.has_errors());
            for finding in &report.findings {
                prop_assert!((1..=lines).contains(&finding.at.start.line));
            }
            for picture in report.pictures(true).chain(report.pictures(false)) {
                prop_assert!(!picture.is_empty());
            }
        }
        Ok(lowered) => {
            prop_assert!(!lowered.vms.is_empty());
            written_out(&lowered, &handlers)?;
            for vm in &lowered.vms {
                let control = common::vmcb(vm);
                prop_assert_eq!(vmcb::validate(&control, 1 << 40), Ok(()));
                for gate in &vm.gates {
                    prop_assert!(gate.answer != Answer::Action(Action::Pass));
                }
                for exit in EXITS.iter().filter(|exit| exit.is_floor()) {
                    prop_assert!(
                        vmcb::intercepts(&control, exit.code),
                        "{} is not intercepted",
                        exit.name
                    );
                }
                for exit in EXITS {
                    let has_bit = matches!(exit.intercept, Intercept::Bit { .. });
                    let handled = vm.gates.iter().any(|gate| gate.exit.code == exit.code);
                    if has_bit {
                        prop_assert_eq!(vmcb::intercepts(&control, exit.code), handled);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Written out, a policy is a policy that means the same.
fn written_out(lowered: &Lowered, handlers: &Handlers) -> Result<(), TestCaseError> {
    let text = Expanded(lowered).to_string();
    let again = vmm_config::policy(Source::new("vm.toml", &text), handlers, None);
    let again = again.map_err(|report| TestCaseError::fail(format!("{text}\n{report}")))?;
    prop_assert_eq!(
        Expanded(&again).to_string().lines().count(),
        text.lines().count()
    );
    for (one, other) in lowered.vms.iter().zip(&again.vms) {
        let handlers = |vm: &Vm| -> Vec<_> {
            let rules = |gate: &Gate| -> Vec<_> {
                let rules = gate.rules.iter();
                rules
                    .map(|rule| (rule.conditions.clone(), rule.handler.clone(), rule.log))
                    .collect()
            };
            vm.gates
                .iter()
                .map(|gate| {
                    let answer = (gate.handler.clone(), gate.log, gate.limit, gate.filter);
                    (gate.exit.code, rules(gate), answer)
                })
                .collect()
        };
        let fields = |vm: &Vm| -> Vec<_> {
            vm.vmcb
                .iter()
                .map(|field| (field.field.name, field.value))
                .collect()
        };
        prop_assert_eq!(handlers(one), handlers(other));
        prop_assert_eq!(fields(one), fields(other));
        let ports = |vm: &Vm| -> Vec<_> {
            vm.io
                .iter()
                .map(|rule| (rule.first, rule.last, rule.action))
                .collect()
        };
        let msrs = |vm: &Vm| -> Vec<_> {
            vm.msrs
                .iter()
                .map(|rule| (rule.first, rule.last, rule.read, rule.write))
                .collect()
        };
        let cpuid = |vm: &Vm| -> Vec<_> {
            vm.cpuid
                .iter()
                .map(|rule| (rule.leaf, rule.keep, rule.host, rule.set))
                .collect()
        };
        prop_assert_eq!((ports(one), msrs(one)), (ports(other), msrs(other)));
        prop_assert_eq!((cpuid(one), one.tlb), (cpuid(other), other.tlb));
        prop_assert_eq!(one.cpu, other.cpu);
        prop_assert_eq!((&one.devices, one.halted), (&other.devices, other.halted));
        prop_assert_eq!(
            (one.autostart, one.weight, one.counters),
            (other.autostart, other.weight, other.counters)
        );
        prop_assert_eq!(one.ticks, other.ticks);
        let restarts = |vm: &Vm| (vm.restart, vm.restart_limit);
        prop_assert_eq!(restarts(one), restarts(other));
        prop_assert_eq!((&one.name, &one.cmdline), (&other.name, &other.cmdline));
        prop_assert_eq!((&one.image, one.memory), (&other.image, other.memory));
        prop_assert_eq!((&one.initrd, one.protocol), (&other.initrd, other.protocol));
        prop_assert_eq!(&one.modules, &other.modules);
    }
    let routes = |policy: &Lowered| -> Vec<_> {
        policy
            .routes
            .iter()
            .map(|route| (route.line, route.to))
            .collect()
    };
    prop_assert_eq!(routes(lowered), routes(&again));
    prop_assert_eq!(lowered.quantum_us, again.quantum_us);
    Ok(())
}

#[test]
fn the_policies_to_be_changed_are_good() {
    for text in GOOD {
        let handlers = Handlers::Known(vec!["quiet".to_owned()]);
        let result = vmm_config::policy(Source::new("vm.toml", text), &handlers, None);
        let warnings = result.unwrap_or_else(|report| panic!("{report}")).warnings;
        assert!(warnings.findings.is_empty(), "{warnings}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_changed_policy_is_refused_at_a_line_or_makes_a_legal_vmcb(
        good in prop::sample::select(&GOOD[..]),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let mut bytes = good.as_bytes().to_vec();
        for change in &changes {
            apply(&mut bytes, change);
        }
        holds(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_text_gives_a_policy_or_a_report(text in "\\PC{0,80}|[\\[\\]{}=.\"'a-z0-9\n ]{0,200}") {
        holds(&text)?;
    }
}
