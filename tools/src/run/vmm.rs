//! What every run of the VMM has, whatever emulates the machine: a policy, guests, a report.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use vmm_config::Lowered;
use vmm_config::words::{Counters, Word};

use super::options::{config_file, existing};
use super::outcome::{Ending, Verdict};
use super::policy::{Given, Policy};
use super::records;
use super::report::Report;
use super::trace;
use crate::failure::{Doing, Failure, Result, Status};
use crate::policy;
use crate::progress::{produce, say};
use crate::workspace::Workspace;

/// The options of a run of the VMM.
#[derive(Args, Clone, Debug)]
pub struct Subject {
    /// The policy [default: the workspace's vm.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Boot FILE in this VM (the first by default): a Multiboot kernel, a Linux bzImage or a
    /// coreboot payload; may be repeated
    #[arg(long = "guest", value_name = "[VM=]FILE")]
    guests: Vec<Guest>,

    /// Give FILE to the Linux in this VM as its initial file system; may be repeated
    #[arg(long = "initrd", value_name = "[VM=]FILE")]
    initrds: Vec<Guest>,

    /// Keep at least so much on every VM's exits, whatever the policy says: off, totals, times or
    /// details
    #[arg(long, value_name = "WHAT", value_parser = word::<Counters>)]
    counters: Option<Counters>,

    /// Have something go wrong on purpose
    #[arg(long, value_name = "WHAT")]
    drill: Option<Drill>,

    /// Write every exit of every VM to FILE, one by one; `cargo vmm trace FILE` reads it
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Write what happened to FILE, in JSON: how each VM ended, its exits by name
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Drill {
    /// The VMM breaks before its first VM runs
    Panic,
}

/// The options, read and found good.
pub struct Prepared {
    /// The policy's file.
    pub config: PathBuf,
    /// What it says.
    pub policy: Policy,
    /// Files in the place of those that the policy names.
    pub given: Given,
    /// The run in a few words.
    pub what: String,
    /// The VMM's command line.
    pub words: String,
    report: Option<File>,
    trace: Option<File>,
    /// Where the last exits of a VM go that nobody asked for.
    flight: PathBuf,
    lowered: Lowered,
}

impl Subject {
    /// Reads what the options name.
    pub fn prepare(&self, workspace: &Workspace) -> Result<Prepared> {
        let config = config_file(workspace, self.config.as_deref())?;
        let policy = Policy::load(workspace, &config)?;
        let given = Given {
            images: files("--guest", &self.guests, &policy)?,
            initrds: files("--initrd", &self.initrds, &policy)?,
        };
        let report = self.report.as_deref();
        let report = report.map(|path| create("--report", path)).transpose()?;
        let trace = self.trace.as_deref();
        let trace = trace.map(|path| create("--trace", path)).transpose()?;
        // What is wrong with it has been shown.
        let lowered = policy::read(workspace, &config)
            .map_err(|report| Failure::bad_input(report.to_string()))?;
        let shown = self
            .config
            .as_deref()
            .map_or("vm.toml".into(), |path| path.display().to_string());
        Ok(Prepared {
            what: format!("{} under {shown}", policy.names().join(", ")),
            words: self.words(),
            config,
            policy,
            given,
            report,
            trace,
            flight: workspace.artifacts().join("last.trace"),
            lowered,
        })
    }
}

impl Subject {
    /// What the VMM is told on its command line.
    fn words(&self) -> String {
        let counters = self
            .counters
            .map(|kept| format!("counters={}", kept.name()));
        let trace = self.trace.as_ref().map(|_| "trace".to_owned());
        let drill = self.drill.map(|Drill::Panic| "panic".to_owned());
        [counters, trace, drill]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
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
    /// The VMs with shadow page tables.
    pub fn shadowed(&self) -> impl Iterator<Item = &str> {
        let vms = self.lowered.vms.iter().filter(|vm| !vm.npt);
        vms.map(|vm| vm.name.as_str())
    }

    /// Tells how the run ended.
    pub fn conclude(mut self, ending: &Ending, com2: &str, until: Option<&str>) -> Result<Status> {
        let records = records::read(com2);
        let verdict = Verdict::on_vmm(ending, &records, until);
        let summary = Report::new(ending, &verdict, &records);
        produce(&summary.table());
        self.write_trace(com2)?;
        if let Some(file) = self.report {
            serde_json::to_writer_pretty(file, &summary)
                .doing(|| "write the report".to_string())?;
        }
        super::explain(&verdict);
        Ok(verdict.status)
    }

    /// Writes down the exits that the VMM sent one by one, if it did.
    fn write_trace(&mut self, com2: &str) -> Result<()> {
        let Some(text) = trace::write(&self.lowered, com2) else {
            return Ok(());
        };
        let doing = || "write the trace".to_string();
        match &mut self.trace {
            Some(file) => file.write_all(text.as_bytes()).doing(doing),
            None => {
                std::fs::write(&self.flight, text).doing(doing)?;
                let file = self.flight.display();
                say(&format!(
                    "the last exits are in {file}; `cargo vmm trace {file}` shows them"
                ));
                Ok(())
            }
        }
    }
}

/// A file in the place of one that the policy names.
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
pub fn create(option: &str, path: &Path) -> Result<File> {
    File::create(path).map_err(|error| {
        Failure::bad_input(format!(
            "{option}: cannot write {}: {error}",
            path.display()
        ))
    })
}

/// Which VM gets which file.
fn files(option: &str, given: &[Guest], policy: &Policy) -> Result<Vec<(String, PathBuf)>> {
    let names = policy.names();
    let mut chosen: Vec<(String, PathBuf)> = Vec::new();
    for guest in given {
        let vm = match &guest.vm {
            Some(vm) if names.contains(&vm.as_str()) => vm.clone(),
            Some(vm) => {
                return Err(Failure::bad_input(format!(
                    "{option}: there is no VM `{vm}`; there is {}",
                    names.join(", ")
                )));
            }
            None => names.first().copied().unwrap_or_default().to_owned(),
        };
        if chosen.iter().any(|(taken, _)| *taken == vm) {
            return Err(Failure::bad_input(format!(
                "{option}: VM `{vm}` gets two files"
            )));
        }
        chosen.push((vm, existing(option, &guest.file)?));
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

    /// A policy of two VMs, `a` and `b`.
    fn two_vms() -> Policy {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("vm.toml");
        let vm = "memory = \"8 MiB\"\nintercepts = []\n";
        let text = format!("[[vm]]\nname = \"a\"\n{vm}[[vm]]\nname = \"b\"\n{vm}");
        std::fs::write(&config, text).expect("a policy");
        Policy::load(&Workspace::find(), &config).expect("a good policy")
    }

    #[test]
    fn a_kernel_without_a_vm_is_for_the_first_and_no_vm_gets_two() {
        let policy = two_vms();
        let file = tempfile::NamedTempFile::new().expect("a file");
        let guest = |vm: Option<&str>| Guest {
            vm: vm.map(str::to_string),
            file: file.path().into(),
        };
        let chosen =
            files("--guest", &[guest(None), guest(Some("b"))], &policy).expect("two guests");
        assert_eq!(
            chosen.iter().map(|(vm, _)| vm.as_str()).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(files("--guest", &[guest(None), guest(Some("a"))], &policy).is_err());
        assert!(
            files("--guest", &[guest(Some("c"))], &policy)
                .is_err_and(|error| error.message.contains("a, b"))
        );
    }
}
