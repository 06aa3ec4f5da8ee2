//! Rules about I/O ports: those of `[[vm.io]]` and of lines that bring a device.

use crate::finding::Findings;
use crate::ports::{Ports, are_tame, device, host, meet};
use crate::resolve::Policy;
use crate::rules;
use crate::source::At;
use crate::words::IoAction;
use crate::written::Vm;

/// All ports that a VM has a rule for.
fn rules_of<'p>(
    policy: &'p Policy,
    vm: &'p Vm,
) -> impl Iterator<Item = (At<Ports>, IoAction)> + Clone + 'p {
    let own = vm.io.iter().map(|rule| (rule.ports, rule.action.value));
    let of_lines = policy
        .document
        .lines
        .iter()
        .filter(|line| line.to.value == vm.name.value)
        .filter_map(|line| Some((line.ports?, IoAction::Pass)));
    own.chain(of_lines)
}

fn show(ports: Ports) -> String {
    if ports.0 == ports.1 {
        format!("port {:#x}", ports.0)
    } else {
        format!("ports {:#x}-{:#x}", ports.0, ports.1)
    }
}

/// A port has one rule.
pub(super) fn overlap(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        for (index, (ports, _)) in rules_of(policy, vm).enumerate() {
            let twin = rules_of(policy, vm)
                .take(index)
                .find(|(other, _)| meet(other.value, ports.value));
            if let Some((twin, _)) = twin {
                found
                    .add(
                        &rules::PORTS_OVERLAP,
                        ports.span,
                        format!("a second rule for {}", show(ports.value)),
                    )
                    .also(twin.span, "the first one")
                    .help("make the ranges disjoint");
            }
        }
    }
}

/// The ports of a VM's devices have no rule.
pub(super) fn of_devices(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        for (ports, _) in rules_of(policy, vm) {
            if let Some((taken, owner)) = device(ports.value, &vm.devices) {
                found
                    .add(
                        &rules::PORTS_OF_DEVICE,
                        ports.span,
                        format!("{owner} answers {}", show(taken)),
                    )
                    .help("leave them out, or take the device out of `devices`");
            }
        }
    }
}

/// `pass` reaches none of the host's ports.
pub(super) fn of_the_vmm(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        for (ports, action) in rules_of(policy, vm) {
            if action != IoAction::Pass {
                continue;
            }
            if let Some((taken, what)) = host(ports.value) {
                found
                    .add(
                        &rules::PORTS_OF_VMM,
                        ports.span,
                        format!("no guest gets {}", show(taken)),
                    )
                    .label(what)
                    .help("leave them out: what has no rule is denied");
            }
        }
    }
}

/// What is passed is known not to reach memory by itself.
pub(super) fn passed_are_tame(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        for (ports, action) in rules_of(policy, vm) {
            let refused = action != IoAction::Pass || host(ports.value).is_some();
            if !refused && !are_tame(ports.value) {
                found
                    .add(
                        &rules::PORTS_UNVETTED,
                        ports.span,
                        format!(
                            "the device behind {} may reach any memory",
                            show(ports.value)
                        ),
                    )
                    .help("pass it only if you know that the device is no bus master");
            }
        }
    }
}
