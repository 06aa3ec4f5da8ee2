//! What every run of the VMM has, whatever emulates the machine: a policy, guests, a report.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use vmm_config::words::{Counters, Word};

use super::options::{config_file, existing};
use super::outcome::{Ending, Verdict};
use super::policy::Policy;
use super::records;
use super::report::Report;
use crate::failure::{Doing, Failure, Result, Status};
use crate::progress::produce;
use crate::workspace::Workspace;

/// The options of a run of the VMM.
#[derive(Args, Clone, Debug)]
pub struct Subject {
    /// The policy [default: the workspace's vm.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Boot FILE, a Multiboot kernel, in this VM (the first by default); may be repeated
    #[arg(long = "guest", value_name = "[VM=]FILE")]
    guests: Vec<Guest>,

    /// Keep at least so much on every VM's exits, whatever the policy says: off, totals, times or
    /// details
    #[arg(long, value_name = "WHAT", value_parser = word::<Counters>)]
    counters: Option<Counters>,

    /// Write what happened to FILE, in JSON: how each VM ended, its exits by name
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// The options, read and found good.
pub struct Prepared {
    /// The policy's file.
    pub config: PathBuf,
    /// What it says.
    pub policy: Policy,
    /// Images in the place of those that the policy names, by the VM's name.
    pub guests: Vec<(String, PathBuf)>,
    /// The run in a few words.
    pub what: String,
    /// The VMM's command line.
    pub words: String,
    report: Option<File>,
}

impl Subject {
    /// Reads what the options name.
    pub fn prepare(&self, workspace: &Workspace) -> Result<Prepared> {
        let config = config_file(workspace, self.config.as_deref())?;
        let policy = Policy::load(workspace, &config)?;
        let guests = guests(&self.guests, &policy)?;
        let report = self.report.as_deref().map(report_file).transpose()?;
        let shown = self
            .config
            .as_deref()
            .map_or("vm.toml".into(), |path| path.display().to_string());
        Ok(Prepared {
            what: format!("{} under {shown}", policy.vms.join(", ")),
            words: self.words(),
            config,
            policy,
            guests,
            report,
        })
    }
}

impl Subject {
    /// What the VMM is told on its command line.
    fn words(&self) -> String {
        let counters = self
            .counters
            .map(|kept| format!("counters={}", kept.name()));
        counters.unwrap_or_default()
    }
}

/// A word of the policy language on the command line.
fn word<W: Word>(text: &str) -> std::result::Result<W, String> {
    W::by_name(text).ok_or_else(|| {
        let names: Vec<_> = W::ALL.iter().map(|word| word.name()).collect();
        format!("there is {}", names.join(", "))
    })
}

impl Prepared {
    /// Tells how the run ended.
    pub fn conclude(self, ending: &Ending, com2: &str, until: Option<&str>) -> Result<Status> {
        let records = records::read(com2);
        let verdict = Verdict::on_vmm(ending, &records, until);
        let summary = Report::new(ending, &verdict, &records);
        produce(&summary.table());
        if let Some(file) = self.report {
            serde_json::to_writer_pretty(file, &summary)
                .doing(|| "write the report".to_string())?;
        }
        super::explain(&verdict);
        Ok(verdict.status)
    }
}

/// A kernel to boot in the place of the one that the policy names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Guest {
    vm: Option<String>,
    file: PathBuf,
}

impl FromStr for Guest {
    type Err = String;

    /// What stands before the first `=` is a VM's name, unless it is a path.
    fn from_str(text: &str) -> std::result::Result<Guest, String> {
        let (vm, file) = match text.split_once('=') {
            Some((vm, file)) if !vm.contains(['/', '.']) => (Some(vm.to_string()), file),
            _ => (None, text),
        };
        if file.is_empty() || vm.as_deref() == Some("") {
            return Err("write VM=FILE or FILE".into());
        }
        Ok(Guest {
            vm,
            file: file.into(),
        })
    }
}

/// Opened before the run: a wrong path must not cost one.
fn report_file(path: &Path) -> Result<File> {
    File::create(path).map_err(|error| {
        Failure::bad_input(format!(
            "--report: cannot write {}: {error}",
            path.display()
        ))
    })
}

/// Which VM gets which file.
fn guests(given: &[Guest], policy: &Policy) -> Result<Vec<(String, PathBuf)>> {
    let mut chosen: Vec<(String, PathBuf)> = Vec::new();
    for guest in given {
        let vm = match &guest.vm {
            Some(vm) if policy.vms.contains(vm) => vm.clone(),
            Some(vm) => {
                let names = policy.vms.join(", ");
                return Err(Failure::bad_input(format!(
                    "--guest: there is no VM `{vm}`; there is {names}"
                )));
            }
            None => policy.vms.first().cloned().unwrap_or_default(),
        };
        if chosen.iter().any(|(taken, _)| *taken == vm) {
            return Err(Failure::bad_input(format!(
                "--guest: VM `{vm}` gets two kernels"
            )));
        }
        chosen.push((vm, existing("--guest", &guest.file)?));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(text: &str) -> (Option<String>, String) {
        let guest: Guest = text.parse().expect("a guest");
        (guest.vm, guest.file.display().to_string())
    }

    #[test]
    fn a_name_before_the_equals_sign_is_a_vm_and_a_path_is_not() {
        assert_eq!(guest("kernel"), (None, "kernel".into()));
        assert_eq!(guest("demo=kernel"), (Some("demo".into()), "kernel".into()));
        assert_eq!(guest("demo=a=b"), (Some("demo".into()), "a=b".into()));
        assert_eq!(guest("./a=b"), (None, "./a=b".into()));
        assert!("=kernel".parse::<Guest>().is_err() && "demo=".parse::<Guest>().is_err());
    }

    #[test]
    fn a_kernel_without_a_vm_is_for_the_first_and_no_vm_gets_two() {
        let policy = Policy {
            machine: vmm_config::Machine::usual(),
            memory_bytes: 0,
            vms: vec!["a".into(), "b".into()],
            images: Vec::new(),
        };
        let file = tempfile::NamedTempFile::new().expect("a file");
        let guest = |vm: Option<&str>| Guest {
            vm: vm.map(str::to_string),
            file: file.path().into(),
        };
        let chosen = guests(&[guest(None), guest(Some("b"))], &policy).expect("two guests");
        assert_eq!(
            chosen.iter().map(|(vm, _)| vm.as_str()).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(guests(&[guest(None), guest(Some("a"))], &policy).is_err());
        assert!(
            guests(&[guest(Some("c"))], &policy).is_err_and(|error| error.message.contains("a, b"))
        );
    }
}
