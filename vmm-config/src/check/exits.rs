//! Rules about exits and their answers.

use std::collections::HashSet;

use intercepts::{Action, Exit, Feature, Finish, VECTORS};

use super::when::is_of_guest;
use crate::finding::Findings;
use crate::handlers::Handlers;
use crate::near;
use crate::resolve::Policy;
use crate::rules;
use crate::source::At;
use crate::words::pushes_error;
use crate::written::{Answer, Entry, Filter};

/// Everything that any set says about an exit, used by a VM or not.
pub(super) fn entries(policy: &Policy) -> impl Iterator<Item = &Entry> {
    policy.document.sets.iter().flat_map(|set| &set.entries)
}

/// Every answer to an exit, those in rules of `when` too.
fn answers(policy: &Policy) -> impl Iterator<Item = (&'static Exit, &At<Answer>)> {
    entries(policy).flat_map(|entry| {
        let ruled = entry.when.iter().map(|rule| &rule.answer);
        ruled
            .chain([&entry.answer])
            .map(|answer| (entry.exit.value, answer))
    })
}

/// What the VMs' sets come to, each entry once however many VMs use it.
fn used(policy: &Policy) -> impl Iterator<Item = &Entry> {
    let mut seen = HashSet::new();
    policy
        .gates
        .iter()
        .flatten()
        .filter_map(|gate| gate.entry.as_ref())
        .filter(move |entry| seen.insert(entry.exit.span))
}

/// The actions that a person may write for an exit.
pub(super) fn fitting(exit: &Exit) -> String {
    let names: Vec<_> = Action::ALL
        .into_iter()
        .filter(|action| exit.accepts(*action))
        .map(Action::name)
        .collect();
    format!("`{}` takes {}", exit.name, near::list(&names))
}

/// A set answers an exit once: `cr3.write` and `"cr3.write"` are the same.
pub(super) fn answered_once(policy: &Policy, found: &mut Findings<'_>) {
    for set in &policy.document.sets {
        for (index, entry) in set.entries.iter().enumerate() {
            let exit = entry.exit;
            let twin = set.entries[..index]
                .iter()
                .find(|other| other.exit.value.code == exit.value.code);
            if let Some(twin) = twin {
                found
                    .add(
                        &rules::ANSWER_TWICE,
                        exit.span.max(twin.exit.span),
                        format!("a second answer to `{}`", exit.value.name),
                    )
                    .also(exit.span.min(twin.exit.span), "the first one")
                    .help("keep one of the two");
            }
        }
    }
}

/// An action fits its exit; `count` and `log` have a method there.
pub(super) fn action_fits(policy: &Policy, found: &mut Findings<'_>) {
    for (exit, answer) in answers(policy) {
        let Some(action) = answer.value.action() else {
            continue;
        };
        if action == Action::Pass || exit.accepts(action) {
            continue;
        }
        let counting = matches!(action, Action::Count | Action::Log);
        let draft = if counting && exit.finish == Finish::None {
            let message = format!("there is no way to {} `{}`", action.name(), exit.name);
            found
                .add(&rules::COUNT_METHOD, answer.span, message)
                .why(rules::COUNT_METHOD.demands, Some(exit.section))
        } else {
            let message = format!("`{}` does not fit `{}`", action.name(), exit.name);
            found
                .add(&rules::ACTION_FITS, answer.span, message)
                .label(format!("{}: {}", action.name(), action.meaning()))
                .why(
                    &format!("what causes {}: {}", exit.apm, exit.trigger),
                    Some(exit.section),
                )
        };
        draft.help(fitting(exit));
    }
}

/// `pass` leaves neither the isolation floor nor what the VMM works with.
pub(super) fn pass_is_possible(policy: &Policy, found: &mut Findings<'_>) {
    for entry in entries(policy) {
        let exit = entry.exit.value;
        if entry.answer.value != Answer::Action(Action::Pass) || exit.accepts(Action::Pass) {
            continue;
        }
        let rule = if exit.is_floor() {
            &rules::PASS_FLOOR
        } else {
            &rules::PASS_OWNED
        };
        found
            .add(
                rule,
                entry.answer.span,
                format!("`{}` cannot be passed", exit.name),
            )
            .why(rule.demands, Some(exit.section))
            .help(format!(
                "leave the line out: the action is then `{}`",
                exit.default.name()
            ));
    }
}

/// A handler answers exits that stand for what the guest does.
pub(super) fn handler_fits(policy: &Policy, found: &mut Findings<'_>) {
    for (exit, answer) in answers(policy) {
        if matches!(answer.value, Answer::Handler(_)) && !is_of_guest(exit) {
            found
                .add(
                    &rules::HANDLER_FITS,
                    answer.span,
                    format!("`{}` cannot have a handler", exit.name),
                )
                .why(rules::HANDLER_FITS.demands, Some(exit.section))
                .help(fitting(exit));
        }
    }
}

/// A handler exists, or could if the handlers are not known.
pub(super) fn handler_exists(policy: &Policy, handlers: &Handlers, found: &mut Findings<'_>) {
    for (_, answer) in answers(policy) {
        let Answer::Handler(name) = &answer.value else {
            continue;
        };
        let (exists, help) = match handlers {
            Handlers::Known(names) if !names.is_empty() => (
                names.contains(name),
                near::suggest(name, names.iter().map(String::as_str)),
            ),
            Handlers::Known(_) => (false, "write the function, or use an action".to_owned()),
            Handlers::Unknown => (
                syn::parse_str::<syn::Ident>(name).is_ok(),
                "write the name of a Rust function".to_owned(),
            ),
        };
        if !exists {
            found
                .add(
                    &rules::UNKNOWN_HANDLER,
                    answer.span,
                    format!("unknown handler `{}`", name.escape_debug()),
                )
                .help(help);
        }
    }
}

/// The vector of the NMI.
const NMI: u8 = 2;

/// NMI is no exception that can be injected.
pub(super) fn injectable(policy: &Policy, found: &mut Findings<'_>) {
    for (_, answer) in answers(policy) {
        if let Answer::Inject { vector, .. } = answer.value
            && vector.value == NMI
        {
            found
                .add(
                    &rules::INJECTABLE,
                    vector.span,
                    "vector 2 is the NMI, not an exception",
                )
                .help("VMRUN refuses it; inject another vector, such as `gp`");
        }
    }
}

/// An injected exception has an error code exactly if its vector has one.
pub(super) fn error_code(policy: &Policy, found: &mut Findings<'_>) {
    for (_, answer) in answers(policy) {
        let Answer::Inject { vector, error } = answer.value else {
            continue;
        };
        let name = VECTORS
            .get(usize::from(vector.value))
            .map_or("", |(_, manual)| *manual);
        let pushes = pushes_error(vector.value);
        let (at, message) = match error {
            Some(error) if !pushes => (error.span, format!("{name} has no error code")),
            None if pushes => (vector.span, format!("{name} needs an error code")),
            _ => continue,
        };
        found.add(&rules::ERROR_CODE, at, message).help(if pushes {
            "add `error = 0`"
        } else {
            "remove `error`"
        });
    }
}

/// The target has what an intercept needs, and what filters it.
pub(super) fn features(policy: &Policy, found: &mut Findings<'_>) {
    for entry in used(policy) {
        let exit = entry.exit.value;
        if let Some(feature) = exit.feature {
            has_feature(policy, exit.name, feature, entry.exit, found);
        }
        let filter = entry.filter.iter().flat_map(Filter::needs);
        for (key, (feature, at)) in ["filter", "threshold"].into_iter().zip(filter) {
            has_feature(policy, key, feature, At::new(exit, at), found);
        }
    }
}

/// The target has `feature`, for which `name` asks, at that place and for that exit.
fn has_feature(
    policy: &Policy,
    name: &str,
    feature: Feature,
    exit: At<&Exit>,
    found: &mut Findings<'_>,
) {
    if policy.document.target_has(feature) {
        return;
    }
    found
        .add(
            &rules::FEATURE,
            exit.span,
            format!(
                "`{name}` needs the feature `{}`, which {} lacks",
                feature.name, policy.document.machine.value.name
            ),
        )
        .why(
            &format!(
                "{}: CPUID {:04X}_{:04X} {} bit {}",
                feature.meaning,
                feature.leaf >> 16,
                feature.leaf & 0xffff,
                format!("{:?}", feature.register).to_uppercase(),
                feature.bit
            ),
            Some(exit.value.section),
        )
        .help(match with_feature(feature) {
            Some(machine) => format!("leave it out, or choose a target such as `{machine}`"),
            None => format!(
                "leave it out, or say `features = [\"{}\"]` in `[target]` if your machine has it",
                feature.name
            ),
        });
}

fn with_feature(feature: Feature) -> Option<&'static str> {
    crate::machine::MACHINES
        .iter()
        .find(|machine| machine.has(feature))
        .map(|machine| machine.name)
}

/// An emulator that never takes an exit is named.
pub(super) fn never_exits(policy: &Policy, found: &mut Findings<'_>) {
    let machine = policy.document.machine.value;
    for entry in used(policy) {
        let code = entry.exit.value.code;
        if let Some((_, instead)) = machine.never_exits.iter().find(|(exit, _)| *exit == code) {
            found
                .add(
                    &rules::NEVER_EXITS,
                    entry.exit.span,
                    format!("{} never takes `{}`", machine.name, entry.exit.value.name),
                )
                .help(format!("there, {instead}"));
        }
    }
}
