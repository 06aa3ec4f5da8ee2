//! The file of a trace, written and read.

use std::collections::BTreeMap;
use std::path::Path;

use intercepts::EXITS;
use serde::{Deserialize, Serialize};
use vmm_config::Lowered;
use vmm_config::written::Answer;

use crate::failure::{Failure, Result};

/// Every exit that was kept, VM by VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// TSC ticks a second.
    pub tsc_hz: u64,
    /// The VMs.
    pub vms: Vec<Vm>,
}

/// One VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vm {
    /// Its name.
    pub name: String,
    /// Its exits, in the order in which they happened.
    pub exits: Vec<Exit>,
    /// Exits before and between those, that were not kept.
    pub lost: u64,
}

/// One exit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// Its number in its VM, from 0.
    pub number: u64,
    /// The TSC at #VMEXIT.
    pub time: u64,
    /// TSC ticks until VMRUN.
    pub cycles: u64,
    /// The name that it is counted by: the vocabulary's, [`ledger::OWN_NAME`] if it served the
    /// VMM alone, or the code in hexadecimal.
    pub name: String,
    /// The action of the policy, as far as it is the same for all exits of this name; of one that
    /// served the VMM alone, the exit that the CPU took.
    pub action: String,
    /// Whether it served the VMM alone.
    pub own: bool,
    /// EXITCODE, its low 16 bits. Shadow paging counts a page fault outside the VM's memory as the
    /// nested page fault that it would have been.
    pub code: u64,
    /// Whether the VMM had more to do than to answer it.
    pub left: bool,
    /// The guest's RIP.
    pub rip: u64,
    /// EXITINFO1.
    pub info1: u64,
    /// EXITINFO2.
    pub info2: u64,
    /// The guest's RAX.
    pub rax: u64,
    /// The guest's RCX.
    pub rcx: u64,
    /// EVENTINJ at VMRUN.
    pub event: u64,
}

/// A line of the file. Other lines are passed over.
#[derive(Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line {
    Policy {
        vms: BTreeMap<String, BTreeMap<String, String>>,
    },
    Hello {
        vms: Vec<String>,
        tsc_hz: u64,
    },
    Trace {
        vm: String,
        first: u64,
        exits: Vec<String>,
    },
    #[serde(other)]
    Other,
}

/// The file of a run under `policy` that sent `com2`; `None`: it sent no exits.
pub fn write(policy: &Lowered, com2: &str) -> Option<String> {
    let is_of_trace = |line: &&str| line.starts_with(r#"{"kind":"trace""#);
    let is_hello = |line: &&str| line.starts_with(r#"{"kind":"hello""#);
    com2.lines().find(is_of_trace)?;
    let actions = Line::Policy {
        vms: actions(policy),
    };
    let mut text = serde_json::to_string(&actions).ok()?;
    text.push('\n');
    for line in com2
        .lines()
        .filter(|line| is_of_trace(line) || is_hello(line))
    {
        text.push_str(line);
        text.push('\n');
    }
    Some(text)
}

/// Each VM's action for each exit, by name.
fn actions(policy: &Lowered) -> BTreeMap<String, BTreeMap<String, String>> {
    let of_gate = |gate: &vmm_config::lowered::Gate| {
        let action = match &gate.answer {
            _ if !gate.rules.is_empty() => "by rule".to_owned(),
            Answer::Action(action) => action.name().to_owned(),
            Answer::Inject { vector, .. } => format!("inject {}", vector.value),
            Answer::Handler(name) => name.clone(),
        };
        (gate.exit.name.to_owned(), action)
    };
    let of_vm = |vm: &vmm_config::lowered::Vm| {
        let gates = vm.gates.iter().map(of_gate).collect();
        (vm.name.clone(), gates)
    };
    policy.vms.iter().map(of_vm).collect()
}

/// Reads a trace.
///
/// # Errors
/// There is no such file, or it is none of a trace, or a line of it is damaged.
pub fn read(file: &Path) -> Result<Trace> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::bad_input(format!("cannot read {}: {error}", file.display())))?;
    parse(&text).map_err(|what| {
        Failure::bad_input(format!(
            "{} is no trace: {what}; `cargo run-qemu --trace FILE` writes one",
            file.display()
        ))
    })
}

fn parse(text: &str) -> std::result::Result<Trace, String> {
    let mut trace = Trace::default();
    let mut actions = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let damaged = |what: &str| format!("line {}: {what}", number + 1);
        let line = serde_json::from_str(line).map_err(|error| damaged(&error.to_string()))?;
        match line {
            Line::Policy { vms } => actions = vms,
            Line::Hello { vms, tsc_hz } => {
                trace.tsc_hz = tsc_hz;
                let named = |name| Vm {
                    name,
                    ..Vm::default()
                };
                trace.vms = vms.into_iter().map(named).collect();
            }
            Line::Trace { vm, first, exits } => {
                let place = trace.vms.iter_mut().find(|known| known.name == vm);
                let place = place.ok_or_else(|| damaged("a VM that nobody named"))?;
                let due = place.exits.last().map_or(0, |exit| exit.number + 1);
                place.lost += first.saturating_sub(due);
                for (number, exit) in (first..).zip(&exits) {
                    let exit = exit_of(exit, number, actions.get(&vm));
                    place
                        .exits
                        .push(exit.ok_or_else(|| damaged("an exit that cannot be read"))?);
                }
            }
            Line::Other => {}
        }
    }
    if trace.tsc_hz == 0 {
        return Err("it does not say how fast the TSC counts".into());
    }
    Ok(trace)
}

/// The VMM's own form of an exit: eleven hexadecimal numbers.
fn exit_of(text: &str, number: u64, actions: Option<&BTreeMap<String, String>>) -> Option<Exit> {
    let mut numbers = [0; 11];
    let mut words = text.split(' ');
    for place in &mut numbers {
        *place = u64::from_str_radix(words.next()?, 16).ok()?;
    }
    let [
        time,
        cycles,
        slot,
        left,
        code,
        rip,
        info1,
        info2,
        rax,
        rcx,
        event,
    ] = numbers;
    let own = slot == u64::from(ledger::OWN);
    let (name, action) = if own {
        let taken = named(intercepts::slot(code).into(), code);
        (ledger::OWN_NAME.to_owned(), format!("on {taken}"))
    } else {
        let name = named(slot, code);
        let action = actions.and_then(|actions| actions.get(&name));
        let action = action.cloned().unwrap_or_default();
        (name, action)
    };
    words.next().is_none().then_some(Exit {
        number,
        time,
        cycles,
        name,
        action,
        own,
        code,
        left: left != 0,
        rip,
        info1,
        info2,
        rax,
        rcx,
        event,
    })
}

/// The vocabulary's name of a slot, or else the code.
fn named(slot: u64, code: u64) -> String {
    let exit = EXITS
        .iter()
        .find(|exit| u64::from(intercepts::slot(exit.code as u64)) == slot);
    exit.map_or_else(|| format!("{code:#x}"), |exit| exit.name.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub const FILE: &str = concat!(
        r#"{"kind":"policy","vms":{"demo":{"cpuid":"emulate","msr":"by rule"}}}"#,
        "\n",
        r#"{"kind":"hello","version":1,"vms":["demo","other"],"tsc_hz":1000000000,"vmm_bytes":1}"#,
        "\n",
        r#"{"kind":"trace","vm":"demo","first":3,"exits":["3e8 52 72 0 72 100020 0 0 1 0 0","7d0 64 e0 1 41 100022 0 0 1 0 80000030"]}"#,
        "\n",
        r#"{"kind":"trace","vm":"demo","first":5,"exits":["fa0 5a 7c 0 7c 100030 1 0 0 c0000080 0"]}"#,
        "\n",
    );

    /// The trace of [`FILE`].
    pub fn trace() -> Trace {
        parse(FILE).expect("a trace")
    }

    #[test]
    fn exits_are_read_with_names_actions_and_what_was_lost() {
        let trace = trace();
        assert_eq!(trace.tsc_hz, 1_000_000_000);
        let [demo, other] = &trace.vms[..] else {
            panic!("{trace:#?}")
        };
        assert_eq!((demo.lost, demo.exits.len(), other.exits.len()), (3, 3, 0));
        let shown: Vec<_> = demo
            .exits
            .iter()
            .map(|exit| (exit.number, exit.name.as_str(), exit.action.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                (3, "cpuid", "emulate"),
                (4, "(vmm)", "on exception.db"),
                (5, "msr", "by rule")
            ]
        );
        let last = &demo.exits[2];
        assert_eq!((last.time, last.cycles, last.rcx), (4000, 90, 0xc000_0080));
        assert!(demo.exits[1].left && demo.exits[1].event == 0x8000_0030);
    }

    #[test]
    fn damage_is_told_with_its_line() {
        let cut = &FILE[..FILE.len() - 20];
        assert!(parse(cut).is_err_and(|what| what.starts_with("line 4")));
        let wrong = FILE.replace("3e8", "x");
        assert!(parse(&wrong).is_err_and(|what| what.contains("line 3: an exit")));
        assert!(parse("").is_err());
        assert!(parse(r#"{"kind":"trace","vm":"a","first":0,"exits":[]}"#).is_err());
    }
}
