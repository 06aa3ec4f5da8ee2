//! The rules about what a policy means. Each is a function that looks at the whole resolved
//! policy and adds what it finds; none stops the others.

mod exits;
mod lines;
mod msrs;
mod ports;
mod vms;

use std::path::Path;

use crate::finding::Findings;
use crate::handlers::Handlers;
use crate::resolve::Policy;

type Check = fn(&Policy, &mut Findings<'_>);

const CHECKS: &[Check] = &[
    exits::answered_once,
    exits::action_fits,
    exits::built,
    exits::pass_is_possible,
    exits::handler_fits,
    exits::injectable,
    exits::error_code,
    exits::features,
    exits::never_exits,
    vms::count,
    vms::names_differ,
    vms::asid_is_a_guests,
    vms::asids_differ,
    vms::asids_suffice,
    vms::nested_paging,
    vms::memory_is_pages,
    vms::memory_is_sensible,
    vms::memory_fits_the_machine,
    ports::overlap,
    ports::of_devices,
    ports::of_the_vmm,
    msrs::overlap,
    msrs::switched,
    msrs::mapped,
    lines::given_once,
    lines::of_the_vmm,
    lines::owner_exists,
];

/// Applies every rule.
pub(crate) fn check(
    policy: &Policy,
    handlers: &Handlers,
    folder: Option<&Path>,
    found: &mut Findings<'_>,
) {
    for check in CHECKS {
        check(policy, found);
    }
    exits::handler_exists(policy, handlers, found);
    if let Some(folder) = folder {
        vms::image_exists(policy, folder, found);
    }
}
