//! INS and OUTS, with REP: port accesses whose other end is guest memory (APM volume 3).
//!
//! EXITINFO1 tells the direction and the size; the address size and the segment, which not
//! every CPU tells, come from the instruction's prefixes.

use intercepts::{Event, IoioInfo};

use super::{Outcome, PortAccess};
use crate::exits::interrupt;
use crate::vm::vcpu::{CodeSize, RFLAGS_DF};
use crate::vm::walk::{self, Access, PageFault};
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
    let prefixes = Prefixes::of(vcpu, vm);
    let mask = match prefixes.address_bytes {
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
        let element = if info.is_in() {
            Element {
                linear: prefixes.linear(vcpu, vcpu.save().es.base, offset),
                write: true,
                size,
            }
        } else {
            let base = prefixes.source_base(vcpu);
            Element {
                linear: prefixes.linear(vcpu, base, offset),
                write: false,
                size,
            }
        };
        let place = match element.locate(vcpu, vm) {
            Ok(place) => place,
            Err(fault) => {
                vcpu.save_mut().cr2 = fault.linear;
                vcpu.inject(Event::exception_with_error(14, fault.error));
                return Outcome::Resume;
            }
        };
        let mut port = PortAccess {
            vm,
            rip: vcpu.save().rip,
            outcome,
        };
        if info.is_in() {
            let value = port.read(info.port(), size).to_le_bytes();
            outcome = port.outcome;
            place.write(vm, &value);
        } else {
            let value = place.read(port.vm);
            port.write(info.port(), size, value);
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

/// What the instruction's prefixes say.
struct Prefixes {
    address_bytes: u8,
    segment: Option<u8>,
}

impl Prefixes {
    fn of(vcpu: &Vcpu, vm: &Vm) -> Prefixes {
        let mut bytes = [0; 15];
        let fetched = vcpu.fetch(&vm.memory, &mut bytes);
        let mut segment = None;
        let mut resized = false;
        for byte in &bytes[..fetched] {
            match byte {
                0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 => segment = Some(*byte),
                0x67 => resized = true,
                0x66 | 0xf0 | 0xf2 | 0xf3 | 0x40..=0x4f => {}
                _ => break,
            }
        }
        let address_bytes = match (vcpu.code_size(), resized) {
            (CodeSize::Bits16, false) | (CodeSize::Bits32, true) => 2,
            (CodeSize::Bits32, false) | (CodeSize::Bits16, true) | (CodeSize::Bits64, true) => 4,
            (CodeSize::Bits64, false) => 8,
        };
        Prefixes {
            address_bytes,
            segment,
        }
    }

    /// The base of the segment that OUTS reads from: DS unless overridden.
    fn source_base(&self, vcpu: &Vcpu) -> u64 {
        let save = vcpu.save();
        match self.segment {
            Some(0x26) => save.es.base,
            Some(0x2e) => save.cs.base,
            Some(0x36) => save.ss.base,
            // VMRUN loads neither, but VMSAVE and #VMEXIT do not store them either: they are
            // the CPU's while the vCPU is loaded.
            Some(0x64) => crate::svm::instructions::rdmsr(0xc000_0100),
            Some(0x65) => crate::svm::instructions::rdmsr(0xc000_0101),
            _ => save.ds.base,
        }
    }

    fn linear(&self, vcpu: &Vcpu, base: u64, offset: u64) -> u64 {
        match vcpu.code_size() {
            // In 64-bit mode the bases of ES, CS, SS and DS are taken as 0.
            CodeSize::Bits64 if !matches!(self.segment, Some(0x64 | 0x65)) => offset,
            CodeSize::Bits64 => base.wrapping_add(offset),
            _ => base.wrapping_add(offset) & 0xffff_ffff,
        }
    }
}

/// One element in the guest's linear memory.
struct Element {
    linear: u64,
    write: bool,
    size: u8,
}

impl Element {
    /// Where each byte is; a page fault if any of them may not be accessed.
    fn locate(&self, vcpu: &Vcpu, vm: &Vm) -> Result<Place, PageFault> {
        let access = Access {
            write: self.write,
            user: vcpu.save().cpl == 3,
        };
        let mut place = Place {
            bytes: [crate::addr::Gpa(0); 4],
            size: self.size,
        };
        for (index, byte) in place.bytes.iter_mut().take(self.size.into()).enumerate() {
            let linear = self.linear.wrapping_add(index as u64);
            *byte = walk::translate_for(vcpu.save(), &vm.memory, linear, access)?;
        }
        Ok(place)
    }
}

/// The guest-physical addresses of an element's bytes; it may span two pages.
struct Place {
    bytes: [crate::addr::Gpa; 4],
    size: u8,
}

impl Place {
    fn read(&self, vm: &Vm) -> u32 {
        let mut value = [0; 4];
        for (byte, gpa) in value.iter_mut().zip(self.bytes).take(self.size.into()) {
            *byte = vm.memory.read_u8(gpa).unwrap_or(0xff);
        }
        u32::from_le_bytes(value)
    }

    fn write(&self, vm: &mut Vm, value: &[u8; 4]) {
        for (byte, gpa) in value.iter().zip(self.bytes).take(self.size.into()) {
            // A byte outside guest memory goes nowhere, as on a bus without a device.
            let _ = vm.memory.write(gpa, &[*byte]);
        }
    }
}
