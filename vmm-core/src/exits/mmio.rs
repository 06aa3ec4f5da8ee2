//! A device's memory: the instruction that touched it, done by the VMM.
//!
//! Nothing is mapped where a device has its registers, so that every access is a nested page fault,
//! or under shadow paging is made one. The CPU tells the guest-physical address; what the
//! instruction wanted there, its bytes tell (APM 15.25.6).

use super::{Outcome, interrupt};
use crate::addr::Gpa;
use crate::decode::access::{Action, Destination, Register, Source, access};
use crate::decode::{self};
use crate::devices::Effect;
use crate::vm::{Vcpu, Vm};

/// Performs the instruction at RIP, which reached for `gpa`. `None`: it is none that the VMM knows,
/// and nothing has happened.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm, gpa: Gpa) -> Option<Outcome> {
    let mut code = [0; decode::LONGEST];
    let fetched = vcpu.fetch(&vm.memory, &mut code);
    let access = access(code.get(..fetched)?, vcpu.code_size())?;
    let mut cell = Cell {
        vm,
        gpa,
        bytes: access.bytes,
        outcome: Outcome::Resume,
    };
    // The task priority has two places, one of them in the VMCB.
    cell.vm.devices.set_cr8(vcpu.cr8());
    match access.action {
        Action::Load { to, bytes, signed } => {
            let mut value = cell.read();
            if signed {
                let unused = 64 - 8 * u32::from(access.bytes);
                value = ((value << unused) as i64 >> unused) as u64;
            }
            put(vcpu, to, bytes, value);
        }
        Action::Store(source) => cell.write(operand(vcpu, source)),
        Action::Exchange(register) => {
            let value = cell.read();
            cell.write(operand(vcpu, Source::Register(register)));
            put(vcpu, register, access.bytes, value);
        }
        Action::Combine { by, with, to } => {
            let in_memory = cell.read();
            let other = operand(vcpu, with);
            let memory_first = match to {
                Destination::Memory => true,
                Destination::Register => false,
                Destination::Flags { memory_first } => memory_first,
            };
            let (left, right) = if memory_first {
                (in_memory, other)
            } else {
                (other, in_memory)
            };
            let (result, rflags) = by.apply(left, right, access.bytes, vcpu.save().rflags);
            vcpu.save_mut().rflags = rflags;
            match (to, with) {
                (Destination::Memory, _) => cell.write(result),
                (Destination::Register, Source::Register(register)) => {
                    put(vcpu, register, access.bytes, result);
                }
                _ => {}
            }
        }
    }
    let outcome = cell.outcome;
    vcpu.set_cr8(vm.devices.cr8());
    let next = vcpu.behind_by(access.length);
    vcpu.complete_with_rf(next);
    if vm.devices.interrupt_pending() {
        interrupt::offer(vcpu, vm);
    }
    Some(if vm.awaits_end_of_interrupt {
        Outcome::Leave
    } else {
        outcome
    })
}

/// The device's bytes that the instruction is about.
struct Cell<'a> {
    vm: &'a mut Vm,
    gpa: Gpa,
    bytes: u8,
    outcome: Outcome,
}

impl Cell<'_> {
    fn read(&mut self) -> u64 {
        let now = self.vm.clock.now();
        let value = self.vm.devices.read_memory(self.gpa, now);
        value & u64::MAX >> (64 - 8 * u32::from(self.bytes))
    }

    fn write(&mut self, value: u64) {
        let now = self.vm.clock.now();
        let devices = &mut self.vm.devices;
        if devices.write_memory(self.gpa, self.bytes, value as u32, now) == Effect::Timer {
            self.outcome = Outcome::Leave;
        }
    }
}

/// The value of the operand that is not in memory.
fn operand(vcpu: &Vcpu, source: Source) -> u64 {
    match source {
        Source::Immediate(value) => value,
        Source::Register(register) => vcpu.gpr(register.number) >> shift(register),
    }
}

fn shift(register: Register) -> u32 {
    if register.high { 8 } else { 0 }
}

/// Writes `bytes` bytes of a register: four clear the upper half, fewer leave the rest alone.
fn put(vcpu: &mut Vcpu, register: Register, bytes: u8, value: u64) {
    let before = vcpu.gpr(register.number);
    let whole = match bytes {
        1 => {
            let shift = shift(register);
            before & !(0xff << shift) | (value & 0xff) << shift
        }
        2 => before & !0xffff | value & 0xffff,
        4 => value & 0xffff_ffff,
        _ => value,
    };
    vcpu.set_gpr(register.number, whole);
}
