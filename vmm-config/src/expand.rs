//! A policy written out: sets and defaults resolved, each line with where it comes from.
//!
//! The text is a policy again, and means the same. What the VMM intercepts unasked stands in
//! comments.

use std::fmt::{self, Display, Formatter};

use intercepts::{VECTORS, msr_by_number};

use crate::lowered::{CpuidRule, Gate, IoRule, Lowered, MsrRule, Origin, Origins, Vm};
use crate::words::{Restart, Test, Word};
use crate::written::{Answer, Condition, CpuidChange, CpuidLeaf, Image};

/// The column at which comments start.
const COMMENTS: usize = 40;

/// Shows a policy written out.
#[derive(Debug)]
pub struct Expanded<'l>(pub &'l Lowered);

impl Display for Expanded<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let policy = self.0;
        let mut page = Page {
            file: &policy.source.name,
            out,
        };
        page.plain("[target]")?;
        let machine = format!("{:?}", policy.machine.name);
        page.key("machine", &machine, &policy.origins)?;
        if !policy.features.is_empty() {
            let names: Vec<_> = policy.features.iter().map(|feature| feature.name).collect();
            page.key("features", &format!("{names:?}"), &policy.origins)?;
        }
        page.plain("\n[vmm]")?;
        let quantum = format!("\"{} us\"", policy.quantum_us);
        page.key("quantum", &quantum, &policy.origins)?;
        page.key("log", &format!("{:?}", policy.log.name()), &policy.origins)?;
        for vm in &policy.vms {
            page.vm(vm)?;
        }
        page.plain("\n[irq]")?;
        for route in &policy.routes {
            let to = route.to.name(policy);
            page.line(&format!("{} = {to:?}", route.line), route.origin.as_ref())?;
        }
        Ok(())
    }
}

/// The text in the making.
struct Page<'p, 'f> {
    /// The file that the policy comes from.
    file: &'p str,
    out: &'p mut Formatter<'f>,
}

impl Page<'_, '_> {
    fn plain(&mut self, text: &str) -> fmt::Result {
        writeln!(self.out, "{text}")
    }

    /// A line with where it comes from.
    fn line(&mut self, text: &str, origin: Option<&Origin>) -> fmt::Result {
        match origin {
            Some(origin) => {
                let (file, line) = (self.file, origin.line);
                writeln!(self.out, "{text:COMMENTS$}  # {file}:{line}")
            }
            None => writeln!(self.out, "{text:COMMENTS$}  # by default"),
        }
    }

    fn key(&mut self, key: &str, value: &str, origins: &Origins) -> fmt::Result {
        self.line(&format!("{key} = {value}"), origins.get(key))
    }

    fn vm(&mut self, vm: &Vm) -> fmt::Result {
        let image = match &vm.image {
            Image::Guest => "guest".to_owned(),
            Image::File(file) => file.to_string(),
        };
        let devices: Vec<_> = vm.devices.iter().map(|device| device.name()).collect();
        self.plain("\n[[vm]]")?;
        for (key, value) in [
            ("name", format!("{:?}", vm.name)),
            ("image", quoted(&image)),
            ("protocol", format!("{:?}", vm.protocol.name())),
            ("cmdline", quoted(&vm.cmdline)),
            ("memory", format!("\"{} KiB\"", vm.memory >> 10)),
            ("asid", vm.asid.to_string()),
            ("npt", vm.npt.to_string()),
            ("cpu", format!("{:?}", vm.cpu.name())),
            ("tlb", format!("{:?}", vm.tlb.name())),
            ("devices", format!("{devices:?}")),
            ("halted", format!("{:?}", vm.halted.name())),
            ("autostart", vm.autostart.to_string()),
            ("restart", format!("{:?}", vm.restart.name())),
            ("weight", vm.weight.to_string()),
            ("counters", format!("{:?}", vm.counters.name())),
            ("ticks", format!("{:?}", vm.ticks.name())),
            ("trace", vm.trace.to_string()),
            ("tsc_offset", vm.tsc_offset.to_string()),
        ] {
            self.key(key, &value, &vm.origins)?;
        }
        if let Some(initrd) = &vm.initrd {
            self.key("initrd", &quoted(&initrd.to_string()), &vm.origins)?;
        }
        if !vm.modules.is_empty() {
            let strings: Vec<_> = vm
                .modules
                .iter()
                .map(|module| quoted(&module.string))
                .collect();
            let list = format!("[{}]", strings.join(", "));
            self.key("modules", &list, &vm.origins)?;
        }
        if !vm.npt {
            let tables = format!("\"{} KiB\"", vm.shadow_tables >> 10);
            self.key("shadow_tables", &tables, &vm.origins)?;
        }
        if vm.restart != Restart::Never {
            let limit = vm.restart_limit.to_string();
            self.key("restart_limit", &limit, &vm.origins)?;
        }
        if !vm.cpuid.is_empty() {
            self.cpuid(&vm.cpuid)?;
        }
        self.plain("\n[vm.intercepts]")?;
        for gate in &vm.gates {
            self.gate(gate)?;
        }
        for rule in &vm.io {
            self.io(rule)?;
        }
        for rule in &vm.msrs {
            self.msr(rule)?;
        }
        Ok(())
    }

    fn gate(&mut self, gate: &Gate) -> fmt::Result {
        let name = key(gate.exit.name);
        if gate.rules.is_empty() {
            let mut parts = parts(&gate.answer, gate.log);
            parts.extend(bounds(gate));
            let answer = match (&gate.answer, &parts[..]) {
                (Answer::Action(action), [_]) => format!("{:?}", action.name()),
                _ => format!("{{ {} }}", parts.join(", ")),
            };
            let line = format!("{name} = {answer}");
            return match &gate.origin {
                Some(origin) => self.line(&line, Some(origin)),
                None => self.line(&format!("# {line}"), None),
            };
        }
        self.line(&format!("{name} = {{ when = ["), gate.origin.as_ref())?;
        for rule in &gate.rules {
            let conditions = rule.conditions.iter().map(|rule| condition(*rule));
            let parts: Vec<_> = conditions.chain(parts(&rule.answer, rule.log)).collect();
            let line = format!("    {{ {} }},", parts.join(", "));
            self.line(&line, Some(&rule.origin))?;
        }
        let last = parts(&gate.answer, gate.log).join(", ");
        self.line(&format!("    {{ {last} }},"), gate.answer_origin.as_ref())?;
        let bounds: String = bounds(gate)
            .iter()
            .map(|part| format!(", {part}"))
            .collect();
        self.plain(&format!("]{bounds} }}"))
    }

    fn cpuid(&mut self, rules: &[CpuidRule]) -> fmt::Result {
        self.plain("\n[vm.cpuid]")?;
        let changes = || rules.iter().flat_map(|rule| &rule.changes);
        for (key, is_of_key) in [
            ("hide", is_hidden as fn(&CpuidChange) -> bool),
            ("show", is_shown),
        ] {
            let mut listed = changes().filter(|(change, _)| is_of_key(change)).peekable();
            if listed.peek().is_none() {
                continue;
            }
            self.plain(&format!("{key} = ["))?;
            for (change, origin) in listed {
                self.line(&format!("    {:?},", listed_name(*change)), Some(origin))?;
            }
            self.plain("]")?;
        }
        for (change, origin) in changes() {
            if let CpuidChange::Set(leaf, registers) = change {
                let registers: Vec<_> = ["eax", "ebx", "ecx", "edx"]
                    .into_iter()
                    .zip(registers)
                    .filter_map(|(name, value)| value.map(|value| format!("{name} = {value:#x}")))
                    .collect();
                let registers = registers.join(", ");
                let line = format!("set.\"{}\" = {{ {registers} }}", leaf_name(*leaf));
                self.line(&line, Some(origin))?;
            }
        }
        Ok(())
    }

    fn io(&mut self, rule: &IoRule) -> fmt::Result {
        let (first, last) = (rule.first, rule.last);
        self.plain("\n[[vm.io]]")?;
        self.line(
            &format!("ports = \"{first:#x}-{last:#x}\""),
            Some(&rule.origin),
        )?;
        let action = format!("action = {:?}", rule.action.name());
        self.line(&action, Some(&rule.action_origin))
    }

    fn msr(&mut self, rule: &MsrRule) -> fmt::Result {
        let (first, last) = (rule.first, rule.last);
        let name = msr_by_number(first).filter(|_| first == last);
        let msr = name.map_or_else(
            || format!("{first:#x}-{last:#x}"),
            |msr| msr.name.to_owned(),
        );
        self.plain("\n[[vm.msr]]")?;
        self.line(&format!("msr = {msr:?}"), Some(&rule.origin))?;
        let read = format!("read = {:?}", rule.read.name());
        self.line(&read, rule.read_origin.as_ref())?;
        let write = format!("write = {:?}", rule.write.name());
        self.line(&write, rule.write_origin.as_ref())
    }
}

/// A key as TOML writes it.
fn key(name: &str) -> String {
    if name.contains('.') {
        format!("{name:?}")
    } else {
        name.to_owned()
    }
}

/// `action = "…"` and what belongs to it.
fn parts(answer: &Answer, is_logged: bool) -> Vec<String> {
    let mut parts = match answer {
        Answer::Action(action) => vec![format!("action = {:?}", action.name())],
        Answer::Handler(name) => vec![format!("handler = {name:?}")],
        Answer::Inject { vector, error } => {
            let name = VECTORS
                .get(usize::from(vector.value))
                .map_or("", |(name, _)| *name);
            let mut parts = vec![
                "action = \"inject\"".to_owned(),
                format!("vector = {name:?}"),
            ];
            parts.extend(error.map(|error| format!("error = {:#x}", error.value)));
            parts
        }
    };
    if is_logged {
        parts.push("log = true".to_owned());
    }
    parts
}

fn is_hidden(change: &CpuidChange) -> bool {
    matches!(
        change,
        CpuidChange::HideFeature(_) | CpuidChange::HideLeaf(_)
    )
}

fn is_shown(change: &CpuidChange) -> bool {
    matches!(
        change,
        CpuidChange::ShowFeature(_) | CpuidChange::ShowLeaf(_)
    )
}

fn listed_name(change: CpuidChange) -> String {
    match change {
        CpuidChange::HideFeature(feature) | CpuidChange::ShowFeature(feature) => {
            feature.name.to_owned()
        }
        CpuidChange::HideLeaf(leaf) | CpuidChange::ShowLeaf(leaf) | CpuidChange::Set(leaf, _) => {
            leaf_name(leaf)
        }
    }
}

fn leaf_name(CpuidLeaf { leaf, subleaf }: CpuidLeaf) -> String {
    if subleaf == 0 {
        format!("{leaf:#x}")
    } else {
        format!("{leaf:#x}.{subleaf:#x}")
    }
}

/// What bounds how often the exit comes.
fn bounds(gate: &Gate) -> Vec<String> {
    let mut bounds = Vec::new();
    if let Some((exits, then)) = gate.limit {
        bounds.push(format!("limit = {exits}"));
        bounds.push(format!("then = {:?}", then.name()));
    }
    if let Some((pauses, cycles)) = gate.filter {
        bounds.push(format!("filter = {pauses}"));
        bounds.extend((cycles != 0).then(|| format!("threshold = {cycles}")));
    }
    bounds
}

fn condition(condition: Condition) -> String {
    let Condition { test, first, last } = condition;
    let name = test.name();
    match test {
        Test::Write => format!("{name} = {}", last == 1),
        _ if first == last => format!("{name} = \"{first:#x}\""),
        _ => format!("{name} = \"{first:#x}-{last:#x}\""),
    }
}

/// A string as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
