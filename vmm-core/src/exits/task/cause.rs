//! Why the guest switches tasks, and where the old task is to go on (APM 12.3, 15.14.1).
//!
//! RIP is at the instruction, and nRIP is not valid for this exit: the instruction is read.

use intercepts::EventKind;
use intercepts::info::task_cause as info;

use super::descriptor::Gate;
use crate::decode::Operation;
use crate::vm::{Vcpu, Vm};

const BP: u8 = 3;
const OF: u8 = 4;

/// A task switch as the exit describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The selector of the new task.
    pub selector: u16,
    /// What brings it about.
    pub way: Way,
    /// RIP of the old task when it goes on.
    pub next: u64,
    /// EFLAGS.RF of the old task when it goes on.
    pub resume_flag: bool,
    /// The error code that the new task finds on its stack.
    pub error: Option<u32>,
}

/// What brings a task switch about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// JMP to a task or its gate.
    Jump,
    /// CALL of one.
    Call,
    /// IRET while EFLAGS.NT is set.
    Return,
    /// An INTn instruction whose vector has a task gate: INTn itself, INT3, or INTO.
    Software(u8),
    /// An interrupt or exception whose vector has a task gate.
    Event,
}

impl Cause {
    /// Whether it lies outside the program, as error codes say by EXT.
    pub fn is_external(&self) -> bool {
        self.way == Way::Event
    }
}

/// What the exit says, and the code at RIP. `None`: they do not go together, since the guest has
/// changed its code.
pub fn find(vcpu: &Vcpu, vm: &mut Vm) -> Option<Cause> {
    let control = vcpu.control();
    let (selector, info) = (control.exit_info1 as u16, control.exit_info2);
    let rip = vcpu.save().rip;
    let instruction = vcpu.instruction(&vm.memory);
    let operation = instruction.map(|instruction| instruction.operation);
    let behind = instruction.map_or(rip, |instruction| vcpu.behind(&instruction));
    let (way, next) = if info & info::IRET != 0 {
        (operation == Some(Operation::Iret)).then_some((Way::Return, behind))?
    } else if info & info::JUMP != 0 {
        (operation == Some(Operation::JmpFar)).then_some((Way::Jump, behind))?
    } else {
        match by_event(vcpu, vm, operation) {
            Some(Way::Event) => (Way::Event, rip),
            Some(way) => (way, behind),
            None => return None,
        }
    };
    Some(Cause {
        selector,
        way,
        next,
        resume_flag: info & info::RF != 0,
        error: (way == Way::Event && info & info::HAS_ERROR != 0).then_some(info as u32),
    })
}

fn software_vector(operation: Option<Operation>) -> Option<u8> {
    match operation? {
        Operation::Int(vector) => Some(vector),
        Operation::Int3 => Some(BP),
        Operation::Into => Some(OF),
        _ => None,
    }
}

/// CALL or an event: what was being delivered, if anything was, and the instruction at RIP.
fn by_event(vcpu: &Vcpu, vm: &mut Vm, operation: Option<Operation>) -> Option<Way> {
    let event = vcpu.control().exit_int_info;
    let by_instruction = match operation {
        Some(Operation::CallFar) => Some(Way::Call),
        operation => software_vector(operation).map(Way::Software),
    };
    let mut leads_here = || {
        let gate = Gate::read(vcpu, &mut vm.memory, event.vector());
        let selector = vcpu.control().exit_info1 as u16;
        matches!(gate, Ok(Some(gate)) if gate.leads_to(selector))
    };
    match event.kind() {
        _ if !event.is_valid() => by_instruction,
        Some(EventKind::Software) => by_instruction,
        Some(EventKind::Exception)
            if matches!(event.vector(), BP | OF)
                && by_instruction == Some(Way::Software(event.vector())) =>
        {
            by_instruction
        }
        // QUIRK: Bochs 2.7 leaves EXITINTINFO stale when a software interrupt leads to a task:
        // what it names then has another gate.
        _ if leads_here() => Some(Way::Event),
        _ => by_instruction,
    }
}
