//! The segment registers of a new task (APM 12.2.4, 4.8): each selector is loaded first, then
//! each descriptor is checked; what fails is the new task's own exception.

use intercepts::vmcb::Segment;

use super::descriptor::{
    ACCESSED, CODE, CONFORMING, Entry, KIND, LDT, PRESENT, USER, WRITABLE, dpl, named, rpl,
};
use super::tss::State;
use super::{Fault, NP, SS, TS};
use crate::decode::Segment as Register;
use crate::vm::vcpu::RFLAGS_VM;
use crate::vm::{Vcpu, Vm};

/// Read and write, accessed, present, DPL 3, as VM86 has it.
const VM86_DATA: u16 = 0xf3;
const VM86_LIMIT: u32 = 0xffff;

/// The segment registers, in the order in which they are loaded.
const ORDER: [Register; 6] = [
    Register::Cs,
    Register::Ss,
    Register::Es,
    Register::Ds,
    Register::Fs,
    Register::Gs,
];

/// Loads LDTR and the segment registers of the task whose other registers are already there.
pub fn load(vcpu: &mut Vcpu, vm: &mut Vm, state: &State) -> Result<(), Fault> {
    let selector = |register: Register| {
        let selector = state.selectors.get(register as usize);
        selector.copied().unwrap_or_default()
    };
    let is_vm86 = vcpu.save().rflags & RFLAGS_VM != 0;
    for register in ORDER {
        *place(vcpu, register) = if is_vm86 {
            vm86(selector(register))
        } else {
            unusable(selector(register))
        };
    }
    let cpl = if is_vm86 {
        3
    } else {
        rpl(selector(Register::Cs))
    };
    vcpu.save_mut().cpl = cpl;
    load_ldtr(vcpu, vm, state.ldt)?;
    if is_vm86 {
        return Ok(());
    }
    for register in ORDER {
        load_register(vcpu, vm, register, selector(register), cpl)?;
    }
    Ok(())
}

fn place(vcpu: &mut Vcpu, register: Register) -> &mut Segment {
    let save = vcpu.save_mut();
    match register {
        Register::Es => &mut save.es,
        Register::Cs => &mut save.cs,
        Register::Ss => &mut save.ss,
        Register::Ds => &mut save.ds,
        Register::Fs => &mut save.fs,
        Register::Gs => &mut save.gs,
    }
}

/// A register that holds a selector and no segment.
fn unusable(selector: u16) -> Segment {
    Segment {
        selector,
        ..Segment::default()
    }
}

fn vm86(selector: u16) -> Segment {
    Segment {
        selector,
        attributes: VM86_DATA,
        limit: VM86_LIMIT,
        base: u64::from(selector) << 4,
    }
}

fn load_ldtr(vcpu: &mut Vcpu, vm: &mut Vm, selector: u16) -> Result<(), Fault> {
    vcpu.save_mut().ldtr = unusable(selector);
    if named(selector) == 0 {
        return Ok(());
    }
    let invalid = Fault::Selector(TS, named(selector));
    let is_in_gdt = selector & 4 == 0;
    let entry = if is_in_gdt {
        Entry::read(vcpu, &mut vm.memory, selector)?
    } else {
        None
    };
    let segment = entry.ok_or(invalid)?.segment;
    if segment.attributes & (KIND | PRESENT) != LDT | PRESENT {
        return Err(invalid);
    }
    vcpu.save_mut().ldtr = segment;
    Ok(())
}

fn load_register(
    vcpu: &mut Vcpu,
    vm: &mut Vm,
    register: Register,
    selector: u16,
    cpl: u8,
) -> Result<(), Fault> {
    let invalid = Fault::Selector(TS, named(selector));
    if named(selector) == 0 {
        // The data segments may be null.
        return match register {
            Register::Cs | Register::Ss => Err(invalid),
            _ => Ok(()),
        };
    }
    let mut entry = Entry::read(vcpu, &mut vm.memory, selector)?.ok_or(invalid)?;
    let attributes = entry.segment.attributes;
    let fits = match register {
        Register::Cs => is_code(attributes, selector),
        Register::Ss => is_stack(attributes, selector, cpl),
        _ => is_data(attributes, selector, cpl),
    };
    if !fits {
        return Err(invalid);
    }
    if attributes & PRESENT == 0 {
        let vector = if register == Register::Ss { SS } else { NP };
        return Err(Fault::Selector(vector, named(selector)));
    }
    entry.set(vcpu, &mut vm.memory, ACCESSED)?;
    *place(vcpu, register) = entry.segment;
    Ok(())
}

fn is_code(attributes: u16, selector: u16) -> bool {
    attributes & (USER | CODE) == USER | CODE
        && if attributes & CONFORMING != 0 {
            dpl(attributes) <= rpl(selector)
        } else {
            dpl(attributes) == rpl(selector)
        }
}

fn is_stack(attributes: u16, selector: u16, cpl: u8) -> bool {
    attributes & (USER | CODE | WRITABLE) == USER | WRITABLE
        && dpl(attributes) == cpl
        && rpl(selector) == cpl
}

fn is_data(attributes: u16, selector: u16, cpl: u8) -> bool {
    let is_readable = attributes & CODE == 0 || attributes & WRITABLE != 0;
    let conforms = attributes & (CODE | CONFORMING) == CODE | CONFORMING;
    attributes & USER != 0 && is_readable && (conforms || dpl(attributes) >= cpl.max(rpl(selector)))
}
