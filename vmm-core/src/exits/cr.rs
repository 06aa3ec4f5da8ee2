//! MOV to and from control registers, CLTS, LMSW and SMSW, as the CPU does them for a guest
//! whose CPU is the one that its CPUID describes (APM 3.1, 14.6, volume 3 MOV CRn).

use intercepts::vmcb::registers::{cr0, cr4, efer};
use intercepts::vmcb::validate;

use super::{Outcome, unexpected};
use crate::decode::glance::{self, Glance};
use crate::decode::{Instruction, Operation, Place};
use crate::svm::shadow::Registers;
use crate::svm::tlb::{self, Flush};
use crate::vm::fault::Fault;
use crate::vm::operand::Operand;
use crate::vm::vcpu::CodeSize;
use crate::vm::walk::EFER_LMA;
use crate::vm::{How, Vcpu, Vm, refusal};

const CR0_PE: u64 = cr0::PE;
const CR0_TS: u64 = cr0::TS;
const CR0_ET: u64 = cr0::ET;
const CR0_NW: u64 = cr0::NW;
const CR0_CD: u64 = cr0::CD;
const CR0_PG: u64 = cr0::PG;
/// PE, MP, EM, TS, NE, WP, AM, NW, CD, PG; ET is always 1, and the rest always 0.
const CR0_WRITABLE: u64 = 0xe005_002f;
/// PE, MP, EM, TS: what LMSW reaches.
const CR0_LMSW: u64 = 0xf;
const CR4_PAE: u64 = cr4::PAE;
const EFER_LME: u64 = efer::LME;
const CS_L: u16 = 1 << 9;
/// What CR8 has bits for.
const CR8: u64 = 0xf;

/// CR4's bits, each with the bit of CPUID 0000_0001 EDX that offers it: TSD (TSC), DE, PSE,
/// PAE, MCE, PGE, OSFXSR (FXSR), OSXMMEXCPT (SSE). VME and PVI go with bit 1.
const CR4_OFFERED: [(u64, u8); 9] = [
    (0b11, 1),
    (1 << 2, 4),
    (1 << 3, 2),
    (1 << 4, 3),
    (CR4_PAE, 6),
    (1 << 6, 7),
    (1 << 7, 13),
    (1 << 9, 24),
    (1 << 10, 25),
];
/// CR4.PCE, which CPUID does not tell of.
const CR4_PCE: u64 = cr4::PCE;

/// Performs the read or write that the exit code names.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let code = vcpu.control().exit_code;
    let (number, is_write) = (code as u8 & 0xf, code & 0x10 != 0);
    if !matches!(number, 0 | 2 | 3 | 4 | 8) {
        vcpu.raise(Fault::UndefinedOpcode);
        return Outcome::Resume;
    }
    let at_a_glance = if vm.shadow.is_some() {
        vcpu.glance(&vm.memory)
    } else {
        None
    };
    let short = vcpu.save().rip.wrapping_add(glance::LENGTH);
    let (done, next) = match at_a_glance {
        Some(Glance::ToCr(cr, gpr)) if is_write && cr == number => {
            (move_to(vcpu, vm, cr, gpr), short)
        }
        Some(Glance::FromCr(cr, gpr)) if !is_write && cr == number => {
            (move_from(vcpu, cr, gpr), short)
        }
        _ => match by_decoder(vcpu, vm, number, is_write) {
            Some(found) => found,
            None => return unexpected::unreadable(vcpu, vm),
        },
    };
    match done {
        Ok(()) => vcpu.complete_with_rf(next),
        Err(fault) => vcpu.raise(fault),
    }
    // What the others take, VMRUN takes.
    if is_write && matches!(number, 0 | 4) {
        hold_to_vmrun(vcpu, vm)
    } else {
        Outcome::Resume
    }
}

/// Performs the access to control register `number`; how it went, and the RIP behind it. `None`:
/// the code at RIP is none.
fn by_decoder(
    vcpu: &mut Vcpu,
    vm: &mut Vm,
    number: u8,
    is_write: bool,
) -> Option<(Result<(), Fault>, u64)> {
    let instruction = vcpu.instruction(&vm.memory)?;
    let next = vcpu.behind(&instruction);
    let done = match (instruction.operation, number, is_write) {
        (Operation::MovFromCr { cr, gpr }, _, false) if cr == number => move_from(vcpu, cr, gpr),
        (Operation::MovToCr { cr, gpr }, _, true) if cr == number => move_to(vcpu, vm, cr, gpr),
        (Operation::Smsw(place), 0, false) => smsw(vcpu, vm, &instruction, place),
        (Operation::Lmsw(place), 0, true) => lmsw(vcpu, vm, &instruction, place),
        (Operation::Clts, 0, true) => {
            let cr0 = vcpu.save().cr0 & !CR0_TS;
            privileged(vcpu).and_then(|()| write_cr0(vcpu, vm, cr0))
        }
        _ => return None,
    };
    Some((done, next))
}

/// What VMRUN would refuse ends the VM here, with the field's name.
fn hold_to_vmrun(vcpu: &Vcpu, vm: &mut Vm) -> Outcome {
    match validate(vcpu.vmcb(), max_physical(vm)) {
        Ok(()) => Outcome::Resume,
        Err(violation) => {
            refusal::tell_unfit(vm.policy.name, vcpu.vmcb(), violation);
            vm.finish(
                How::Crashed,
                format_args!(
                    "its control registers are not what VMRUN takes: {} ({}; APM 15.5.1)",
                    violation.field, violation.rule
                ),
            )
        }
    }
}

fn privileged(vcpu: &Vcpu) -> Result<(), Fault> {
    if vcpu.save().cpl == 0 {
        Ok(())
    } else {
        Err(Fault::Protection)
    }
}

fn is_64_bit(vcpu: &Vcpu) -> bool {
    vcpu.code_size() == CodeSize::Bits64
}

fn move_from(vcpu: &mut Vcpu, cr: u8, gpr: u8) -> Result<(), Fault> {
    privileged(vcpu)?;
    let save = vcpu.save();
    let value = match cr {
        0 => save.cr0,
        2 => save.cr2,
        3 => save.cr3,
        4 => save.cr4,
        _ => vcpu.cr8().into(),
    };
    let value = if is_64_bit(vcpu) {
        value
    } else {
        value & 0xffff_ffff
    };
    vcpu.set_gpr(gpr, value);
    Ok(())
}

fn move_to(vcpu: &mut Vcpu, vm: &Vm, cr: u8, gpr: u8) -> Result<(), Fault> {
    privileged(vcpu)?;
    let value = if is_64_bit(vcpu) {
        vcpu.gpr(gpr)
    } else {
        vcpu.gpr(gpr) & 0xffff_ffff
    };
    match cr {
        0 => write_cr0(vcpu, vm, value),
        2 => {
            vcpu.set_cr2(value);
            Ok(())
        }
        3 => write_cr3(vcpu, vm, value),
        4 => write_cr4(vcpu, vm, value),
        _ => write_cr8(vcpu, value),
    }
}

/// SMSW: allowed at every privilege level; to memory it is 16 bits whatever the operand size.
fn smsw(
    vcpu: &mut Vcpu,
    vm: &mut Vm,
    instruction: &Instruction,
    place: Place,
) -> Result<(), Fault> {
    let cr0 = vcpu.save().cr0;
    match place {
        Place::Gpr(number) => {
            let before = vcpu.gpr(number);
            let after = match instruction.prefixes.operand_bytes(vcpu.code_size()) {
                2 => before & !0xffff | cr0 & 0xffff,
                4 => cr0 & 0xffff_ffff,
                _ => cr0,
            };
            vcpu.set_gpr(number, after);
        }
        Place::Memory(address) => {
            let offset = address.offset(|gpr| vcpu.gpr(gpr), vcpu.behind(instruction));
            let operand = Operand::at(vcpu, address.segment, offset, 2, true)?;
            operand.locate(vcpu, &mut vm.memory)?.write(vm, cr0);
        }
    }
    Ok(())
}

/// LMSW: the low four bits of CR0, but PE is only ever set.
fn lmsw(
    vcpu: &mut Vcpu,
    vm: &mut Vm,
    instruction: &Instruction,
    place: Place,
) -> Result<(), Fault> {
    privileged(vcpu)?;
    let word = match place {
        Place::Gpr(number) => vcpu.gpr(number),
        Place::Memory(address) => {
            let offset = address.offset(|gpr| vcpu.gpr(gpr), vcpu.behind(instruction));
            let operand = Operand::at(vcpu, address.segment, offset, 2, false)?;
            operand.locate(vcpu, &mut vm.memory)?.read(vm)
        }
    };
    let cr0 = vcpu.save().cr0;
    write_cr0(vcpu, vm, cr0 & !CR0_LMSW | word & CR0_LMSW | cr0 & CR0_PE)
}

/// CR0, with the switch of long mode that PG is under EFER.LME (APM 3.1.1, 14.6.2). Reserved bits
/// of the lower half are ignored. The manual leaves open what comes of clearing PG in 64-bit code
/// (14.7); #GP, as Intel has it, is the end that a guest can survive.
fn write_cr0(vcpu: &mut Vcpu, vm: &Vm, value: u64) -> Result<(), Fault> {
    let save = vcpu.save();
    let long = save.efer & EFER_LME != 0;
    let is_64_bit = is_64_bit(vcpu);
    let turns_on = value & CR0_PG != 0 && save.cr0 & CR0_PG == 0;
    let is_illegal = value >> 32 != 0
        || value & CR0_PG != 0 && value & CR0_PE == 0
        || value & CR0_NW != 0 && value & CR0_CD == 0
        || turns_on && long && (save.cr4 & CR4_PAE == 0 || save.cs.attributes & CS_L != 0)
        || value & CR0_PG == 0 && is_64_bit;
    if is_illegal {
        return Err(Fault::Protection);
    }
    let value = value & CR0_WRITABLE | CR0_ET;
    let efer = if long && value & CR0_PG != 0 {
        save.efer | EFER_LMA
    } else {
        save.efer & !EFER_LMA
    };
    let flush = tlb::for_cr0(save.cr0, value);
    let next = Registers {
        cr0: value,
        efer,
        ..Registers::of(save)
    };
    if flush != Flush::Nothing {
        load_pointers(vm, &next)?;
    }
    next.put(vcpu.save_mut());
    vcpu.flush_tlb(flush);
    Ok(())
}

fn write_cr3(vcpu: &mut Vcpu, vm: &Vm, value: u64) -> Result<(), Fault> {
    if value >= max_physical(vm) {
        return Err(Fault::Protection);
    }
    let save = vcpu.save();
    if save.cr4 & CR4_PAE != 0 {
        let next = Registers {
            cr3: value,
            ..Registers::of(save)
        };
        load_pointers(vm, &next)?;
    }
    vcpu.save_mut().cr3 = value;
    vcpu.flush_tlb(tlb::for_cr3());
    Ok(())
}

/// CR4: what the guest's CPUID offers; PAE stays while long mode is on (APM 3.1.3, 14.6.2).
fn write_cr4(vcpu: &mut Vcpu, vm: &Vm, value: u64) -> Result<(), Fault> {
    let [_, _, _, offered] = vm.cpuid.leaf(1);
    let allowed = CR4_OFFERED
        .into_iter()
        .filter(|(_, bit)| offered >> bit & 1 != 0)
        .fold(CR4_PCE, |allowed, (bits, _)| allowed | bits);
    let save = vcpu.save();
    let ends_pae = value & CR4_PAE == 0 && save.efer & EFER_LMA != 0;
    if value & !allowed != 0 || ends_pae {
        return Err(Fault::Protection);
    }
    let flush = tlb::for_cr4(save.cr4, value);
    let next = Registers {
        cr4: value,
        ..Registers::of(save)
    };
    if flush != Flush::Nothing {
        load_pointers(vm, &next)?;
    }
    vcpu.save_mut().cr4 = value;
    vcpu.flush_tlb(flush);
    Ok(())
}

/// PAE paging begins or goes on with the four pointers at CR3, which have no reserved bits (APM
/// volume 3, MOV CRn). Under nested paging the CPU reads them when it walks, and not before
/// (15.25.10).
fn load_pointers(vm: &Vm, next: &Registers) -> Result<(), Fault> {
    match &vm.shadow {
        Some(shadow) if !shadow.takes_pointers(&vm.memory, next) => Err(Fault::Protection),
        _ => Ok(()),
    }
}

/// CR8 is V_TPR: the guest's priority masks virtual interrupts only (APM 15.21.2).
fn write_cr8(vcpu: &mut Vcpu, value: u64) -> Result<(), Fault> {
    if value & !CR8 != 0 {
        return Err(Fault::Protection);
    }
    vcpu.set_cr8(value as u8);
    Ok(())
}

/// The first physical address that the guest's CPU cannot name.
fn max_physical(vm: &Vm) -> u64 {
    let [sizes, ..] = vm.cpuid.leaf(0x8000_0008);
    1 << (sizes & 0xff).clamp(32, 52)
}
