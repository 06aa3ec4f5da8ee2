//! Rules about MSRs: those of `[[vm.msr]]`.

use intercepts::{Carrier, MSRS, msr_by_number};

use crate::finding::Findings;
use crate::near;
use crate::ports::meet;
use crate::resolve::Policy;
use crate::rules;
use crate::source::Span;
use crate::words::MsrAction;
use crate::written::MsrRule;

/// The MSRs that the permission map has bits for (APM 15.11).
const MAPPED: [(u32, u32); 3] = [
    (0, 0x1fff),
    (0xc000_0000, 0xc000_1fff),
    (0xc001_0000, 0xc001_1fff),
];

/// The first place where a rule says `pass`.
fn passes(rule: &MsrRule) -> Option<Span> {
    [rule.read, rule.write]
        .into_iter()
        .find(|action| action.value == MsrAction::Pass)
        .map(|action| action.span)
}

fn show(number: u32) -> String {
    match msr_by_number(number) {
        Some(msr) => format!("`{}`", msr.name),
        None => format!("MSR {number:#x}"),
    }
}

/// An MSR has one rule.
pub(super) fn overlap(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        for (index, rule) in vm.msrs.iter().enumerate() {
            let twin = vm.msrs[..index]
                .iter()
                .find(|other| meet(other.msrs.value, rule.msrs.value));
            if let Some(twin) = twin {
                let first = rule.msrs.value.0.max(twin.msrs.value.0);
                found
                    .add(
                        &rules::MSRS_OVERLAP,
                        rule.msrs.span,
                        format!("{} has a rule already", show(first)),
                    )
                    .also(twin.msrs.span, "here")
                    .help("say `read` and `write` in one rule");
            }
        }
    }
}

/// `pass` needs an MSR that is switched.
pub(super) fn switched(policy: &Policy, found: &mut Findings<'_>) {
    for rule in policy.document.vms.iter().flat_map(|vm| &vm.msrs) {
        let Some(pass) = passes(rule) else { continue };
        let (first, last) = rule.msrs.value;
        // Only MSRs with a name can be switched, so the search ends after as many steps.
        let unswitched = (first..=last)
            .find(|number| msr_by_number(*number).is_none_or(|msr| msr.carrier == Carrier::Nobody));
        if let Some(number) = unswitched.filter(|_| is_mapped(rule)) {
            let names: Vec<_> = MSRS
                .iter()
                .filter(|msr| msr.carrier != Carrier::Nobody)
                .map(|msr| msr.name)
                .collect();
            found
                .add(
                    &rules::MSR_UNSWITCHED,
                    pass,
                    format!("{} cannot be passed", show(number)),
                )
                .also(rule.msrs.span, "nobody switches it")
                .help(format!(
                    "write `emulate`; `pass` is for {}",
                    near::list(&names)
                ));
        }
    }
}

/// `pass` needs an MSR that the permission map covers.
pub(super) fn mapped(policy: &Policy, found: &mut Findings<'_>) {
    for rule in policy.document.vms.iter().flat_map(|vm| &vm.msrs) {
        if let Some(pass) = passes(rule)
            && !is_mapped(rule)
        {
            found
                .add(
                    &rules::MSR_UNMAPPED,
                    pass,
                    "an MSR outside the permission map cannot be passed",
                )
                .also(rule.msrs.span, "access to it always exits")
                .help("write `emulate`, `ignore`, `deny` or `stop`");
        }
    }
}

fn is_mapped(rule: &MsrRule) -> bool {
    let (first, last) = rule.msrs.value;
    MAPPED
        .iter()
        .any(|(low, high)| *low <= first && last <= *high)
}
