//! From a policy that keeps every rule to [`Lowered`].

pub(crate) mod cpuid;

use intercepts::vmcb::{self, Control, Field};
use intercepts::{Action, Actions, Denial, Exit, ExitCode, Feature, Finish, Intercept};

use crate::finding::Report;
use crate::limits;
use crate::lowered::{
    FieldValue, Gate, Handler, InterceptBit, IoRule, Lowered, MsrRule, Need, Origin, Origins,
    Owner, Route, Rule, Vm,
};
use crate::read::FOCUS;
use crate::resolve::{Gate as Resolved, Policy};
use crate::source::{At, Source, Span};
use crate::words::{CpuModel, Device, Flush, IoAction, Restart};
use crate::written::{self, Answer, Document, Said};

/// Lowers a policy that has passed every check.
pub(crate) fn lower(policy: &Policy, source: &Source, warnings: Report) -> Lowered {
    let document = &policy.document;
    let origin = |span: Span| Origin {
        line: source.place(span.start).line,
        text: source.line_of(span.start).into(),
    };
    let vms = document
        .vms
        .iter()
        .zip(&policy.gates)
        .zip(&policy.asids)
        .map(|((written, gates), asid)| {
            vm(document, written, gates, asid.unwrap_or_default(), &origin)
        })
        .collect();
    let mut routes: Vec<_> = document
        .lines
        .iter()
        .map(|line| Route {
            line: line.line.value,
            to: owner(document, &line.to.value),
            origin: document
                .said
                .contains_key("irq")
                .then(|| origin(line.line.span)),
        })
        .collect();
    routes.sort_by_key(|route| route.line);
    Lowered {
        source: source.clone(),
        machine: document.machine.value,
        features: document.features.clone(),
        quantum_us: document.quantum_us,
        log: document.log,
        vms,
        routes,
        origins: origins(&document.said, &origin),
        warnings,
    }
}

/// Where keys are said.
fn origins(said: &Said, origin: &dyn Fn(Span) -> Origin) -> Origins {
    said.iter().map(|(key, at)| (*key, origin(*at))).collect()
}

fn vm(
    document: &written::Document,
    written: &written::Vm,
    resolved: &[Resolved],
    asid: u32,
    origin: &dyn Fn(Span) -> Origin,
) -> Vm {
    let mut gates: Vec<Gate> = resolved
        .iter()
        .map(|gate| lower_gate(gate, origin))
        .collect();
    let npt = written.npt.value;
    if !npt {
        keep_from_cpu(&mut gates);
    }
    let of_lines = document
        .lines
        .iter()
        .filter(|line| line.to.value == written.name.value)
        .filter_map(|line| line.ports)
        .map(|ports| (ports, ports.map(|_| IoAction::Pass)));
    let mut io: Vec<_> = written
        .io
        .iter()
        .map(|rule| (rule.ports, rule.action))
        .chain(of_lines)
        .map(|(ports, action)| IoRule {
            first: ports.value.0,
            last: ports.value.1,
            action: action.value,
            origin: origin(ports.span),
            action_origin: origin(action.span),
        })
        .collect();
    io.sort_by_key(|rule| rule.first);
    let mut msrs: Vec<_> = written
        .msrs
        .iter()
        .map(|rule| MsrRule {
            first: rule.msrs.value.0,
            last: rule.msrs.value.1,
            read: rule.read.value,
            write: rule.write.value,
            origin: origin(rule.msrs.span),
            read_origin: rule.said_at(rule.read).map(origin),
            write_origin: rule.said_at(rule.write).map(origin),
        })
        .collect();
    msrs.sort_by_key(|rule| rule.first);
    let cpuid = cpuid::rules(&written.cpuid, origin);
    if msrs.iter().any(MsrRule::is_asked) {
        ask_rules(&mut gates, "msr");
    }
    // The host, a CPU with a local APIC and one under a hypervisor have leaves beyond the short road's.
    if written.cpu == CpuModel::Host
        || written.devices.contains(&Device::Lapic)
        || written.devices.contains(&Device::Pvclock)
        || cpuid.iter().any(|rule| !cpuid::is_of_model(rule.leaf))
    {
        ask_rules(&mut gates, "cpuid");
    }
    Vm {
        name: written.name.value.clone(),
        image: written.image.value.clone(),
        protocol: written.protocol,
        cmdline: written.cmdline.clone(),
        initrd: written.initrd.as_ref().map(|file| file.value.clone()),
        modules: written
            .modules
            .iter()
            .map(|file| file.value.clone())
            .collect(),
        memory: written.memory.value,
        asid,
        npt,
        shadow_tables: shadow_tables(written),
        halted: written.halted,
        autostart: written.autostart.value,
        restart: written.restart,
        restart_limit: restart_limit(written),
        weight: written.weight,
        counters: written.counters.value,
        ticks: written.ticks,
        trace: written.trace,
        tsc_offset: written.tsc_offset,
        tlb: written.tlb.value,
        cpu: written.cpu,
        cpuid,
        origins: origins(&written.said, origin),
        devices: written.devices.clone(),
        vmcb: control_fields(&gates, asid, npt, written.tsc_offset),
        needs: needs(written, resolved, origin),
        gates,
        io,
        msrs,
    }
}

/// Who the name in `[irq]` stands for.
fn owner(document: &Document, name: &str) -> Owner {
    let vms = &document.vms;
    match vms.iter().position(|vm| vm.name.value == name) {
        Some(index) => Owner::Vm(index),
        None if name == FOCUS => Owner::Focus,
        None => Owner::Vmm,
    }
}

/// Memory for shadow page tables: as it is written, else enough to map all of the guest's memory
/// twice with small pages, and then some.
fn shadow_tables(vm: &written::Vm) -> u64 {
    const TABLE: u64 = 4 << 10;
    const MAPPED_BY_TABLE: u64 = 2 << 20;
    if vm.npt.value {
        return 0;
    }
    vm.shadow_tables.map_or_else(
        || {
            let twice = 2 * vm.memory.value.div_ceil(MAPPED_BY_TABLE) * TABLE;
            (limits::SHADOW_TABLES.start() + twice).min(*limits::SHADOW_TABLES.end())
        },
        |bytes| bytes.value,
    )
}

/// How often a VM starts again, at most.
fn restart_limit(vm: &written::Vm) -> u32 {
    const USUAL: u32 = 3;
    match vm.restart {
        Restart::Never => 0,
        _ => vm.restart_limit.map_or(USUAL, |limit| limit.value),
    }
}

/// `emulate` of MSRs and of CPUID is the short road of VMs that stay within the VMM's own
/// model; with this, their rules are asked.
fn ask_rules(gates: &mut [Gate], family: &str) {
    for gate in gates {
        let of_rules = gate.rules.iter_mut().map(|rule| &mut rule.handler);
        for handler in of_rules.chain([&mut gate.handler]) {
            if let Handler::Vmm { module, function } = handler
                && *module == family
            {
                *function = "by_rules";
            }
        }
    }
}

/// Shadow paging leaves neither INVLPG nor INVPCID to the guest's own CPU, stepped over them.
fn keep_from_cpu(gates: &mut [Gate]) {
    for gate in gates {
        let (module, function) = match gate.exit.code {
            ExitCode::Invlpg => ("invlpg", "emulate"),
            ExitCode::Invpcid => ("deny", "ud"),
            _ => continue,
        };
        let of_rules = gate.rules.iter_mut().map(|rule| &mut rule.handler);
        for handler in of_rules.chain([&mut gate.handler]) {
            if let Handler::Vmm { module: "step", .. } = handler {
                *handler = Handler::Vmm { module, function };
            }
        }
    }
}

fn lower_gate(gate: &Resolved, origin: &dyn Fn(Span) -> Origin) -> Gate {
    let entry = gate.entry.as_ref();
    let rule = |rule: &written::Rule| Rule {
        conditions: rule.conditions.iter().map(|at| at.value).collect(),
        answer: rule.answer.value.clone(),
        handler: handler(gate.exit, &rule.answer.value),
        log: is_logged(&rule.answer.value, rule.log),
        origin: origin(rule.answer.span),
    };
    Gate {
        exit: gate.exit,
        rules: entry.map_or_else(Vec::new, |entry| entry.when.iter().map(rule).collect()),
        limit: entry
            .and_then(|entry| entry.limit)
            .map(|limit| (limit.exits.value, limit.then.value)),
        filter: entry.and_then(|entry| entry.filter).map(|filter| {
            let cycles = filter.cycles.map_or(0, |cycles| cycles.value);
            (filter.pauses.value, cycles)
        }),
        answer: gate.answer.clone(),
        handler: handler(gate.exit, &gate.answer),
        log: gate.log,
        origin: entry.map(|entry| origin(entry.exit.span)),
        answer_origin: entry.map(|entry| origin(entry.answer.span)),
    }
}

/// Whether an answer says its exits on the log: as it is told, else by its nature.
pub(crate) fn is_logged(answer: &Answer, said: Option<At<bool>>) -> bool {
    said.map_or_else(|| *answer == Answer::Action(Action::Log), |log| log.value)
}

/// What handles an exit that is answered so.
pub(crate) fn handler(exit: &'static Exit, answer: &Answer) -> Handler {
    let vmm = |module, function| Handler::Vmm { module, function };
    let action = match answer {
        Answer::Handler(name) => return Handler::User(name.clone()),
        Answer::Inject { vector, error } => {
            return Handler::Inject {
                vector: vector.value,
                error: error.map(|error| error.value),
            };
        }
        Answer::Action(action) => *action,
    };
    match action {
        Action::Stop if exit.family == "invalid" => vmm("invalid", "stop"),
        // An answer `inject` has its own kind, and `pass` makes no gate.
        Action::Stop | Action::Inject | Action::Pass => vmm("stop", "stop"),
        Action::Emulate => vmm(exit.family, "emulate"),
        Action::Wait => vmm(exit.family, "wait"),
        Action::Hypercall => vmm("vmmcall", "hypercall"),
        Action::Deny => match exit.denial {
            Denial::Gp => vmm("deny", "gp"),
            Denial::Float => vmm("io", "float"),
            Denial::Ud | Denial::None => vmm("deny", "ud"),
        },
        Action::Count | Action::Log => match exit.finish {
            Finish::Reflect => vmm("exception", "reflect"),
            Finish::SoftwareInterrupt => vmm("swint", "deliver"),
            Finish::Step => vmm("step", "begin"),
            Finish::Emulate | Finish::None => {
                let waits = exit
                    .fits
                    .intersection(Actions::EMULATE.union(Actions::WAIT))
                    == Actions::WAIT;
                if exit.accepts(Action::Hypercall) {
                    vmm("vmmcall", "hypercall")
                } else if waits {
                    vmm(exit.family, "wait")
                } else {
                    vmm(exit.family, "emulate")
                }
            }
        },
    }
}

/// The control fields that the policy decides.
fn control_fields(gates: &[Gate], asid: u32, npt: bool, tsc_offset: i64) -> Vec<FieldValue> {
    let (pauses, cycles) = gates
        .iter()
        .find_map(|gate| gate.filter)
        .unwrap_or_default();
    let plain = |name: &str| match name {
        "pause_filter_count" => pauses.into(),
        "pause_filter_threshold" => cycles.into(),
        "tsc_offset" => tsc_offset as u64,
        "guest_asid" => asid.into(),
        "nested_control" if npt => vmcb::control::nested::NP_ENABLE,
        _ => 0,
    };
    Control::FIELDS
        .iter()
        .map(|field| {
            let intercepts: Vec<_> = gates
                .iter()
                .filter_map(|gate| {
                    let bit = bit_in(field, gate.exit.intercept)?;
                    Some(InterceptBit {
                        bit,
                        exit: gate.exit,
                    })
                })
                .collect();
            let value = intercepts
                .iter()
                .fold(plain(field.name), |value, bit| value | 1 << bit.bit);
            FieldValue {
                field,
                value,
                intercepts,
            }
        })
        .filter(|field| field.value != 0)
        .collect()
}

/// The bit of `field` that is this intercept, if it is in it.
fn bit_in(field: &Field, intercept: Intercept) -> Option<u8> {
    match intercept {
        Intercept::Bit { offset, bit } => field.bit_of(offset, bit),
        _ => None,
    }
}

/// SVM and nested paging, and the feature of each exit that the policy asks for.
fn needs(written: &written::Vm, gates: &[Resolved], origin: &dyn Fn(Span) -> Origin) -> Vec<Need> {
    let mut needs = vec![Need {
        feature: Feature::SVM,
        origin: origin(written.header),
    }];
    if written.npt.value {
        let mut origin = origin(written.npt.span);
        if written.npt.span == written.header {
            origin.text = "npt = true, by default".into();
        }
        needs.push(Need {
            feature: Feature::NPT,
            origin,
        });
    }
    if written.tlb.value == Flush::Asid {
        needs.push(Need {
            feature: Feature::FLUSH_BY_ASID,
            origin: origin(written.tlb.span),
        });
    }
    for gate in gates {
        // Without nested paging the VMM makes that exit itself.
        let is_made = gate.exit.intercept == Intercept::NestedPaging && !written.npt.value;
        if let (Some(feature), Some(entry)) = (gate.exit.feature, &gate.entry)
            && !is_made
            && needs.iter().all(|need| need.feature != feature)
        {
            needs.push(Need {
                feature,
                origin: origin(entry.exit.span),
            });
        }
        let filter = gate.entry.as_ref().and_then(|entry| entry.filter);
        let filter = filter.map_or_else(Vec::new, |filter| filter.needs());
        needs.extend(filter.into_iter().map(|(feature, at)| Need {
            feature,
            origin: origin(at),
        }));
    }
    needs
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use intercepts::EXITS;

    use super::*;

    /// The handler of every action that fits an exit, exit by exit.
    #[test]
    fn every_fitting_action_has_its_handler() {
        let mut table = String::new();
        for exit in EXITS {
            write!(table, "{:20}", exit.name).unwrap();
            for action in Action::ALL {
                let without_parameters = action != Action::Pass && action != Action::Inject;
                if !exit.accepts(action) || !without_parameters {
                    continue;
                }
                if let Handler::Vmm { module, function } = handler(exit, &Answer::Action(action)) {
                    write!(table, " {}={module}::{function}", action.name()).unwrap();
                }
            }
            table.push('\n');
        }
        insta::assert_snapshot!(table);
    }
}
