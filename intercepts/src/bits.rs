//! The formats of registers and fields: which bits have a name, and what they mean.
//!
//! A format is a module of masks, for code, and of rows, for documentation and decoders; both
//! come from one list.

use crate::Feature;

/// A bit, or a group of neighbouring bits, of a register or field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// The manual's name, as far as an identifier can spell it.
    pub name: &'static str,
    /// Number of the highest bit.
    pub high: u8,
    /// Number of the lowest bit.
    pub low: u8,
    /// What it holds.
    pub meaning: &'static str,
    /// What its values stand for, where each has a meaning of its own.
    pub values: &'static [(u64, &'static str)],
    /// The CPU feature without which it means nothing.
    pub feature: Option<Feature>,
}

impl Bits {
    /// How many bits there are.
    pub const fn width(&self) -> u8 {
        self.high - self.low + 1
    }

    /// The bits, in place.
    pub const fn mask(&self) -> u128 {
        mask(self.high, self.low)
    }

    /// What these bits of a register hold.
    pub const fn of(&self, register: u128) -> u128 {
        (register & self.mask()) >> self.low
    }
}

/// The bits from `low` to `high`, both included.
pub(crate) const fn mask(high: u8, low: u8) -> u128 {
    (u128::MAX >> (127 - high)) & (u128::MAX << low)
}

/// Every bit that a format names.
pub(crate) const fn defined(bits: &[Bits]) -> u128 {
    let mut union = 0;
    let mut index = 0;
    while index < bits.len() {
        union |= bits[index].mask();
        index += 1;
    }
    union
}

/// Declares a format: a module with a mask for each row, and the rows as `BITS`, ascending. What
/// values stand for is said with the row, or by the name of a list.
macro_rules! bits {
    ($(
        $(#[$doc:meta])*
        pub mod $module:ident: $type:ty;
        $($name:ident = $high:literal $(: $low:literal)? $(needs $feature:ident)?, $meaning:literal
            $({ $($value:literal => $stands:literal),+ $(,)? })? $(of $choice:ident)?;)*
    )*) => {$(
        $(#[$doc])*
        pub mod $module {
            $(
                #[doc = concat!($meaning, ".")]
                pub const $name: $type =
                    $crate::bits::mask($high, $crate::bits::low!($high $(, $low)?)) as $type;
            )*

            /// The rows, ascending.
            pub const BITS: &[$crate::Bits] = &[$(
                $crate::Bits {
                    name: stringify!($name),
                    high: $high,
                    low: $crate::bits::low!($high $(, $low)?),
                    meaning: $meaning,
                    values: $crate::bits::choice!($($($value => $stands),+)? $($choice)?),
                    feature: $crate::bits::needed!($($feature)?),
                },
            )*];
        }
    )*};
}
pub(crate) use bits;

/// What the values of a row stand for: said with it, or a list that rows share.
macro_rules! choice {
    ($($value:literal => $stands:literal),*) => {
        &[$(($value, $stands)),*]
    };
    ($shared:ident) => {
        super::$shared
    };
}
pub(crate) use choice;

/// The lowest bit of a row: its only one, if no other is given.
macro_rules! low {
    ($high:literal) => {
        $high
    };
    ($high:literal, $low:literal) => {
        $low
    };
}
pub(crate) use low;

/// The feature of a row, if it needs one.
macro_rules! needed {
    () => {
        None
    };
    ($feature:ident) => {
        Some($crate::Feature::$feature)
    };
}
pub(crate) use needed;

#[cfg(test)]
mod tests {
    use super::*;

    bits! {
        /// A format.
        pub mod example: u64;
        LOW = 0, "Bit 0";
        GROUP = 6:4, "Bits 6:4" { 1 => "one" };
        TOP = 63 needs NPT, "Bit 63";
    }

    #[test]
    fn masks_and_rows_say_the_same() {
        assert_eq!(
            (example::LOW, example::GROUP, example::TOP),
            (1, 0x70, 1 << 63)
        );
        let [low, group, top] = example::BITS else {
            panic!("three rows");
        };
        assert_eq!((low.mask(), low.width()), (1, 1));
        assert_eq!((group.of(0xf5f), group.width()), (5, 3));
        assert_eq!(top.feature, Some(Feature::NPT));
        assert_eq!(defined(example::BITS), 1 << 63 | 0x71);
    }

    #[test]
    fn a_mask_reaches_the_ends_of_a_16_byte_field() {
        assert_eq!(mask(127, 0), u128::MAX);
        assert_eq!(mask(127, 127), 1 << 127);
    }
}
