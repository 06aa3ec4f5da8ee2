//! The instructions that stop a guest under shadow paging most, known by their three bytes: MOV to
//! and from a control register, and INVLPG of the page that a GPR names.

use crate::vm::vcpu::CodeSize;

/// How long each of them is.
pub const LENGTH: u64 = 3;

/// One of them. GPRs are numbered as in [`Vcpu::gpr`](crate::vm::Vcpu::gpr).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// MOV from a control register, by its number, to a GPR.
    FromCr(u8, u8),
    /// MOV to a control register from a GPR.
    ToCr(u8, u8),
    /// INVLPG of what a GPR holds, in DS.
    Invlpg(u8),
}

/// What the bytes are, if they are one of these without a prefix.
#[inline]
pub fn glance(bytes: [u8; LENGTH as usize], size: CodeSize) -> Option<Glance> {
    let [0x0f, opcode, modrm] = bytes else {
        return None;
    };
    let (reg, rm) = (modrm >> 3 & 7, modrm & 7);
    match (opcode, reg) {
        (0x20, 0 | 2..=4) => Some(Glance::FromCr(reg, rm)),
        (0x22, 0 | 2..=4) => Some(Glance::ToCr(reg, rm)),
        // Behind 4 and 5 comes more, or another segment is meant.
        (0x01, 7) if modrm < 0x40 && !matches!(rm, 4 | 5) && size != CodeSize::Bits16 => {
            Some(Glance::Invlpg(rm))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Operation, Segment, decode};

    /// The decoder, which iced checks, is of the same opinion.
    #[test]
    fn what_is_known_at_a_glance_is_what_the_decoder_reads() {
        let gpr = |number: u8| 0x1000 + u64::from(number);
        let mut known = 0;
        for size in [CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64] {
            for bytes in (0..=u16::MAX).map(|low| [0x0f, low as u8, (low >> 8) as u8]) {
                let Some(found) = glance(bytes, size) else {
                    continue;
                };
                known += 1;
                let instruction = decode(&bytes, size).expect("an instruction");
                assert_eq!(u64::from(instruction.length), LENGTH);
                match (found, instruction.operation) {
                    (Glance::FromCr(number, to), Operation::MovFromCr { cr, gpr }) => {
                        assert_eq!((number, to), (cr, gpr));
                    }
                    (Glance::ToCr(number, from), Operation::MovToCr { cr, gpr }) => {
                        assert_eq!((number, from), (cr, gpr));
                    }
                    (Glance::Invlpg(number), Operation::Invlpg(address)) => {
                        assert_eq!(address.segment, Segment::Ds);
                        assert_eq!(address.offset(gpr, 0), gpr(number));
                    }
                    (_, other) => panic!("{found:?} is {other:?}"),
                }
            }
        }
        assert_eq!(known, 3 * 2 * 4 * 8 * 4 + 2 * 6);
    }
}
