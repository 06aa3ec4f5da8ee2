//! Rules about `when` and `limit`.

use intercepts::{Action, Exit, Intercept, Owner};

use super::exits::{entries, fitting};
use crate::finding::Findings;
use crate::near;
use crate::resolve::Policy;
use crate::rules;
use crate::words::{Test, Then, Word};
use crate::written::{Answer, Condition, Rule};

/// Whether an exit stands for what the guest does, rather than for what the VMM works with.
pub(super) fn is_of_guest(exit: &Exit) -> bool {
    matches!(exit.intercept, Intercept::Bit { .. })
        && (exit.accepts(Action::Stop) || exit.owner == Owner::Policy)
}

/// A condition looks at what its exit has, and at nothing that the VMM works with.
pub(super) fn conditions_fit(policy: &Policy, found: &mut Findings<'_>) {
    for entry in entries(policy) {
        let exit = entry.exit.value;
        let conditions = entry.when.iter().flat_map(|rule| &rule.conditions);
        for condition in conditions {
            let test = condition.value.test;
            let help = if !is_of_guest(exit) {
                fitting(exit)
            } else if !test.fits(exit) {
                let tests = Test::ALL.iter().filter(|test| test.fits(exit));
                let names: Vec<_> = tests.map(|test| test.name()).collect();
                format!("here a rule looks at {}", near::list(&names))
            } else {
                continue;
            };
            found
                .add(
                    &rules::WHEN_FITS,
                    condition.span,
                    format!("`{}` has no `{}`", exit.name, test.name()),
                )
                .label(test.meaning())
                .why(rules::WHEN_FITS.demands, Some(exit.section))
                .help(help);
        }
    }
}

/// A rule answers an exit that has happened, so it cannot pass it.
pub(super) fn no_rule_passes(policy: &Policy, found: &mut Findings<'_>) {
    for entry in entries(policy).filter(|entry| !entry.when.is_empty()) {
        let answers = entry.when.iter().map(|rule| &rule.answer);
        for answer in answers.chain([&entry.answer]) {
            if answer.value == Answer::Action(Action::Pass) {
                found
                    .add(
                        &rules::WHEN_PASS,
                        answer.span,
                        format!("a rule passes `{}`", entry.exit.value.name),
                    )
                    .help("write `count`: done as the CPU would have done it");
            }
        }
    }
}

/// Each rule holds for something that no rule before it takes.
pub(super) fn rules_are_reached(policy: &Policy, found: &mut Findings<'_>) {
    for entry in entries(policy) {
        for (index, rule) in entry.when.iter().enumerate() {
            let (Some(first), Some(taken)) = (
                rule.conditions.first(),
                entry.when[..index].iter().find(|other| covers(other, rule)),
            ) else {
                continue;
            };
            let draft = found.add(
                &rules::WHEN_REACHED,
                first.span,
                "this rule is never reached",
            );
            match taken.conditions.first() {
                Some(condition) => draft.also(condition.span, "takes all that it would"),
                None => draft,
            }
            .help("put the narrower rule first");
        }
    }
}

/// Whether `one` holds wherever `other` does.
fn covers(one: &Rule, other: &Rule) -> bool {
    let within = |inner: Condition, outer: Condition| {
        inner.test == outer.test && outer.first <= inner.first && inner.last <= outer.last
    };
    one.conditions.iter().all(|outer| {
        other
            .conditions
            .iter()
            .any(|inner| within(inner.value, outer.value))
    })
}

/// What comes after a limit is possible.
pub(super) fn limit_fits(policy: &Policy, found: &mut Findings<'_>) {
    for entry in entries(policy) {
        let exit = entry.exit.value;
        let Some(limit) = entry.limit else { continue };
        let (at, message, why) = match limit.then.value {
            _ if !is_of_guest(exit) => (
                limit.exits.span,
                format!("`{}` cannot have a limit", exit.name),
                "the VMM itself works with it",
            ),
            Then::Pass if !exit.accepts(Action::Pass) => (
                limit.then.span,
                format!("`{}` cannot be passed, at any time", exit.name),
                rules::PASS_FLOOR.demands,
            ),
            Then::Stop | Then::Pass => continue,
        };
        found
            .add(&rules::LIMIT_FITS, at, message)
            .why(why, Some(exit.section))
            .help(if is_of_guest(exit) {
                "write `then = \"stop\"`"
            } else {
                "remove `limit`"
            });
    }
}
