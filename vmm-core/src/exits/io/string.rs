//! INS and OUTS, with REP: port accesses whose other end is guest memory (APM volume 3).
//!
//! EXITINFO1 tells the direction and the size; the address size and the segment, which not
//! every CPU tells, come from the instruction's prefixes.

use intercepts::IoioInfo;

use super::{Outcome, PortAccess};
use crate::decode::Segment;
use crate::exits::interrupt;
use crate::vm::operand::Operand;
use crate::vm::vcpu::RFLAGS_DF;
use crate::vm::{Vcpu, Vm};

/// Elements moved in one exit, so that a long REP lets interrupts in.
const ELEMENTS_PER_EXIT: u64 = 1024;

const RSI: u8 = 6;
const RDI: u8 = 7;
const RCX: u8 = 1;

/// Moves as many elements as the instruction asks for, up to [`ELEMENTS_PER_EXIT`]; RIP
/// stays at the instruction until all are moved, as on a CPU that takes an interrupt
/// between two elements.
#[inline(never)]
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm, info: IoioInfo) -> Outcome {
    let next = vcpu.control().exit_info2;
    let prefixes = vcpu.prefixes(&vm.memory);
    let mask = match prefixes.address_bytes(vcpu.code_size()) {
        2 => 0xffff,
        4 => 0xffff_ffff,
        _ => u64::MAX,
    };
    let size = info.bytes();
    let index = if info.is_in() { RDI } else { RSI };
    let wanted = if info.is_rep() {
        vcpu.gpr(RCX) & mask
    } else {
        1
    };
    let step = if vcpu.save().rflags & RFLAGS_DF != 0 {
        u64::from(size).wrapping_neg()
    } else {
        u64::from(size)
    };

    let mut outcome = Outcome::Resume;
    let mut moved = 0;
    while moved < wanted.min(ELEMENTS_PER_EXIT) && outcome == Outcome::Resume {
        let offset = vcpu.gpr(index) & mask;
        let segment = if info.is_in() {
            Segment::Es
        } else {
            prefixes.segment.unwrap_or(Segment::Ds)
        };
        let located = Operand::at(vcpu, segment, offset, size, info.is_in())
            .and_then(|element| Ok(element.locate(vcpu, &mut vm.memory)?));
        let place = match located {
            Ok(place) => place,
            Err(fault) => {
                vcpu.raise(fault);
                return Outcome::Resume;
            }
        };
        let mut port = PortAccess {
            vm,
            rip: vcpu.save().rip,
            outcome,
        };
        if info.is_in() {
            let value = port.read(info.port(), size);
            outcome = port.outcome;
            place.write(vm, value.into());
        } else {
            let value = place.read(port.vm);
            port.write(info.port(), size, value as u32);
            outcome = port.outcome;
        }
        let moved_index = update(vcpu.gpr(index), offset.wrapping_add(step), mask);
        vcpu.set_gpr(index, moved_index);
        if info.is_rep() {
            let left = vcpu.gpr(RCX).wrapping_sub(1);
            let left = update(vcpu.gpr(RCX), left, mask);
            vcpu.set_gpr(RCX, left);
        }
        moved += 1;
    }
    if moved == wanted {
        vcpu.complete_at(next);
    }
    interrupt::offer(vcpu, vm);
    outcome
}

/// `register` with the part under `mask` replaced; a 32-bit part clears the upper half.
fn update(register: u64, value: u64, mask: u64) -> u64 {
    if mask == 0xffff {
        register & !mask | value & mask
    } else {
        value & mask
    }
}
