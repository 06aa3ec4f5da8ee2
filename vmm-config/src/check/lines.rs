//! Rules about physical interrupt lines.

use crate::finding::Findings;
use crate::near;
use crate::read::{FOCUS, VMM};
use crate::resolve::Policy;
use crate::rules;

/// A line has one owner.
pub(super) fn given_once(policy: &Policy, found: &mut Findings<'_>) {
    let mut lines: Vec<_> = policy.document.lines.iter().map(|line| line.line).collect();
    lines.sort_by_key(|line| line.span);
    for (index, line) in lines.iter().enumerate() {
        if let Some(twin) = lines[..index].iter().find(|twin| twin.value == line.value) {
            found
                .add(
                    &rules::LINE_TWICE,
                    line.span,
                    format!("line {} is given twice", line.value),
                )
                .also(twin.span, "the first time")
                .help("keep one of the two");
        }
    }
}

/// The lines that the VMM works with stay its own.
pub(super) fn of_the_vmm(policy: &Policy, found: &mut Findings<'_>) {
    for line in &policy.document.lines {
        if line.line.value <= 4 && line.to.value != VMM {
            found
                .add(
                    &rules::LINE_OF_VMM,
                    line.to.span,
                    format!("line {} cannot go to a VM", line.line.value),
                )
                .help(format!("write `{} = \"vmm\"`", line.line.value));
        }
    }
}

/// Ports go to one VM, whoever has the focus.
pub(super) fn of_the_focus(policy: &Policy, found: &mut Findings<'_>) {
    for line in &policy.document.lines {
        if let (FOCUS, Some(ports)) = (line.to.value.as_str(), line.ports) {
            found
                .add(
                    &rules::LINE_OF_FOCUS,
                    ports.span,
                    format!(
                        "line {} goes to whoever has the focus, and its ports cannot",
                        line.line.value
                    ),
                )
                .help(format!(
                    "write `{} = \"focus\"`, or name the VM that has the device",
                    line.line.value
                ));
        }
    }
}

/// A line goes to somebody who exists.
pub(super) fn owner_exists(policy: &Policy, found: &mut Findings<'_>) {
    let names: Vec<_> = policy
        .document
        .vms
        .iter()
        .map(|vm| vm.name.value.as_str())
        .chain([VMM, FOCUS])
        .filter(|name| !name.is_empty())
        .collect();
    for line in &policy.document.lines {
        if !names.contains(&line.to.value.as_str()) {
            found
                .add(
                    &rules::UNKNOWN_VM,
                    line.to.span,
                    format!("unknown VM `{}`", line.to.value.escape_debug()),
                )
                .help(near::suggest(&line.to.value, names.iter().copied()));
        }
    }
}
