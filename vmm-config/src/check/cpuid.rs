//! Rules about `[vm.cpuid]` and `tlb`.

use std::collections::BTreeSet;

use intercepts::{CPUID_FEATURES, CpuidFeature, ExitCode, Feature, Reliance, has_subleaves};

use crate::finding::Findings;
use crate::limits;
use crate::lower::cpuid::{is_of_model, leaf_of, touched};
use crate::resolve::Policy;
use crate::rules;
use crate::words::{Device, Flush};
use crate::written::{CpuidChange, CpuidLeaf};

/// A feature or register is given once.
pub(super) fn given_once(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        let mut changes = vm.cpuid.clone();
        changes.sort_by_key(|change| change.span);
        for (index, change) in changes.iter().enumerate() {
            let twin = changes[..index].iter().find(|other| {
                leaf_of(other.value) == leaf_of(change.value)
                    && touched(other.value)
                        .into_iter()
                        .zip(touched(change.value))
                        .any(|(one, other)| one & other != 0)
            });
            if let Some(twin) = twin {
                found
                    .add(&rules::CPUID_TWICE, change.span, "this is given twice")
                    .also(twin.span, "the first time")
                    .help("keep one of the two");
            }
        }
    }
}

/// Only some leaves have subleaves.
pub(super) fn subleaf_exists(policy: &Policy, found: &mut Findings<'_>) {
    for change in policy.document.vms.iter().flat_map(|vm| &vm.cpuid) {
        let CpuidLeaf { leaf, subleaf } = leaf_of(change.value);
        if subleaf != 0 && !has_subleaves(leaf) {
            found
                .add(
                    &rules::CPUID_SUBLEAF,
                    change.span,
                    format!("leaf {leaf:#x} does not look at ECX"),
                )
                .help(format!("write `{leaf:#x}`"));
        }
    }
}

/// The VMM has room for every leaf beyond its model.
pub(super) fn leaves_fit(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        let mut beyond = BTreeSet::new();
        for change in &vm.cpuid {
            let leaf = leaf_of(change.value);
            if !is_of_model(leaf) && beyond.insert(leaf) && beyond.len() == limits::CPUID_LEAVES + 1
            {
                found
                    .add(&rules::CPUID_LEAVES, change.span, "one leaf too many")
                    .help("remove a leaf");
            }
        }
    }
}

/// What is shown needs nothing that the VMM does not keep.
pub(super) fn shown_is_kept(policy: &Policy, found: &mut Findings<'_>) {
    let changes = policy.document.vms.iter();
    for (vm, change) in changes.flat_map(|vm| vm.cpuid.iter().map(move |change| (vm, change))) {
        let is_kept = |feature: &CpuidFeature| {
            let of_apic = ["apic", "tsc-deadline"].contains(&feature.name);
            of_apic && vm.devices.contains(&Device::Lapic)
        };
        let promise = match change.value {
            CpuidChange::ShowFeature(feature) => Some(feature),
            CpuidChange::ShowLeaf(leaf) => CPUID_FEATURES.iter().find(|feature| {
                (feature.leaf, feature.subleaf) == (leaf.leaf, leaf.subleaf)
                    && feature.reliance == Reliance::State
            }),
            _ => None,
        };
        if let Some(feature) =
            promise.filter(|feature| feature.reliance == Reliance::State && !is_kept(feature))
        {
            found
                .add(
                    &rules::CPUID_UNKEPT,
                    change.span,
                    format!("the VMM does not keep what `{}` promises", feature.name),
                )
                .label(feature.meaning)
                .help("a guest that believes it gets #UD or #GP; leave it out, or try");
        }
    }
}

/// Without an exit the guest sees the host's CPUID.
pub(super) fn model_is_seen(policy: &Policy, found: &mut Findings<'_>) {
    for (vm, gates) in policy.document.vms.iter().zip(&policy.gates) {
        let is_seen = gates.iter().any(|gate| gate.exit.code == ExitCode::Cpuid);
        let said = ["cpuid", "cpu"]
            .into_iter()
            .find_map(|key| vm.said.get(key));
        if let Some(at) = said.filter(|_| !is_seen) {
            found
                .add(
                    &rules::CPUID_SEEN,
                    *at,
                    format!("`{}` sees the host's CPUID", vm.name.value),
                )
                .help("add `cpuid = \"emulate\"` to its intercept set");
        }
    }
}

/// Flushing by ASID is what the target can do.
pub(super) fn flush_is_possible(policy: &Policy, found: &mut Findings<'_>) {
    let machine = policy.document.machine.value;
    for vm in &policy.document.vms {
        if vm.tlb.value == Flush::Asid && !policy.document.target_has(Feature::FLUSH_BY_ASID) {
            found
                .add(
                    &rules::TLB_BY_ASID,
                    vm.tlb.span,
                    format!("{} cannot flush by ASID", machine.name),
                )
                .help("write `auto` or `all`");
        }
    }
}
