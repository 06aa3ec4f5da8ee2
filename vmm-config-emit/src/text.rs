//! The generated code as people read it: formatted, with the policy's line beside each line
//! that comes from one.
//!
//! Tokens carry no comments, so the formatted lines are recognised again by what they begin
//! with, in the order in which [`crate::policy`] writes them.

use vmm_config::Lowered;
use vmm_config::lowered::{Gate, Origin, Origins, Vm};

use crate::{dispatch, file_name, variant, vmcb};

/// The column at which comments start.
const COMMENTS: usize = 72;

/// The code that a policy becomes.
pub fn text(lowered: &Lowered) -> String {
    let tokens = crate::policy(lowered);
    let code = match syn::parse2(tokens.clone()) {
        Ok(file) => prettyplease::unparse(&file),
        Err(_) => tokens.to_string(),
    };
    let mut reader = Reader {
        lowered,
        part: Part::Policy,
        vm: None,
        routes: 0,
        io: 0,
        msrs: 0,
        cpuid: 0,
        function: None,
    };
    code.lines().fold(String::new(), |mut text, line| {
        match reader.comment(line.trim_start()) {
            Some(comment) => text.push_str(&format!("{line:COMMENTS$}  // {comment}\n")),
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    })
}

/// Which part of the code a line is in.
#[derive(Clone, Copy)]
enum Part {
    /// `POLICY` itself, with a `VmPolicy` for each VM.
    Policy,
    /// The function that fills the VMCB.
    Vmcb,
    /// The dispatch table, and the functions that it needs.
    Dispatch,
}

struct Reader<'l> {
    lowered: &'l Lowered,
    part: Part,
    /// Index of the VM that the lines are about.
    vm: Option<usize>,
    routes: usize,
    io: usize,
    msrs: usize,
    cpuid: usize,
    /// The gate whose function the lines are in, and how many of its rules have been passed.
    function: Option<(&'l Gate, usize)>,
}

impl<'l> Reader<'l> {
    fn comment(&mut self, line: &str) -> Option<String> {
        self.enter(line);
        let vm = self.vm.and_then(|index| self.lowered.vms.get(index));
        match (self.part, vm) {
            (Part::Policy, None) => self.of_policy(line),
            (Part::Policy, Some(vm)) => self.of_vm(vm, line).or_else(|| self.of_policy(line)),
            (Part::Vmcb, Some(vm)) => self.of_vmcb(vm, line),
            (Part::Dispatch, Some(vm)) => self.of_dispatch(vm, line),
            (Part::Vmcb | Part::Dispatch, None) => None,
        }
    }

    /// Follows where the code goes on to another VM or part.
    fn enter(&mut self, line: &str) {
        if line.starts_with("policy::VmPolicy {") {
            self.vm = Some(self.vm.map_or(0, |vm| vm + 1));
            (self.io, self.msrs, self.cpuid) = (0, 0, 0);
        }
        for index in 0..self.lowered.vms.len() {
            if line.starts_with(&format!("fn {}(", vmcb::name(index))) {
                (self.part, self.vm) = (Part::Vmcb, Some(index));
            } else if line.starts_with(&format!("static {}:", dispatch::name(index))) {
                (self.part, self.vm) = (Part::Dispatch, Some(index));
            }
        }
    }

    fn of_policy(&mut self, line: &str) -> Option<String> {
        if line.starts_with("policy::Route {") {
            let route = self.lowered.routes.get(self.routes)?;
            self.routes += 1;
            return Some(self.said(route.origin.as_ref()));
        }
        let key = match line.split_once(':')?.0 {
            "quantum_us" => "quantum",
            "offers" => "machine",
            "log" => "log",
            _ => return None,
        };
        Some(self.key(&self.lowered.origins, key))
    }

    fn of_vm(&mut self, vm: &Vm, line: &str) -> Option<String> {
        let next = |counter: &mut usize| {
            *counter += 1;
            *counter - 1
        };
        let rule = if line.starts_with("policy::IoRule {") {
            let rule = vm.io.get(next(&mut self.io))?;
            Some(&rule.origin)
        } else if line.starts_with("policy::MsrRule {") {
            let rule = vm.msrs.get(next(&mut self.msrs))?;
            Some(&rule.origin)
        } else if line.starts_with("policy::CpuidRule {") {
            let rule = vm.cpuid.get(next(&mut self.cpuid))?;
            rule.changes.first().map(|(_, origin)| origin)
        } else {
            None
        };
        if rule.is_some() {
            return Some(self.said(rule));
        }
        let key = match line.split_once(':')?.0 {
            "halted_is_crash" => "halted",
            key @ ("name" | "protocol" | "cmdline" | "initrd" | "modules" | "memory" | "asid"
            | "npt" | "shadow_tables" | "tlb" | "devices" | "autostart" | "restart"
            | "restart_limit" | "weight" | "counters" | "trace" | "cpu" | "ticks") => key,
            _ => return None,
        };
        Some(self.key(&vm.origins, key))
    }

    fn of_vmcb(&self, vm: &Vm, line: &str) -> Option<String> {
        if let Some(constant) = line.strip_prefix("const ") {
            let name = constant.split_once(':')?.0;
            let mut bits = vm.vmcb.iter().flat_map(|field| &field.intercepts);
            let bit = bits.find(|bit| vmcb::constant_name(bit) == name)?;
            let gate = vm
                .gates
                .iter()
                .find(|gate| gate.exit.code == bit.exit.code)?;
            return Some(self.gate(gate));
        }
        let key = match line.strip_prefix("control.")?.split_once(' ')?.0 {
            "guest_asid" => "asid",
            "nested_control" => "npt",
            "tsc_offset" => "tsc_offset",
            _ => return None,
        };
        Some(self.key(&vm.origins, key))
    }

    fn of_dispatch(&mut self, vm: &'l Vm, line: &str) -> Option<String> {
        if let Some(name) = line.strip_prefix("fn ") {
            let (name, index) = (name.split_once('(')?.0, self.vm?);
            let is_its = |gate: &&Gate| dispatch::function_name(index, gate.exit) == name;
            let gate = vm.gates.iter().find(is_its)?;
            self.function = Some((gate, 0));
            return Some(self.gate(gate));
        }
        if let (Some(call), Some((gate, passed))) = (line.strip_prefix("return "), self.function) {
            if call.starts_with("exits::limit::") {
                return Some(self.gate(gate));
            }
            self.function = Some((gate, passed + 1));
            return Some(self.said(Some(&gate.rules.get(passed)?.origin)));
        }
        let start = line.strip_prefix(".with(").unwrap_or(line);
        if let Some(code) = start.strip_prefix("ExitCode::") {
            let code = code.split_once(',')?.0;
            let gate = vm
                .gates
                .iter()
                .find(|gate| variant(gate.exit.code) == code)?;
            return Some(self.gate(gate));
        }
        None
    }

    fn gate(&self, gate: &Gate) -> String {
        self.said(gate.origin.as_ref())
    }

    fn key(&self, origins: &Origins, key: &str) -> String {
        self.said(origins.get(key))
    }

    fn said(&self, origin: Option<&Origin>) -> String {
        match origin {
            Some(Origin { line, text }) => {
                format!("{}:{line}: {text}", file_name(self.lowered))
            }
            None => "by default".to_owned(),
        }
    }
}
