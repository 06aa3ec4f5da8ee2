//! The switch itself: checks, then the old task is saved, then the new one is loaded (APM 12.3).
//!
//! Everything that may fault in the old task is tried before the first byte is written. From
//! then on the new task runs, and what fails is its own.

use intercepts::Event;
use intercepts::vmcb::Segment;
use intercepts::vmcb::registers::{cr0, dr6, dr7, rflags};

use super::cause::{Cause, Way};
use super::descriptor::{self, BUSY, Entry, Gate, KIND, PRESENT, named};
use super::tss::{Format, State};
use super::{Fault, GP, NP, SS, TS, segments};
use crate::decode::Segment as Register;
use crate::svm::tlb;
use crate::vm::fault;
use crate::vm::operand::Operand;
use crate::vm::walk::EFER_LMA;
use crate::vm::{Vcpu, Vm, linear};

/// The bits of EFLAGS that a task can set; bit 1 always is.
const EFLAGS: u64 = 0x003f_7fd5;
/// The breakpoints that a task has to itself.
const LOCAL: u64 = dr7::L0 | dr7::L1 | dr7::L2 | dr7::L3 | dr7::LE;
/// The types of a TSS, without the bits that say whether it is busy and has 32 bits.
const TASK: u16 = 1;
const SIZE: u16 = 1 << 3;
/// Of an error code: it names a vector of the IDT.
const IDT: u16 = 1 << 1;

/// Switches to the task that `cause` names.
pub fn perform(vcpu: &mut Vcpu, vm: &mut Vm, cause: &Cause) -> Result<(), Fault> {
    let mut new = incoming(vcpu, vm, cause)?;
    let old = vcpu.save().tr;
    let format = Format::of(&new.segment);
    let state = format.read(vcpu, &mut vm.memory, new.segment.base)?;
    try_writes(vcpu, vm, cause, &new, &old)?;

    leave(vcpu, vm, cause, &old)?;
    if cause.way != Way::Return {
        new.set(vcpu, &mut vm.memory, BUSY)?;
    }
    enter(vcpu, vm, cause, &new.segment, &state)?;

    if let Some(error) = cause.error {
        push(vcpu, vm, format.word(), error)?;
    }
    if vcpu.save().rip > vcpu.save().cs.limit.into() {
        return Err(Fault::Selector(GP, 0));
    }
    if state.trap {
        vcpu.save_mut().dr6 |= dr6::BT;
        vcpu.inject(Event::exception(1));
    }
    Ok(())
}

/// The descriptor of the new task, if it is one. The CPU has made most of these checks before the
/// exit; the guest's tables may have changed since.
fn incoming(vcpu: &Vcpu, vm: &mut Vm, cause: &Cause) -> Result<Entry, Fault> {
    let name = named(cause.selector);
    if vcpu.save().efer & EFER_LMA != 0 {
        return Err(Fault::Selector(GP, name));
    }
    if let Way::Software(vector) = cause.way {
        let gate = Gate::read(vcpu, &mut vm.memory, vector)?;
        if gate.is_none_or(|gate| vcpu.save().cpl > gate.dpl()) {
            return Err(Fault::Selector(GP, u16::from(vector) << 3 | IDT));
        }
    }
    let is_return = cause.way == Way::Return;
    let unfit = Fault::Selector(if is_return { TS } else { GP }, name);
    let is_in_gdt = cause.selector & 4 == 0 && name != 0;
    let entry = if is_in_gdt {
        Entry::read(vcpu, &mut vm.memory, cause.selector)?
    } else {
        None
    };
    let entry = entry.ok_or(unfit)?;
    let attributes = entry.segment.attributes;
    let wanted = if is_return { TASK | BUSY } else { TASK };
    if attributes & KIND & !SIZE != wanted {
        return Err(unfit);
    }
    if attributes & PRESENT == 0 {
        return Err(Fault::Selector(NP, name));
    }
    if entry.segment.limit < Format::of(&entry.segment).least_limit() {
        return Err(Fault::Selector(TS, name));
    }
    Ok(entry)
}

/// Everything that is written on the way.
fn try_writes(
    vcpu: &Vcpu,
    vm: &Vm,
    cause: &Cause,
    new: &Entry,
    old: &Segment,
) -> Result<(), Fault> {
    let format = Format::of(old);
    if old.limit < format.last_saved() {
        return Err(Fault::Selector(TS, named(old.selector)));
    }
    format.probe(vcpu, &vm.memory, old.base)?;
    if is_nested(cause) {
        linear::probe(vcpu, &vm.memory, new.segment.base, 2)?;
    } else {
        descriptor::probe_task(vcpu, &vm.memory)?;
    }
    if cause.way != Way::Return {
        new.probe(vcpu, &vm.memory)?;
    }
    Ok(())
}

/// Whether the new task is to return to the old one, which stays busy meanwhile.
fn is_nested(cause: &Cause) -> bool {
    match cause.way {
        Way::Call | Way::Software(_) | Way::Event => true,
        Way::Jump | Way::Return => false,
    }
}

/// Saves the old task.
fn leave(vcpu: &Vcpu, vm: &mut Vm, cause: &Cause, old: &Segment) -> Result<(), Fault> {
    if !is_nested(cause) {
        descriptor::release_task(vcpu, &mut vm.memory)?;
    }
    let mut eflags = vcpu.save().rflags & !rflags::RF;
    if cause.resume_flag {
        eflags |= rflags::RF;
    }
    if cause.way == Way::Return {
        eflags &= !rflags::NT;
    }
    Format::of(old).write(vcpu, &mut vm.memory, old.base, cause.next, eflags)?;
    Ok(())
}

/// Loads the new task.
fn enter(
    vcpu: &mut Vcpu,
    vm: &mut Vm,
    cause: &Cause,
    task: &Segment,
    state: &State,
) -> Result<(), Fault> {
    if is_nested(cause) {
        let link = vcpu.save().tr.selector.to_le_bytes();
        linear::write(vcpu, &mut vm.memory, task.base, &link)?;
    }
    let nested = if is_nested(cause) { rflags::NT } else { 0 };
    for (number, value) in (0..).zip(state.gprs) {
        vcpu.set_gpr(number, value.into());
    }
    vcpu.control_mut().interrupt_shadow = 0;
    let save = vcpu.save_mut();
    save.tr = Segment {
        attributes: task.attributes | BUSY,
        ..*task
    };
    save.cr0 |= cr0::TS;
    save.dr7 &= !LOCAL;
    save.rip = state.eip.into();
    save.rflags = u64::from(state.eflags) & EFLAGS | rflags::ONE | nested;
    if let Some(cr3) = state.cr3.filter(|_| save.cr0 & cr0::PG != 0) {
        save.cr3 = cr3.into();
        vcpu.flush_tlb(tlb::for_cr3());
    }
    segments::load(vcpu, vm, state)
}

/// Pushes the error code of the exception that led here.
fn push(vcpu: &mut Vcpu, vm: &mut Vm, bytes: u8, error: u32) -> Result<(), Fault> {
    let big = 1 << 10;
    let mask = if vcpu.save().ss.attributes & big != 0 {
        0xffff_ffff
    } else {
        0xffff
    };
    let rsp = vcpu.save().rsp;
    let offset = rsp.wrapping_sub(bytes.into()) & mask;
    let operand = Operand::at(vcpu, Register::Ss, offset, bytes, true)
        .map_err(|_: fault::Fault| Fault::Selector(SS, 0))?;
    operand
        .locate(vcpu, &mut vm.memory)?
        .write(vm, error.into());
    vcpu.save_mut().rsp = rsp & !mask | offset;
    Ok(())
}
