//! The policies in `policies/`, each booted: it runs, and does what it is for. Those that boot
//! other people's kernels are the business of `foreign`, those for Bochs of `beyond_qemu`, and what takes a
//! kernel of its own to see of `rules`.

use std::path::PathBuf;

use libtest_mimic::Trial;
use tools::workspace::Workspace;

use crate::harness::Boot;
use crate::in_a_vm::{count, text_of};

/// What must come of a policy: exits that a VM has taken, by VM, and what the log says.
struct Promise {
    policy: &'static str,
    exits: &'static [(&'static str, &'static str)],
    says: &'static [&'static str],
}

const fn promise(
    policy: &'static str,
    exits: &'static [(&'static str, &'static str)],
    says: &'static [&'static str],
) -> Promise {
    Promise {
        policy,
        exits,
        says,
    }
}

const PROMISES: &[Promise] = &[
    promise("anti-rdtsc", &[("demo", "rdtsc")], &["VMEXIT_RDPMC"]),
    promise(
        "count-everything",
        &[("demo", "cr3.write"), ("demo", "pushf")],
        &[],
    ),
    promise("cpuid-lies", &[("demo", "cpuid")], &[]),
    promise(
        "descriptor-tables",
        &[("demo", "gdtr.write"), ("demo", "idtr.read")],
        &["gdtr.write at RIP"],
    ),
    promise(
        "exceptions",
        &[("demo", "exception.pf"), ("demo", "exception.de")],
        &["exception.pf at RIP"],
    ),
    promise(
        "fault-injection",
        &[("demo", "wbinvd"), ("demo", "rdpmc")],
        &["WBINVD ... #GP(0)", "RDPMC ... #UD"],
    ),
    promise("first-thousand", &[], &[]),
    promise("halt-is-crash", &[], &["demo: power-off"]),
    promise("io-audit", &[("demo", "ioio")], &[]),
    promise("minimal", &[("demo", "ioio"), ("demo", "msr")], &[]),
    promise("msr-audit", &[("demo", "msr")], &["msr at RIP"]),
    promise("no-hypercall", &[("demo", "vmmcall")], &["VMEXIT_VMMCALL"]),
    promise("strict", &[], &["is denied"]),
    promise(
        "two-tenants",
        &[("careful", "ioio"), ("trusted", "ioio")],
        &[],
    ),
    promise(
        "watch-paging",
        &[("demo", "cr3.write"), ("demo", "exception.pf")],
        &[],
    ),
];

/// A test for each file in the folder.
pub fn trials() -> Vec<Trial> {
    files()
        .into_iter()
        .filter(|file| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            !text.contains("debian:") && !text.contains("machine = \"bochs-")
        })
        .map(|file| {
            let name = stem(&file);
            Trial::test(
                format!("shipped_policies::{name}_does_what_it_is_for"),
                move || {
                    does_what_it_is_for(&file);
                    Ok(())
                },
            )
        })
        .collect()
}

fn files() -> Vec<PathBuf> {
    let folder = Workspace::find().root().join("policies");
    let mut files: Vec<_> = folder
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

fn stem(file: &std::path::Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn does_what_it_is_for(file: &std::path::Path) {
    let name = stem(file);
    let promise = PROMISES
        .iter()
        .find(|promise| promise.policy == name)
        .unwrap_or_else(|| panic!("nothing is promised of {name}"));
    let text = std::fs::read_to_string(file).expect("the policy");
    let outcome = promise
        .says
        .iter()
        .fold(Boot::policy(&text).run().ends_with(0), |outcome, says| {
            outcome.shows(says)
        });
    for vm in outcome.report["vms"].as_array().expect("VMs") {
        let vm = vm["name"].as_str().expect("a name");
        let text = text_of(vm, &outcome);
        assert!(
            text.contains("exercise: done"),
            "{vm} did not end its exercise:\n{text}"
        );
    }
    for (vm, exit) in promise.exits {
        assert!(
            count(&outcome, vm, exit) > 0,
            "{vm} took no {exit}: {}",
            outcome.report
        );
    }
}
