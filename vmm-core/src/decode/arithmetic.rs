//! What two-operand instructions of arithmetic and logic make of their operands and of RFLAGS (APM
//! volume 3, chapter 3; the flags: APM 3.1.6).

/// A two-operand instruction of arithmetic or logic, by its number in opcodes; and TEST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the manual's mnemonic")]
pub enum Combination {
    Add,
    Or,
    Adc,
    Sbb,
    And,
    Sub,
    Xor,
    Cmp,
    Test,
}

/// RFLAGS of arithmetic (APM 3.1.6).
mod flag {
    pub const CARRY: u64 = 1 << 0;
    pub const PARITY: u64 = 1 << 2;
    pub const AUXILIARY: u64 = 1 << 4;
    pub const ZERO: u64 = 1 << 6;
    pub const SIGN: u64 = 1 << 7;
    pub const OVERFLOW: u64 = 1 << 11;
    pub const ALL: u64 = CARRY | PARITY | AUXILIARY | ZERO | SIGN | OVERFLOW;
}

impl Combination {
    pub(super) const fn by_number(number: u8) -> Combination {
        match number & 7 {
            0 => Combination::Add,
            1 => Combination::Or,
            2 => Combination::Adc,
            3 => Combination::Sbb,
            4 => Combination::And,
            5 => Combination::Sub,
            6 => Combination::Xor,
            _ => Combination::Cmp,
        }
    }

    /// The result of `left` and `right`, of `bytes` bytes, and RFLAGS after it.
    pub fn apply(self, left: u64, right: u64, bytes: u8, rflags: u64) -> (u64, u64) {
        let bits = u32::from(bytes.clamp(1, 8)) * 8;
        let mask = u64::MAX >> (64 - bits);
        let (left, right) = (left & mask, right & mask);
        let carry = rflags & flag::CARRY;
        // The ninth, 17th … bit of the sum or difference is its carry.
        let wide = |value: u64| u128::from(value);
        let (sum, is_arithmetic, subtracts) = match self {
            Combination::Add => (wide(left) + wide(right), true, false),
            Combination::Adc => (wide(left) + wide(right) + wide(carry), true, false),
            Combination::Sub | Combination::Cmp => {
                (wide(left).wrapping_sub(wide(right)), true, true)
            }
            Combination::Sbb => {
                let difference = wide(left).wrapping_sub(wide(right));
                (difference.wrapping_sub(wide(carry)), true, true)
            }
            Combination::Or => (wide(left | right), false, false),
            Combination::And | Combination::Test => (wide(left & right), false, false),
            Combination::Xor => (wide(left ^ right), false, false),
        };
        let result = sum as u64 & mask;
        let when = |holds: bool, flag: u64| if holds { flag } else { 0 };
        let mut flags = when(result == 0, flag::ZERO)
            | when(result >> (bits - 1) & 1 != 0, flag::SIGN)
            | when((result as u8).count_ones().is_multiple_of(2), flag::PARITY);
        if is_arithmetic {
            let same_signs = if subtracts {
                left ^ right
            } else {
                !(left ^ right)
            };
            let overflows = same_signs & (left ^ result) & 1 << (bits - 1) != 0;
            flags |= when(sum >> bits & 1 != 0, flag::CARRY)
                | when(overflows, flag::OVERFLOW)
                | when((left ^ right ^ result) & 0x10 != 0, flag::AUXILIARY);
        }
        (result, rflags & !flag::ALL | flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// APM volume 1, 3.3.
    #[test]
    fn flags_are_those_of_the_result() {
        let flags = |by: Combination, left, right, bytes| by.apply(left, right, bytes, 0);
        let carry_zero = flag::CARRY | flag::ZERO | flag::PARITY | flag::AUXILIARY;
        assert_eq!(flags(Combination::Add, 0xff, 1, 1), (0, carry_zero));
        let overflow = flag::OVERFLOW | flag::SIGN | flag::AUXILIARY;
        assert_eq!(
            flags(Combination::Add, 0x7fff_ffff, 1, 4),
            (0x8000_0000, overflow | flag::PARITY)
        );
        let borrow = flag::CARRY | flag::SIGN | flag::PARITY | flag::AUXILIARY;
        assert_eq!(flags(Combination::Cmp, 0, 1, 8), (u64::MAX, borrow));
        assert_eq!(
            Combination::Adc.apply(1, 1, 4, flag::CARRY),
            (3, flag::PARITY)
        );
        assert_eq!(flags(Combination::Test, 0x10, 0x11, 4), (0x10, 0));
    }

    proptest! {
        /// The flags of 64-bit arithmetic are those that this machine computes.
        #[test]
        fn sums_and_differences_are_this_machines(left: u64, right: u64) {
            let (sum, flags) = Combination::Add.apply(left, right, 8, 0);
            let (expected, carry) = left.overflowing_add(right);
            prop_assert_eq!((sum, flags & flag::CARRY != 0), (expected, carry));
            let overflows = (left as i64).overflowing_add(right as i64).1;
            prop_assert_eq!(flags & flag::OVERFLOW != 0, overflows);
            let (difference, flags) = Combination::Sub.apply(left, right, 8, 0);
            let (expected, borrow) = left.overflowing_sub(right);
            prop_assert_eq!((difference, flags & flag::CARRY != 0), (expected, borrow));
            let overflows = (left as i64).overflowing_sub(right as i64).1;
            prop_assert_eq!(flags & flag::OVERFLOW != 0, overflows);
        }
    }
}
