//! ModRM, SIB and displacement: where an operand is (APM volume 3, sections 1.4 to 1.7).

use super::Code;
use crate::vm::vcpu::CodeSize;

/// A segment register, by its number in instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the registers' own names")]
pub enum Segment {
    Es = 0,
    Cs = 1,
    Ss = 2,
    Ds = 3,
    Fs = 4,
    Gs = 5,
}

/// An operand that ModRM names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A GPR.
    Gpr(u8),
    /// Memory.
    Memory(Address),
}

/// An address as an instruction writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The segment, override included.
    pub segment: Segment,
    base: Base,
    /// A GPR, and how far to the left it is shifted.
    index: Option<(u8, u8)>,
    /// Sign-extended.
    displacement: u64,
    /// Bytes of the address: 2, 4 or 8.
    bytes: u8,
}

/// What displacement and index are added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Nothing,
    Gpr(u8),
    NextRip,
}

impl Address {
    /// The offset in the segment. `gpr` tells what a GPR holds, `next_rip` is the RIP behind
    /// the instruction.
    pub fn offset(&self, gpr: impl Fn(u8) -> u64, next_rip: u64) -> u64 {
        let base = match self.base {
            Base::Nothing => 0,
            Base::Gpr(number) => gpr(number),
            Base::NextRip => next_rip,
        };
        let index = self.index.map_or(0, |(number, shift)| gpr(number) << shift);
        let sum = base.wrapping_add(index).wrapping_add(self.displacement);
        match self.bytes {
            2 => sum & 0xffff,
            4 => sum & 0xffff_ffff,
            _ => sum,
        }
    }
}

const BX: u8 = 3;
const SP: u8 = 4;
const BP: u8 = 5;
const SI: u8 = 6;
const DI: u8 = 7;

impl Code<'_> {
    /// ModRM and all that it asks for: the reg field without REX, and the operand.
    pub(super) fn modrm(&mut self) -> Option<(u8, Place)> {
        let modrm = self.byte()?;
        let (mode, reg, rm) = (modrm >> 6, modrm >> 3 & 7, modrm & 7);
        let place = if mode == 3 {
            Place::Gpr(rm | self.prefixes.rex_b())
        } else {
            let bytes = self.prefixes.address_bytes(self.size);
            Place::Memory(if bytes == 2 {
                self.address_16(mode, rm)?
            } else {
                self.address(mode, rm, bytes)?
            })
        };
        Some((reg, place))
    }

    /// An address of 16 bits: pairs of base and index by a fixed table.
    fn address_16(&mut self, mode: u8, rm: u8) -> Option<Address> {
        let (base, index) = match rm {
            0 => (BX, Some(SI)),
            1 => (BX, Some(DI)),
            2 => (BP, Some(SI)),
            3 => (BP, Some(DI)),
            4 => (SI, None),
            5 => (DI, None),
            6 => (BP, None),
            _ => (BX, None),
        };
        let is_direct = mode == 0 && rm == 6;
        let displacement = match mode {
            0 if !is_direct => 0,
            1 => self.signed(1)?,
            _ => self.signed(2)?,
        };
        let base = if is_direct {
            Base::Nothing
        } else {
            Base::Gpr(base)
        };
        Some(Address {
            segment: self.segment_for(base),
            base,
            index: index.map(|number| (number, 0)),
            displacement,
            bytes: 2,
        })
    }

    /// An address of 32 or 64 bits, with SIB if rm is 4.
    fn address(&mut self, mode: u8, rm: u8, bytes: u8) -> Option<Address> {
        let mut index = None;
        let mut low = rm;
        if rm == SP {
            let sib = self.byte()?;
            low = sib & 7;
            let number = sib >> 3 & 7 | self.prefixes.rex_x();
            index = (number != SP).then_some((number, sib >> 6));
        }
        // Without a displacement the place of rBP, and of r13, means a displacement alone.
        let base = if mode != 0 || low != BP {
            Base::Gpr(low | self.prefixes.rex_b())
        } else if rm != SP && self.size == CodeSize::Bits64 {
            Base::NextRip
        } else {
            Base::Nothing
        };
        let displacement = match (mode, base) {
            (0, Base::Gpr(_)) => 0,
            (1, _) => self.signed(1)?,
            _ => self.signed(4)?,
        };
        Some(Address {
            segment: self.segment_for(base),
            base,
            index,
            displacement,
            bytes,
        })
    }

    /// The override, else SS for what is based on a stack register, else DS.
    fn segment_for(&self, base: Base) -> Segment {
        let usual = match base {
            Base::Gpr(SP | BP) => Segment::Ss,
            _ => Segment::Ds,
        };
        self.prefixes.segment.unwrap_or(usual)
    }

    /// The next `bytes` bytes (1, 2 or 4), sign-extended.
    pub(super) fn signed(&mut self, bytes: u32) -> Option<u64> {
        let mut value = 0;
        for shift in 0..bytes {
            value |= u64::from(self.byte()?) << (8 * shift);
        }
        let unused = 64 - 8 * bytes;
        Some(((value << unused) as i64 >> unused) as u64)
    }
}
