//! The rules about what a policy means. Each is a function that looks at the whole resolved
//! policy and adds what it finds; none stops the others.

mod cpuid;
mod exits;
mod lines;
mod msrs;
mod ports;
mod vms;
mod when;

use std::path::Path;

use crate::finding::Findings;
use crate::handlers::Handlers;
use crate::resolve::Policy;

type Check = fn(&Policy, &mut Findings<'_>);

const CHECKS: &[Check] = &[
    exits::answered_once,
    exits::action_fits,
    exits::pass_is_possible,
    exits::handler_fits,
    exits::injectable,
    exits::error_code,
    when::conditions_fit,
    when::no_rule_passes,
    when::rules_are_reached,
    when::limit_fits,
    exits::features,
    exits::never_exits,
    vms::count,
    vms::names_differ,
    vms::asid_is_a_guests,
    vms::asids_differ,
    vms::asids_suffice,
    vms::task_switches,
    vms::shadow_paging_keeps_its_exits,
    vms::shadow_tables_are_for_shadow_paging,
    vms::shadow_tables_are_sensible,
    vms::ioapic_has_an_apic,
    vms::one_starts,
    vms::limit_has_restarts,
    vms::limit_is_counted,
    cpuid::flush_is_possible,
    cpuid::given_once,
    cpuid::subleaf_exists,
    cpuid::leaves_fit,
    cpuid::shown_is_kept,
    cpuid::model_is_seen,
    vms::memory_is_pages,
    vms::memory_is_sensible,
    vms::memory_fits_the_machine,
    ports::overlap,
    ports::of_devices,
    ports::of_the_vmm,
    ports::passed_are_tame,
    msrs::overlap,
    msrs::switched,
    msrs::mapped,
    lines::given_once,
    lines::of_the_vmm,
    lines::of_the_focus,
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
        vms::files_exist(policy, folder, found);
    }
}
