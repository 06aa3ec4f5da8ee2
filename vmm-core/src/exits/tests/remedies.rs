//! What a refusal says to write.

use std::format;

use super::*;
use crate::exits::remedy::{OfExit, OfMsr, OfPort};
use crate::vm::denials::Denied;

static RULES: VmPolicy = VmPolicy {
    io: &[
        IoRule {
            first: 0x300,
            last: 0x30f,
            action: IoAction::Deny,
        },
        IoRule {
            first: 0xffff,
            last: 0xffff,
            action: IoAction::Pass,
        },
    ],
    msrs: &[MsrRule {
        first: 0x200,
        last: 0x2ff,
        read: MsrAction::Emulate,
        write: MsrAction::Deny,
    }],
    ..QUIET
};

fn vm_that_refused(policy: &'static VmPolicy, denied: &[Denied]) -> Vm {
    let Instance { mut vm, .. } = guest(policy, &[]);
    for denied in denied {
        vm.denials.note(*denied);
    }
    vm
}

fn of_port(vm: &Vm, port: u16) -> std::string::String {
    let has_company = false;
    format!(
        "{}",
        OfPort {
            vm,
            port,
            has_company
        }
    )
}

#[test]
fn a_port_without_a_rule_gets_one() {
    let vm = vm_that_refused(&RULES, &[Denied::In(0x1234)]);
    let text = of_port(&vm, 0x1234);
    assert!(text.starts_with("to allow it, add\n    [[vm.io]]\n    ports = \"0x1234\"\n"));
    assert_eq!(text.matches("[[vm.io]]").count(), 1);
}

#[test]
fn the_other_direction_of_a_port_needs_no_second_rule() {
    let vm = vm_that_refused(&RULES, &[Denied::In(0x1234), Denied::Out(0x1234)]);
    assert!(!of_port(&vm, 0x1234).contains("[[vm.io]]"));
}

#[test]
fn a_rule_over_a_range_is_split_around_all_that_it_refused() {
    let vm = vm_that_refused(&RULES, &[Denied::Out(0x30f), Denied::In(0x301)]);
    let text = of_port(&vm, 0x301);
    let ports: Vec<_> = text
        .split("ports = ")
        .skip(1)
        .map(|rest| rest.split('#').next().unwrap_or_default().trim())
        .map(|rest| rest.split("\n    [[").next().unwrap_or_default())
        .collect();
    assert!(text.starts_with("to allow it, in place of the rule for 0x300-0x30f, add\n"));
    assert_eq!(
        ports,
        [
            "\"0x300\"\n    action = \"deny\"",
            "\"0x301\"\n    action = \"ignore\"",
            "\"0x302-0x30e\"\n    action = \"deny\"",
            "\"0x30f\"\n    action = \"ignore\"",
        ]
    );
}

#[test]
fn an_msr_keeps_what_its_rule_says_of_the_other_direction() {
    let vm = vm_that_refused(&RULES, &[Denied::Wrmsr(0x200)]);
    let text = format!(
        "{}",
        OfMsr {
            vm: &vm,
            msr: 0x200
        }
    );
    assert_eq!(
        text,
        "to allow it, in place of the rule for 0x200-0x2ff, add\n    \
         [[vm.msr]]\n    msr = \"0x200\"\n    read = \"emulate\"\n    write = \"ignore\"\n    \
         [[vm.msr]]\n    msr = \"0x201-0x2ff\"\n    read = \"emulate\"\n    write = \"deny\""
    );
}

#[test]
fn both_directions_of_an_msr_are_one_rule() {
    let vm = vm_that_refused(&QUIET, &[Denied::Rdmsr(0x1234), Denied::Wrmsr(0x1234)]);
    let text = format!(
        "{}",
        OfMsr {
            vm: &vm,
            msr: 0x1234
        }
    );
    assert!(text.ends_with(
        "[[vm.msr]]\n    msr = \"0x1234\"\n    read = \"ignore\"\n    write = \"ignore\""
    ));
}

#[test]
fn a_wide_access_that_begins_at_a_passed_port_is_told_the_port_that_is_not() {
    // OUT of 4 from FFFFh on reaches port 0, which is the host's.
    let mut instance = guest(&RULES, &[]);
    instance.vcpu.control_mut().exit_info1 = 0xffff << 16 | 4 << 4;
    let Instance { vcpu, vm } = &mut instance;
    io::emulate(vcpu, vm);
    let refused: Vec<_> = vm.denials.iter().collect();
    assert_eq!(refused, [(Denied::Out(0), 1)]);
    let has_company = true;
    let text = format!(
        "{}",
        OfPort {
            vm,
            port: 0,
            has_company
        }
    );
    assert!(
        text.ends_with("ports = \"0x0\"\n    action = \"pass\""),
        "{text}"
    );
}

#[test]
fn what_no_guest_has_is_not_offered() {
    let remedy = |exit: ExitCode, npt| {
        let exit = exit.exit();
        format!("{}", OfExit { exit, npt })
    };
    assert_eq!(
        remedy(ExitCode::Vmrun, true),
        "the CPU that guests see does not have it"
    );
    assert!(remedy(ExitCode::Invpcid, false).contains("under shadow paging"));
    assert!(remedy(ExitCode::Invpcid, true).contains("`\"invpcid\" = \"pass\"`"));
    assert!(remedy(ExitCode::Invlpg, false).contains("`\"invlpg\" = \"count\"`"));
}

#[test]
fn an_exit_that_came_unasked_is_told_an_action_that_fits_it() {
    for exit in intercepts::EXITS {
        let Instance { mut vcpu, mut vm } = guest(&QUIET, &[]);
        vcpu.control_mut().exit_code = exit.code as u64;
        unexpected::stop(&mut vcpu, &mut vm);
        let end = vm.end.expect("an end");
        let word = end.reason.split(" = \"").nth(1);
        let action = word.map(|word| word.split('"').next().unwrap_or_default());
        let action = action.map(|name| intercepts::Action::by_name(name).expect("an action"));
        assert!(
            action.is_none_or(|action| exit.accepts(action)),
            "{}: {}",
            exit.name,
            end.reason
        );
        let can_go_on =
            exit.accepts(intercepts::Action::Count) || exit.accepts(intercepts::Action::Emulate);
        assert_eq!(action.is_some(), can_go_on, "{}", exit.name);
    }
}
