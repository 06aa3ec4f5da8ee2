//! A policy written out: sets and defaults resolved, each answer with where it comes from.
//!
//! The text is a policy again, and means the same. What the VMM intercepts unasked stands in
//! comments.

use std::fmt::{self, Display, Formatter};

use intercepts::{VECTORS, msr_by_number};

use crate::lowered::{Gate, IoRule, Lowered, MsrRule, Vm};
use crate::words::Word;
use crate::written::{Answer, Image};

/// The column at which comments start.
const COMMENTS: usize = 40;

/// Shows a policy written out.
#[derive(Debug)]
pub struct Expanded<'l>(pub &'l Lowered);

impl Display for Expanded<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let policy = self.0;
        writeln!(out, "[target]\nmachine = {:?}\n", policy.machine.name)?;
        writeln!(out, "[vmm]\nquantum = \"{} us\"", policy.quantum_us)?;
        writeln!(out, "log = {:?}", policy.log.name())?;
        for vm in &policy.vms {
            self.vm(vm, out)?;
        }
        writeln!(out, "\n[irq]")?;
        for route in &policy.routes {
            let vm = route.vm.and_then(|index| policy.vms.get(index));
            let to = vm.map_or("vmm", |vm| &vm.name);
            writeln!(out, "{} = {to:?}", route.line)?;
        }
        Ok(())
    }
}

impl Expanded<'_> {
    fn vm(&self, vm: &Vm, out: &mut Formatter<'_>) -> fmt::Result {
        let image = match &vm.image {
            Image::Guest => "guest",
            Image::Path(path) => path,
        };
        let devices: Vec<_> = vm.devices.iter().map(|device| device.name()).collect();
        writeln!(out, "\n[[vm]]\nname = {:?}", vm.name)?;
        writeln!(out, "image = {}", quoted(image))?;
        writeln!(out, "cmdline = {}", quoted(&vm.cmdline))?;
        writeln!(out, "memory = \"{} KiB\"", vm.memory >> 10)?;
        writeln!(out, "asid = {}\nnpt = {}", vm.asid, vm.npt)?;
        writeln!(out, "devices = {devices:?}")?;
        writeln!(out, "halted = {:?}", vm.halted.name())?;
        writeln!(out, "tsc_offset = {}", vm.tsc_offset)?;
        writeln!(out, "\n[vm.intercepts]")?;
        for gate in &vm.gates {
            self.gate(gate, out)?;
        }
        for rule in &vm.io {
            io(rule, out)?;
        }
        for rule in &vm.msrs {
            msr(rule, out)?;
        }
        Ok(())
    }

    fn gate(&self, gate: &Gate, out: &mut Formatter<'_>) -> fmt::Result {
        let name = gate.exit.name;
        let answer = if name.contains('.') {
            format!("{name:?} = {}", answer(gate))
        } else {
            format!("{name} = {}", answer(gate))
        };
        match &gate.origin {
            Some(origin) => {
                let name = &self.0.source.name;
                writeln!(out, "{answer:COMMENTS$}  # {name}:{}", origin.line)
            }
            None => {
                let commented = format!("# {answer}");
                writeln!(out, "{commented:COMMENTS$}  # by default")
            }
        }
    }
}

fn answer(gate: &Gate) -> String {
    let mut parts = match &gate.answer {
        Answer::Action(action) if !gate.log => return format!("{:?}", action.name()),
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
    if gate.log {
        parts.push("log = true".to_owned());
    }
    format!("{{ {} }}", parts.join(", "))
}

fn io(rule: &IoRule, out: &mut Formatter<'_>) -> fmt::Result {
    let (first, last) = (rule.first, rule.last);
    writeln!(out, "\n[[vm.io]]\nports = \"{first:#x}-{last:#x}\"")?;
    writeln!(out, "action = {:?}", rule.action.name())
}

fn msr(rule: &MsrRule, out: &mut Formatter<'_>) -> fmt::Result {
    let (first, last) = (rule.first, rule.last);
    let name = msr_by_number(first).filter(|_| first == last);
    let msr = name.map_or_else(
        || format!("{first:#x}-{last:#x}"),
        |msr| msr.name.to_owned(),
    );
    writeln!(out, "\n[[vm.msr]]\nmsr = {msr:?}")?;
    writeln!(
        out,
        "read = {:?}\nwrite = {:?}",
        rule.read.name(),
        rule.write.name()
    )
}

/// A string as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
