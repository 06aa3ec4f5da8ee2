//! Rules about the VMs: names, ASIDs, memory, images.

use std::path::Path;

use intercepts::{Action, ExitCode};

use crate::finding::Findings;
use crate::limits;
use crate::resolve::Policy;
use crate::rules;
use crate::words::{Counters, Device, Restart, Then};
use crate::written::{Answer, File, Image};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The VMM has room for every VM.
pub(super) fn count(policy: &Policy, found: &mut Findings<'_>) {
    if let Some(vm) = policy.document.vms.get(limits::VMS) {
        found
            .add(&rules::VM_COUNT, vm.header, "one VM too many")
            .help(format!("the VMM has room for {}", limits::VMS));
    }
}

/// No two VMs have one name.
pub(super) fn names_differ(policy: &Policy, found: &mut Findings<'_>) {
    let vms = &policy.document.vms;
    for (index, vm) in vms.iter().enumerate() {
        let twin = vms[..index]
            .iter()
            .find(|other| !vm.name.value.is_empty() && other.name.value == vm.name.value);
        if let Some(twin) = twin {
            found
                .add(
                    &rules::NAME_TWICE,
                    vm.name.span,
                    format!("a second VM `{}`", vm.name.value),
                )
                .also(twin.name.span, "the first one")
                .help("give one of them another name");
        }
    }
}

/// An ASID is not the host's, and below the target's number of ASIDs.
pub(super) fn asid_is_a_guests(policy: &Policy, found: &mut Findings<'_>) {
    let machine = policy.document.machine.value;
    for asid in policy.document.vms.iter().filter_map(|vm| vm.asid) {
        let (rule, message) = match asid.value {
            0 => (&rules::ASID_ZERO, "ASID 0 is the host's".to_owned()),
            n if n >= machine.asids => (
                &rules::ASID_RANGE,
                format!("{} has no ASID {n}", machine.name),
            ),
            _ => continue,
        };
        found.add(rule, asid.span, message).help(format!(
            "write a number from 1 to {}, or leave `asid` out",
            machine.asids - 1
        ));
    }
}

/// No two VMs have one ASID.
pub(super) fn asids_differ(policy: &Policy, found: &mut Findings<'_>) {
    let asids: Vec<_> = policy
        .document
        .vms
        .iter()
        .filter_map(|vm| vm.asid)
        .collect();
    for (index, asid) in asids.iter().enumerate() {
        if let Some(twin) = asids[..index].iter().find(|twin| twin.value == asid.value) {
            found
                .add(
                    &rules::ASID_SHARED,
                    asid.span,
                    format!("ASID {} is taken", asid.value),
                )
                .also(twin.span, "by this VM")
                .help("leave `asid` out to get a free one");
        }
    }
}

/// There is an ASID for each VM.
pub(super) fn asids_suffice(policy: &Policy, found: &mut Findings<'_>) {
    let machine = policy.document.machine.value;
    for (vm, asid) in policy.document.vms.iter().zip(&policy.asids) {
        if asid.is_none() {
            found
                .add(
                    &rules::ASIDS_EXHAUSTED,
                    vm.name.span,
                    format!("no ASID is left for `{}`", vm.name.value),
                )
                .help(format!(
                    "{} has {} for guests: remove a VM",
                    machine.name,
                    machine.asids - 1
                ));
        }
    }
}

/// Shadow paging is no boundary where hardware task switches do not exit.
pub(super) fn task_switches(policy: &Policy, found: &mut Findings<'_>) {
    let machine = policy.document.machine.value;
    let is_seen = |(code, _): &(ExitCode, _)| *code != ExitCode::TaskSwitch;
    if machine.never_exits.iter().all(is_seen) {
        return;
    }
    for vm in policy.document.vms.iter().filter(|vm| !vm.npt.value) {
        found
            .add(
                &rules::SHADOW_PAGING,
                vm.npt.span,
                format!("under shadow paging, {} is no boundary", machine.name),
            )
            .help("write `npt = true`, unless the guest is trusted");
    }
}

/// The exits that shadow paging is built on are taken, for as long as the VM runs.
pub(super) fn shadow_paging_keeps_its_exits(policy: &Policy, found: &mut Findings<'_>) {
    for (vm, gates) in policy.document.vms.iter().zip(&policy.gates) {
        if vm.npt.value {
            continue;
        }
        for gate in gates {
            let Some(entry) = &gate.entry else { continue };
            let ends = entry
                .limit
                .as_ref()
                .is_some_and(|limit| limit.then.value == Then::Pass);
            let passes = entry.answer.value == Answer::Action(Action::Pass);
            if gate.exit.is_of_shadow_paging() && (passes || ends) {
                found
                    .add(
                        &rules::PASS_SHADOWED,
                        entry.answer.span,
                        format!("`{}` cannot be passed under shadow paging", gate.exit.name),
                    )
                    .also(vm.npt.span, "which this asks for")
                    .help("write `npt = true`, or leave the line out");
            }
        }
    }
}

/// Memory for shadow tables is for a VM that has some.
pub(super) fn shadow_tables_are_for_shadow_paging(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        if let Some(tables) = vm.shadow_tables
            && vm.npt.value
        {
            found
                .add(
                    &rules::SHADOW_TABLES_UNUSED,
                    tables.span,
                    format!("`{}` has nested paging", vm.name.value),
                )
                .help("add `npt = false`, or leave `shadow_tables` out");
        }
    }
}

/// An I/O APIC has a local APIC to send to.
pub(super) fn ioapic_has_an_apic(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        let has = |device| vm.devices.contains(&device);
        let said = vm.said.get("devices");
        if let Some(at) = said.filter(|_| has(Device::Ioapic) && !has(Device::Lapic)) {
            found
                .add(
                    &rules::IOAPIC_ALONE,
                    *at,
                    format!("`{}` has an I/O APIC and no local one", vm.name.value),
                )
                .help("add `\"lapic\"`, or leave `\"ioapic\"` out");
        }
    }
}

/// Shadow tables are enough to run with, and not more than the VMM can number.
pub(super) fn shadow_tables_are_sensible(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        let Some(tables) = vm.shadow_tables else {
            continue;
        };
        let bytes = tables.value;
        let message = if !bytes.is_multiple_of(4 * KIB) {
            format!("{} is not a whole number of tables", size(bytes))
        } else if !limits::SHADOW_TABLES.contains(&bytes) {
            let how = if bytes < *limits::SHADOW_TABLES.start() {
                "little"
            } else {
                "much"
            };
            format!("{} is too {how} for shadow page tables", size(bytes))
        } else {
            continue;
        };
        found
            .add(&rules::SHADOW_TABLES, tables.span, message)
            .help("write a size from `256 KiB` to `255 MiB`, or leave it out for one that fits the memory");
    }
}

/// There is something to run.
pub(super) fn one_starts(policy: &Policy, found: &mut Findings<'_>) {
    let vms = &policy.document.vms;
    if let Some(last) = vms.last()
        && vms.iter().all(|vm| !vm.autostart.value)
    {
        found
            .add(
                &rules::AUTOSTART,
                last.autostart.span,
                "no VM starts by itself",
            )
            .help("write `autostart = true` for one of them");
    }
}

/// A number of restarts is for a VM that is restarted.
pub(super) fn limit_has_restarts(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        if let Some(limit) = vm.restart_limit
            && vm.restart == Restart::Never
        {
            found
                .add(
                    &rules::RESTART_LIMIT,
                    limit.span,
                    format!("`{}` is never restarted", vm.name.value),
                )
                .help("add `restart = \"on-crash\"`, or leave `restart_limit` out");
        }
    }
}

/// A limit looks at the counters.
pub(super) fn limit_is_counted(policy: &Policy, found: &mut Findings<'_>) {
    for (vm, gates) in policy.document.vms.iter().zip(&policy.gates) {
        let limited = gates.iter().find(|gate| {
            gate.entry
                .as_ref()
                .is_some_and(|entry| entry.limit.is_some())
        });
        if let Some(gate) = limited
            && vm.counters.value == Counters::Off
        {
            found
                .add(
                    &rules::LIMIT_COUNTED,
                    vm.counters.span,
                    format!("the limit of `{}` needs its count", gate.exit.name),
                )
                .help("write `counters = \"totals\"`, or remove `limit`");
        }
    }
}

/// Guest memory is a whole number of pages.
pub(super) fn memory_is_pages(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        let bytes = vm.memory.value;
        if !bytes.is_multiple_of(4 * KIB) {
            found
                .add(
                    &rules::MEMORY_PAGES,
                    vm.memory.span,
                    format!("{} is not a whole number of pages", size(bytes)),
                )
                .help(format!(
                    "write `{}`",
                    size(bytes.saturating_add(4 * KIB - 1) / (4 * KIB) * (4 * KIB))
                ));
        }
    }
}

/// Guest memory is neither too little to boot in nor more than a PC has below its devices.
pub(super) fn memory_is_sensible(policy: &Policy, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        let message = match vm.memory.value {
            bytes if bytes < 2 * MIB => format!("{} is too little memory", size(bytes)),
            bytes if bytes > 3 * GIB => format!("{} is too much memory for one VM", size(bytes)),
            _ => continue,
        };
        found
            .add(&rules::MEMORY_SIZE, vm.memory.span, message)
            .help("write a size from `2 MiB` to `3 GiB`, such as `64 MiB`");
    }
}

/// The VMs together fit the machine.
pub(super) fn memory_fits_the_machine(policy: &Policy, found: &mut Findings<'_>) {
    let machine = policy.document.machine.value;
    let mut total: u64 = 0;
    for vm in &policy.document.vms {
        let before = total;
        total = total.saturating_add(vm.memory.value);
        if before <= machine.memory && total > machine.memory {
            found
                .add(
                    &rules::MEMORY_TOTAL,
                    vm.memory.span,
                    format!(
                        "with this VM, memory comes to {}; {} has at most {}",
                        size(total),
                        machine.name,
                        size(machine.memory)
                    ),
                )
                .help("give the VMs less memory");
        }
    }
}

/// Files that are named by their paths exist.
pub(super) fn files_exist(policy: &Policy, folder: &Path, found: &mut Findings<'_>) {
    for vm in &policy.document.vms {
        let image = match &vm.image.value {
            Image::Guest => None,
            Image::File(file) => Some((file, vm.image.span, GUEST)),
        };
        let initrd = vm.initrd.iter().map(|file| (&file.value, file.span, ""));
        let modules = vm
            .modules
            .iter()
            .map(|module| (&module.value.file, module.span, ""));
        for (file, span, more) in image.into_iter().chain(initrd).chain(modules) {
            if let File::Path(path) = file
                && !folder.join(path).is_file()
            {
                found
                    .add(
                        &rules::IMAGE_MISSING,
                        span,
                        format!("there is no file `{}`", path.escape_debug()),
                    )
                    .help(format!("a path starts at the folder of the policy{more}"));
            }
        }
    }
}

const GUEST: &str = "; `guest` is the workspace's own kernel";

/// A size in the largest unit that holds it whole.
fn size(bytes: u64) -> String {
    match bytes {
        0 => "0 KiB".to_owned(),
        b if b.is_multiple_of(GIB) => format!("{} GiB", b / GIB),
        b if b.is_multiple_of(MIB) => format!("{} MiB", b / MIB),
        b if b.is_multiple_of(KIB) => format!("{} KiB", b / KIB),
        b => format!("{b} bytes"),
    }
}
