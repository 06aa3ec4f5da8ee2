//! `cargo vmm matrix`: which exits a policy declares, what handles each, and which of them a boot
//! of its guest exercises.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use intercepts::{EXITS, Exit};
use serde_json::Value;
use vmm_config::Lowered;
use vmm_config::lowered::{Gate, Handler};

use super::options::config_file;
use super::unexercised;
use crate::failure::{Doing, Failure, Result, Status};
use crate::policy;
use crate::progress::produce;
use crate::table;
use crate::workspace::Workspace;

/// Boots a policy's guest and shows each exit: declared, handled, exercised
///
/// The guest's command `exercise` tries each exit there is. Without --config the policy is
/// policies/count-everything.toml, whose guest does that.
#[derive(Args, Debug)]
pub struct Matrix {
    /// The policy; on the machine that it is written for
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &Matrix) -> Result<Status> {
    let usual = workspace.root().join("policies/count-everything.toml");
    let config = config_file(workspace, Some(command.config.as_deref().unwrap_or(&usual)))?;
    let policy = policy::load(workspace, &config)?;
    let report = boot(&policy, &config)?;
    produce(&shown(&policy, &counts(&report)));
    Ok(Status::Good)
}

/// This very program's `run-qemu` or `run-bochs`; its report.
fn boot(policy: &Lowered, config: &Path) -> Result<Value> {
    let folder = tempfile::tempdir().doing(|| "make a temporary folder".to_string())?;
    let file = folder.path().join("report.json");
    let program = std::env::current_exe().doing(|| "find this program".to_string())?;
    let machine: &[&str] = match policy.machine.bochs_cpu() {
        Some(_) => &["run-bochs"],
        None => &["run-qemu", "--icount"],
    };
    let finished = Command::new(program)
        .args(machine)
        .arg("--config")
        .arg(config)
        .arg("--report")
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .doing(|| "boot the policy".to_string())?;
    // A guest that ends badly was exercised nevertheless.
    let report = std::fs::read(&file).ok();
    report
        .and_then(|report| serde_json::from_slice(&report).ok())
        .ok_or_else(|| {
            Failure::host(format!(
                "the boot ended without a report:\n{}",
                String::from_utf8_lossy(&finished.stderr)
            ))
        })
}

/// How often each exit came, over all VMs.
fn counts(report: &Value) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for exit in list(&report["vms"])
        .iter()
        .flat_map(|vm| list(&vm["exits"]))
    {
        if let (Some(name), Some(count)) = (exit["name"].as_str(), exit["count"].as_u64()) {
            *counts.entry(name.to_owned()).or_default() += count;
        }
    }
    counts
}

fn shown(policy: &Lowered, counts: &BTreeMap<String, u64>) -> String {
    let rows = EXITS.iter().map(|exit| {
        let gate = policy
            .vms
            .iter()
            .flat_map(|vm| &vm.gates)
            .find(|gate| gate.exit.code == exit.code);
        let count = counts.get(exit.name).copied().unwrap_or_default();
        [
            exit.name.to_owned(),
            code(exit),
            table::grouped(count),
            gate.map_or("-", declared).to_owned(),
            gate.map_or_else(|| "-".to_owned(), |gate| handled(&gate.handler)),
            if count == 0 {
                remark(policy, exit)
            } else {
                String::new()
            },
        ]
    });
    let headings = [
        "exit",
        "code",
        "exercised",
        "declared",
        "handled by",
        "remark",
    ];
    let exercised = counts.values().filter(|count| **count > 0).count();
    let gates = |exit: &&Exit| {
        let mut gates = policy.vms.iter().flat_map(|vm| &vm.gates);
        gates.any(|gate| gate.exit.code == exit.code)
    };
    format!(
        "{}\n\n{} exits; {} declared and handled, {exercised} of them exercised on {}.\n",
        table::table(headings, 1..3, rows),
        EXITS.len(),
        EXITS.iter().filter(gates).count(),
        policy.machine.name,
    )
}

fn declared(gate: &Gate) -> &'static str {
    use vmm_config::written::Answer;
    match (&gate.origin, &gate.answer) {
        (None, _) => "by the VMM",
        (_, Answer::Action(action)) => action.name(),
        (_, Answer::Inject { .. }) => "inject",
        (_, Answer::Handler(_)) => "handler",
    }
}

fn handled(handler: &Handler) -> String {
    match handler {
        Handler::Vmm { module, function } => format!("{module}::{function}"),
        Handler::Inject { vector, .. } => format!("inject {vector}"),
        Handler::User(name) => format!("handlers::{name}"),
    }
}

/// Why the machine did not take the exit, and where it was seen.
fn remark(policy: &Lowered, exit: &Exit) -> String {
    let machine = policy.machine;
    let never = |(code, why): &(_, &str)| (*code == exit.code).then(|| (*why).to_owned());
    let lacks = || {
        let feature = exit.feature.filter(|feature| !machine.has(*feature))?;
        Some(format!("{} has no {}", machine.name, feature.name))
    };
    let reason = machine.never_exits.iter().find_map(never).or_else(lacks);
    let reason = reason.or_else(|| unexercised::why(exit.name).map(str::to_owned));
    match reason {
        Some(reason) if unexercised::SHOWN_ON_BOCHS.contains(&exit.name) => {
            format!("{reason}; shown on Bochs")
        }
        reason => reason.unwrap_or_default(),
    }
}

/// The code as the manual writes it.
fn code(exit: &Exit) -> String {
    match (exit.code as u64).cast_signed() {
        negative @ ..0 => negative.to_string(),
        code => format!("{code:#x}"),
    }
}
