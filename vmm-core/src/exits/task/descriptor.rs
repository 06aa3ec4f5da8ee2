//! Descriptors of segments and gates, as they lie in the guest's tables (APM 4.7, 4.8).

use intercepts::vmcb::Segment;

use crate::vm::Vcpu;
use crate::vm::linear;
use crate::vm::memory::GuestMemory;
use crate::vm::walk::PageFault;

/// Attributes as the VMCB packs them: the type's bits, then S, DPL, P.
pub const ACCESSED: u16 = 1 << 0;
/// A writable data segment, or a readable code segment; a TSS that is busy.
pub const WRITABLE: u16 = 1 << 1;
/// A TSS that is busy.
pub const BUSY: u16 = 1 << 1;
/// A conforming code segment.
pub const CONFORMING: u16 = 1 << 2;
/// A code segment; a TSS of 32 bits.
pub const CODE: u16 = 1 << 3;
/// A segment of code or data, not of the system.
pub const USER: u16 = 1 << 4;
/// The segment is in memory.
pub const PRESENT: u16 = 1 << 7;
/// The type of a system segment, S included.
pub const KIND: u16 = 0x1f;
/// The type of a local descriptor table.
pub const LDT: u16 = 2;
/// The type of a task gate.
const TASK_GATE: u16 = 5;

const BYTES: u64 = 8;
/// Where the byte with type, S, DPL and P is in a descriptor.
const ACCESS_BYTE: u64 = 5;

/// The privilege level in attributes.
pub const fn dpl(attributes: u16) -> u8 {
    (attributes >> 5 & 3) as u8
}

/// The privilege level in a selector.
pub const fn rpl(selector: u16) -> u8 {
    (selector & 3) as u8
}

/// A selector without its privilege level, as error codes have it.
pub const fn named(selector: u16) -> u16 {
    selector & !3
}

/// A descriptor that a selector names: what it says, and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The segment register that it makes.
    pub segment: Segment,
    /// Linear address of the byte with type, S, DPL and P.
    access_byte: u64,
}

impl Entry {
    /// The descriptor that `selector` names, in the GDT or, by TI, in the LDT; `None` beyond the
    /// end of the table.
    pub fn read(
        vcpu: &Vcpu,
        memory: &mut GuestMemory,
        selector: u16,
    ) -> Result<Option<Entry>, PageFault> {
        let save = vcpu.save();
        let table = if selector & 4 == 0 {
            save.gdtr
        } else if save.ldtr.attributes & PRESENT != 0 {
            save.ldtr
        } else {
            return Ok(None);
        };
        let offset = u64::from(selector & !7);
        if offset + BYTES - 1 > table.limit.into() {
            return Ok(None);
        }
        let place = table.base.wrapping_add(offset);
        let raw = linear::read_u64(vcpu, memory, place)?;
        Ok(Some(Entry {
            segment: segment(selector, raw),
            access_byte: place.wrapping_add(ACCESS_BYTE),
        }))
    }

    /// Sets bits of the type, in the table as well.
    pub fn set(
        &mut self,
        vcpu: &Vcpu,
        memory: &mut GuestMemory,
        bits: u16,
    ) -> Result<(), PageFault> {
        if self.segment.attributes & bits != bits {
            let attributes = self.segment.attributes | bits;
            linear::write(vcpu, memory, self.access_byte, &[attributes as u8])?;
            self.segment.attributes = attributes;
        }
        Ok(())
    }

    /// Whether [`Entry::set`] would go through.
    pub fn probe(&self, vcpu: &Vcpu, memory: &GuestMemory) -> Result<(), PageFault> {
        linear::probe(vcpu, memory, self.access_byte, 1)
    }
}

/// The segment register that a descriptor makes.
fn segment(selector: u16, raw: u64) -> Segment {
    let attributes = (raw >> 40 & 0xff | raw >> 44 & 0xf00) as u16;
    let limit = (raw & 0xffff | raw >> 32 & 0xf_0000) as u32;
    let in_pages = attributes & 1 << 11 != 0;
    Segment {
        selector,
        attributes,
        limit: if in_pages { limit << 12 | 0xfff } else { limit },
        base: raw >> 16 & 0xff_ffff | raw >> 32 & 0xff00_0000,
    }
}

/// Marks the task of TR as available, in the GDT.
pub fn release_task(vcpu: &Vcpu, memory: &mut GuestMemory) -> Result<(), PageFault> {
    let place = busy_byte(vcpu);
    let mut byte = [0];
    linear::read(vcpu, memory, place, &mut byte)?;
    linear::write(vcpu, memory, place, &[byte[0] & !(BUSY as u8)])
}

/// Whether [`release_task`] would go through.
pub fn probe_task(vcpu: &Vcpu, memory: &GuestMemory) -> Result<(), PageFault> {
    linear::probe(vcpu, memory, busy_byte(vcpu), 1)
}

fn busy_byte(vcpu: &Vcpu) -> u64 {
    let save = vcpu.save();
    let offset = u64::from(save.tr.selector & !7) + ACCESS_BYTE;
    save.gdtr.base.wrapping_add(offset)
}

/// A gate of the IDT.
#[derive(Clone, Copy, Debug)]
pub struct Gate(u64);

impl Gate {
    /// The gate of `vector`; `None` beyond the end of the table.
    pub fn read(
        vcpu: &Vcpu,
        memory: &mut GuestMemory,
        vector: u8,
    ) -> Result<Option<Gate>, PageFault> {
        let table = vcpu.save().idtr;
        let offset = u64::from(vector) * BYTES;
        if offset + BYTES - 1 > table.limit.into() {
            return Ok(None);
        }
        let place = table.base.wrapping_add(offset);
        linear::read_u64(vcpu, memory, place).map(|raw| Some(Gate(raw)))
    }

    /// Whether it is a task gate to the task of `selector`.
    pub fn leads_to(&self, selector: u16) -> bool {
        self.attributes() & KIND == TASK_GATE && (self.0 >> 16) as u16 == selector
    }

    /// The privilege that INTn needs.
    pub fn dpl(&self) -> u8 {
        dpl(self.attributes())
    }

    fn attributes(&self) -> u16 {
        (self.0 >> 40 & 0xff) as u16
    }
}
