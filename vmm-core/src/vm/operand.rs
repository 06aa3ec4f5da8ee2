//! A memory operand of an instruction that the VMM performs: segment and offset to a linear
//! address (APM 4.5, 4.12), and that to the bytes in guest memory.

use intercepts::Msr;
use intercepts::vmcb::Segment as Descriptor;

use crate::addr::{Gpa, PAGE};
use crate::decode::Segment;
use crate::svm::instructions;
use crate::vm::fault::Fault;
use crate::vm::memory::GuestMemory;
use crate::vm::vcpu::CodeSize;
use crate::vm::walk::{self, Access, PageFault};
use crate::vm::{Vcpu, Vm};

const FS_BASE: u32 = Msr::FS_BASE.number;
const GS_BASE: u32 = Msr::GS_BASE.number;

/// Descriptor attributes as the VMCB packs them: a data segment that expands down, a writable
/// data segment, a code segment, and a limit of 32 bits.
const EXPANDS_DOWN: u16 = 1 << 2;
const WRITABLE: u16 = 1 << 1;
const CODE: u16 = 1 << 3;
const BIG: u16 = 1 << 10;

/// Up to eight bytes of the guest's linear memory.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// The linear address.
    pub linear: u64,
    /// How many bytes: at most 8.
    pub size: u8,
    /// Whether they are to be written.
    pub write: bool,
}

impl Operand {
    /// The operand at `offset` in `segment`.
    ///
    /// # Errors
    /// What the CPU raises when the segment does not allow the access. FS and GS are not
    /// checked outside 64-bit code: their limits are in the CPU, out of reach.
    pub fn at(
        vcpu: &Vcpu,
        segment: Segment,
        offset: u64,
        size: u8,
        write: bool,
    ) -> Result<Operand, Fault> {
        let linear = linear(vcpu, segment, offset);
        let allowed = if vcpu.code_size() == CodeSize::Bits64 {
            let last = linear.wrapping_add(u64::from(size) - 1);
            is_canonical(linear) && is_canonical(last)
        } else {
            descriptor(vcpu, segment)
                .is_none_or(|descriptor| allows(vcpu, descriptor, offset, size, write))
        };
        if allowed {
            Ok(Operand {
                linear,
                size,
                write,
            })
        } else if segment == Segment::Ss {
            Err(Fault::Stack)
        } else {
            Err(Fault::Protection)
        }
    }

    /// Where each byte is, for the access that follows: the entries of the guest's tables are
    /// marked for it.
    ///
    /// # Errors
    /// The page fault of the first byte that may not be accessed; nothing is marked then.
    pub fn locate(&self, vcpu: &Vcpu, memory: &mut GuestMemory) -> Result<Located, PageFault> {
        let access = Access {
            write: self.write,
            user: vcpu.save().cpl == 3,
        };
        let size = self.size.clamp(1, 8);
        let last = self.linear.wrapping_add(u64::from(size) - 1);
        let first_page = walk::translate_for(vcpu.save(), memory, self.linear, access)?;
        let second_page = if (self.linear ^ last) & !(PAGE - 1) != 0 {
            let start = last & !(PAGE - 1);
            Some(walk::translate_for(vcpu.save(), memory, start, access)?)
        } else {
            None
        };
        let mut located = Located {
            bytes: [Gpa(0); 8],
            size,
        };
        let on_first = PAGE - self.linear % PAGE;
        for (index, byte) in (0..).zip(&mut located.bytes[..size.into()]) {
            *byte = match &second_page {
                Some(page) if index >= on_first => Gpa(page.gpa.0 + (index - on_first)),
                _ => Gpa(first_page.gpa.0 + index),
            };
        }
        for page in [Some(first_page), second_page].into_iter().flatten() {
            page.mark(memory, self.write);
        }
        Ok(located)
    }
}

/// The guest-physical addresses of an operand's bytes; it may span two pages.
pub struct Located {
    bytes: [Gpa; 8],
    size: u8,
}

impl Located {
    /// The value; a byte outside guest memory reads as FFh, as on a bus without a device.
    pub fn read(&self, vm: &Vm) -> u64 {
        let mut value = [0; 8];
        for (byte, gpa) in value.iter_mut().zip(self.bytes).take(self.size.into()) {
            *byte = vm.memory.read_u8(gpa).unwrap_or(0xff);
        }
        u64::from_le_bytes(value)
    }

    /// Writes the low bytes of `value`; those outside guest memory go nowhere.
    pub fn write(&self, vm: &mut Vm, value: u64) {
        let bytes = value.to_le_bytes();
        for (byte, gpa) in bytes.iter().zip(self.bytes).take(self.size.into()) {
            let _ = vm.memory.write(gpa, &[*byte]);
        }
    }
}

/// The linear address of `offset` in `segment`, without regard to limits.
pub fn linear(vcpu: &Vcpu, segment: Segment, offset: u64) -> u64 {
    let base = match (segment, descriptor(vcpu, segment)) {
        // VMRUN loads neither FS nor GS, and VMSAVE comes only with a change of vCPU: while
        // the vCPU is loaded they are the CPU's.
        (Segment::Fs, _) => instructions::rdmsr(FS_BASE),
        (Segment::Gs, _) => instructions::rdmsr(GS_BASE),
        // In 64-bit code the bases of ES, CS, SS and DS are taken as 0.
        _ if vcpu.code_size() == CodeSize::Bits64 => 0,
        (_, descriptor) => descriptor.map_or(0, |descriptor| descriptor.base),
    };
    let linear = base.wrapping_add(offset);
    if vcpu.code_size() == CodeSize::Bits64 {
        linear
    } else {
        linear & 0xffff_ffff
    }
}

/// The hidden part of a segment register that the VMCB carries.
fn descriptor(vcpu: &Vcpu, segment: Segment) -> Option<&Descriptor> {
    let save = vcpu.save();
    match segment {
        Segment::Es => Some(&save.es),
        Segment::Cs => Some(&save.cs),
        Segment::Ss => Some(&save.ss),
        Segment::Ds => Some(&save.ds),
        Segment::Fs | Segment::Gs => None,
    }
}

/// Whether the segment's type and limit allow the access.
fn allows(vcpu: &Vcpu, descriptor: &Descriptor, offset: u64, size: u8, write: bool) -> bool {
    let attributes = descriptor.attributes;
    let is_code = attributes & CODE != 0;
    if write && vcpu.is_protected() && (is_code || attributes & WRITABLE == 0) {
        return false;
    }
    let limit = u64::from(descriptor.limit);
    let last = offset.saturating_add(u64::from(size) - 1);
    if !is_code && attributes & EXPANDS_DOWN != 0 {
        let top = if attributes & BIG != 0 {
            0xffff_ffff
        } else {
            0xffff
        };
        offset > limit && last <= top
    } else {
        last <= limit
    }
}

/// Whether bits 63:47 are all alike (APM 5.3.1).
fn is_canonical(linear: u64) -> bool {
    ((linear as i64) << 16) >> 16 == linear as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vCPU in 32-bit protected mode with a DS of these attributes and this limit.
    fn vcpu(attributes: u16, limit: u32) -> Vcpu {
        let mut vcpu = Vcpu::new(false);
        let save = vcpu.save_mut();
        save.cr0 = 1;
        save.cs.attributes = 0xc9b;
        save.ds.attributes = attributes;
        save.ds.limit = limit;
        save.ds.base = 0x1000;
        save.ss = save.ds;
        vcpu
    }

    fn linear_of(vcpu: &Vcpu, offset: u64, write: bool) -> Result<u64, Fault> {
        Operand::at(vcpu, Segment::Ds, offset, 2, write).map(|operand| operand.linear)
    }

    #[test]
    fn the_last_byte_within_the_limit_is_the_last() {
        let vcpu = vcpu(0xc93, 0xffff);
        assert_eq!(linear_of(&vcpu, 0xfffe, true), Ok(0x1_0ffe));
        assert_eq!(linear_of(&vcpu, 0xffff, true), Err(Fault::Protection));
        let stack = Operand::at(&vcpu, Segment::Ss, 0xffff, 2, false);
        assert_eq!(stack.map(|operand| operand.linear), Err(Fault::Stack));
    }

    #[test]
    fn a_segment_that_expands_down_begins_above_its_limit() {
        let vcpu = vcpu(0xc97, 0xffff);
        assert_eq!(linear_of(&vcpu, 0xffff, false), Err(Fault::Protection));
        assert_eq!(linear_of(&vcpu, 0x1_0000, false), Ok(0x1_1000));
    }

    #[test]
    fn a_read_only_segment_is_not_written() {
        let vcpu = vcpu(0xc91, 0xffff);
        assert_eq!(linear_of(&vcpu, 0, false), Ok(0x1000));
        assert_eq!(linear_of(&vcpu, 0, true), Err(Fault::Protection));
    }

    #[test]
    fn in_64_bit_code_addresses_are_canonical_and_bases_are_not_added() {
        let mut vcpu = vcpu(0xc93, 0);
        vcpu.save_mut().efer = walk::EFER_LMA;
        vcpu.save_mut().cs.attributes = 0x29b;
        assert_eq!(linear_of(&vcpu, 0x10, true), Ok(0x10));
        let hole = 0x0000_7fff_ffff_ffff;
        assert_eq!(linear_of(&vcpu, hole, true), Err(Fault::Protection));
    }
}
