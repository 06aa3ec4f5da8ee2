//! `cargo vmm diff`: in what two policies differ once they are lowered.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use vmm_config::Lowered;
use vmm_config::lowered::{Gate, Handler, InterceptBit, Vm};
use vmm_config::words::Word;
use vmm_config::written::Image;

use super::load;
use crate::failure::{Result, Status};
use crate::progress::produce;
use crate::workspace::Workspace;

/// Prints in what two policies differ: VMCB bits and fields, handlers, ports, MSRs, CPUID.
///
/// Lines with `-` are of the first policy alone, lines with `+` of the second.
#[derive(Args, Debug)]
pub struct Diff {
    /// The first policy
    a: PathBuf,
    /// The second policy
    b: PathBuf,
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &Diff) -> Result<Status> {
    let a = load(workspace, &command.a)?;
    let b = load(workspace, &command.b)?;
    let differences = policies(&a, &b);
    produce(&if differences.is_empty() {
        "no difference\n".to_owned()
    } else {
        differences
    });
    Ok(Status::Good)
}

/// What differs, a line each, under a heading for each VM.
pub fn policies(a: &Lowered, b: &Lowered) -> String {
    let mut text = changes("", &settings(a), &settings(b));
    // Two policies with one VM each are about that VM, whatever its name.
    let pairs: Vec<(Option<&Vm>, Option<&Vm>)> = match (&a.vms[..], &b.vms[..]) {
        ([one], [other]) => vec![(Some(one), Some(other))],
        _ => {
            let names: BTreeSet<_> = a.vms.iter().chain(&b.vms).map(|vm| &vm.name).collect();
            let of =
                |policy: &'_ Lowered, name: &str| policy.vms.iter().position(|vm| vm.name == name);
            names
                .into_iter()
                .map(|name| {
                    (
                        of(a, name).map(|index| &a.vms[index]),
                        of(b, name).map(|index| &b.vms[index]),
                    )
                })
                .collect()
        }
    };
    for (one, other) in pairs {
        match (one, other) {
            (Some(one), Some(other)) => {
                let lines = changes("  ", &facts(one), &facts(other));
                if !lines.is_empty() {
                    text.push_str(&format!("VM `{}`\n{lines}", one.name));
                }
            }
            (Some(one), None) => text.push_str(&format!("- VM `{}`\n", one.name)),
            (None, Some(other)) => text.push_str(&format!("+ VM `{}`\n", other.name)),
            (None, None) => {}
        }
    }
    text
}

/// The lines of one side alone, in the order of both.
fn changes(indent: &str, a: &[String], b: &[String]) -> String {
    let only = |sign: char, these: &[String], those: &[String]| -> Vec<(String, String)> {
        these
            .iter()
            .filter(|line| !those.contains(line))
            .map(|line| (topic(line), format!("{indent}{sign} {line}\n")))
            .collect()
    };
    let mut lines = only('-', a, b);
    for (topic, line) in only('+', b, a) {
        // Behind the last line on the same thing, so that old and new stand together.
        let after = lines.iter().rposition(|(other, _)| *other == topic);
        let at = after.map_or(lines.len(), |index| index + 1);
        lines.insert(at, (topic, line));
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

/// What a line is about: everything before its value.
fn topic(line: &str) -> String {
    line.split(" = ").next().unwrap_or(line).to_owned()
}

fn settings(policy: &Lowered) -> Vec<String> {
    let features: Vec<_> = policy.features.iter().map(|feature| feature.name).collect();
    let mut lines = vec![
        format!("target machine = {}", policy.machine.name),
        format!("target features = {}", features.join(" ")),
        format!("quantum = {} us", policy.quantum_us),
        format!("log = {}", policy.log.name()),
    ];
    for route in &policy.routes {
        let to = route.to.name(policy);
        lines.push(format!("line {} = {to}", route.line));
    }
    lines
}

/// Everything about a VM, a line each.
fn facts(vm: &Vm) -> Vec<String> {
    let devices: Vec<_> = vm.devices.iter().map(|device| device.name()).collect();
    let mut lines = vec![
        format!("name = {}", vm.name),
        format!("image = {}", image(vm)),
        format!("protocol = {}", vm.protocol.name()),
        format!("cmdline = {:?}", vm.cmdline),
        format!("memory = {} KiB", vm.memory >> 10),
        format!("cpu = {}", vm.cpu.name()),
        format!("shadow tables = {} KiB", vm.shadow_tables >> 10),
        format!("tlb = {}", vm.tlb.name()),
        format!("halted = {}", vm.halted.name()),
        format!("autostart = {}", vm.autostart),
        format!("restart = {}", vm.restart.name()),
        format!("restart limit = {}", vm.restart_limit),
        format!("weight = {}", vm.weight),
        format!("counters = {}", vm.counters.name()),
        format!("ticks = {}", vm.ticks.name()),
        format!("trace = {}", vm.trace),
        format!("devices = {}", devices.join(" ")),
    ];
    lines.extend(vm.initrd.iter().map(|file| format!("initrd = {file}")));
    for (index, module) in vm.modules.iter().enumerate() {
        lines.push(format!("module {index} = {}", module.string));
    }
    for field in &vm.vmcb {
        let (name, offset) = (field.field.name, field.field.offset);
        if field.intercepts.is_empty() {
            lines.push(format!("VMCB {offset:03X}h {name} = {:#x}", field.value));
        }
        for InterceptBit { bit, exit } in &field.intercepts {
            lines.push(format!(
                "VMCB {offset:03X}h {name} bit {bit}: {}",
                exit.name
            ));
        }
    }
    lines.extend(vm.gates.iter().map(gate));
    for rule in &vm.io {
        let (first, last) = (rule.first, rule.last);
        lines.push(format!(
            "ports {first:#x}-{last:#x} = {}",
            rule.action.name()
        ));
    }
    for rule in &vm.msrs {
        let (first, last) = (rule.first, rule.last);
        let (read, write) = (rule.read.name(), rule.write.name());
        lines.push(format!(
            "MSRs {first:#x}-{last:#x} = read {read}, write {write}"
        ));
    }
    for rule in &vm.cpuid {
        let (leaf, subleaf) = (rule.leaf.leaf, rule.leaf.subleaf);
        lines.push(format!(
            "CPUID {leaf:#x}.{subleaf} = keep {:x?}, host {:x?}, set {:x?}",
            rule.keep, rule.host, rule.set
        ));
    }
    lines
}

fn image(vm: &Vm) -> String {
    match &vm.image {
        Image::Guest => "guest".to_owned(),
        Image::File(file) => file.to_string(),
    }
}

/// `handler of cpuid = cpuid::emulate`, with its rules.
fn gate(gate: &Gate) -> String {
    let logged = |log: bool| if log { ", logged" } else { "" };
    let mut text = format!("handler of {} = ", gate.exit.name);
    for rule in &gate.rules {
        for condition in &rule.conditions {
            let (name, first, last) = (condition.test.name(), condition.first, condition.last);
            text.push_str(&format!("{name} {first:#x}-{last:#x} "));
        }
        text.push_str(&format!("-> {}{}; ", path(&rule.handler), logged(rule.log)));
    }
    text.push_str(&format!("{}{}", path(&gate.handler), logged(gate.log)));
    if let Some((exits, then)) = gate.limit {
        text.push_str(&format!(", at most {exits} times, then {}", then.name()));
    }
    text
}

fn path(handler: &Handler) -> String {
    match handler {
        Handler::Vmm { module, function } => format!("{module}::{function}"),
        Handler::Inject { vector, error } => match error {
            Some(error) => format!("exception {vector}, error code {error:#x}"),
            None => format!("exception {vector}"),
        },
        Handler::User(name) => format!("handlers::{name}"),
    }
}

#[cfg(test)]
mod tests {
    use vmm_config::{Handlers, Source};

    use super::*;

    fn policy(text: &str) -> Lowered {
        vmm_config::policy(Source::new("vm.toml", text), &Handlers::Unknown, None)
            .unwrap_or_else(|report| panic!("{report}"))
    }

    const A: &str =
        "[[vm]]\nname = \"demo\"\nmemory = \"64 MiB\"\nintercepts = { cpuid = \"emulate\" }\n";

    #[test]
    fn a_policy_does_not_differ_from_itself() {
        assert_eq!(policies(&policy(A), &policy(A)), "");
    }

    #[test]
    fn bits_handlers_and_rules_that_differ_are_shown_with_their_sign() {
        let b = A
            .replace("cpuid = \"emulate\"", "cpuid = \"stop\", rdtsc = \"count\"")
            .replace("64 MiB", "32 MiB")
            + "[[vm.io]]\nports = \"0xf4\"\naction = \"exit\"\n";
        assert_eq!(
            policies(&policy(A), &policy(&b)),
            "VM `demo`\n\
             \x20 - memory = 65536 KiB\n\
             \x20 + memory = 32768 KiB\n\
             \x20 - handler of cpuid = cpuid::emulate\n\
             \x20 + handler of cpuid = stop::stop\n\
             \x20 + VMCB 00Ch intercept_misc1 bit 14: rdtsc\n\
             \x20 + handler of rdtsc = tsc::emulate\n\
             \x20 + ports 0xf4-0xf4 = exit\n"
        );
    }

    #[test]
    fn features_conditions_msrs_and_leaves_that_differ_are_shown() {
        let b = "[target]\nfeatures = [\"sev-es\"]\n".to_owned()
            + &A.replace(
                "cpuid = \"emulate\"",
                "cpuid = { when = [{ leaf = 1, action = \"stop\" }, { action = \"emulate\" }] }",
            )
            + "[[vm.msr]]\nmsr = \"tsc_aux\"\nread = \"ignore\"\n\
               [vm.cpuid]\nset = { \"0x40000000\" = { eax = 1 } }\n";
        let text = policies(&policy(A), &policy(&b));
        for line in [
            "+ target features = sev-es",
            "- handler of cpuid = cpuid::emulate",
            "leaf",
            "+ MSRs 0xc0000103-0xc0000103 = read ignore, write emulate",
            "+ CPUID 0x40000000.0 = ",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
    }

    #[test]
    fn a_vm_that_only_one_policy_has_is_named() {
        let two = format!("{A}{}", A.replace("demo", "other"));
        assert_eq!(policies(&policy(A), &policy(&two)), "+ VM `other`\n");
    }
}
