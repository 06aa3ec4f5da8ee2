//! The virtual machine control block (APM 15.5, appendix B): 4 KiB, control area and save area.
//!
//! [`Vmcb`] is the structure the CPU reads; [`fields`] says of each field where it is and
//! what it means. Both come from the same lists in [`control`] and [`save`], and a
//! compile-time assertion holds each field to the offset that its row names.

pub mod control;
pub mod registers;
pub mod save;
pub mod start;
mod validate;
pub mod words;

use crate::{Bits, EXITS, Feature, Intercept};

pub use control::Control;
pub use save::{Save, Segment};
pub use validate::{DEMANDS, Violation, intercepts, set_intercept, validate};

/// One field of the VMCB, or a reserved range of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name in code and documentation.
    pub name: &'static str,
    /// Offset from the start of the VMCB, in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub bytes: usize,
    /// Who writes it and who reads it.
    pub flow: Flow,
    /// What it holds.
    pub meaning: &'static str,
    /// What the register holds after a reset of the CPU (APM 14.1.3), as a little-endian
    /// number; 0 for the control area, which has no register behind it.
    pub reset: u128,
    /// Its format, but for the intercept words; see [`Field::named_bits`].
    pub bits: &'static [Bits],
    /// The CPU feature without which it is reserved.
    pub feature: Option<Feature>,
    /// Where the APM describes it.
    pub section: &'static str,
}

/// Who writes a field of the VMCB, and who reads it (APM 15.5, 15.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Nobody: zero.
    Reserved,
    /// The VMM writes it and VMRUN reads it.
    Request,
    /// #VMEXIT writes it and the VMM reads it.
    Answer,
    /// VMRUN writes it and the VMM reads it.
    Found,
    /// The VMM and #VMEXIT write it, and VMRUN reads it.
    Exchange,
    /// The VMM and VMSAVE write it, and VMLOAD reads it.
    Carried,
    /// The VMM alone, for what it likes.
    Software,
}

impl Flow {
    /// Who writes the field.
    pub const fn written_by(self) -> &'static str {
        match self {
            Flow::Reserved => "nobody",
            Flow::Request | Flow::Software => "VMM",
            Flow::Answer => "#VMEXIT",
            Flow::Found => "VMRUN",
            Flow::Exchange => "VMM, #VMEXIT",
            Flow::Carried => "VMM, VMSAVE",
        }
    }

    /// Who reads the field.
    pub const fn read_by(self) -> &'static str {
        match self {
            Flow::Reserved => "nobody",
            Flow::Request => "VMRUN",
            Flow::Answer | Flow::Found | Flow::Software => "VMM",
            Flow::Exchange => "VMRUN, VMM",
            Flow::Carried => "VMLOAD",
        }
    }
}

impl Field {
    /// Whether the range is reserved: to be left zero.
    pub fn is_reserved(&self) -> bool {
        self.flow == Flow::Reserved
    }

    /// The named bits, ascending: of the format, or of the exits whose intercepts are in here.
    pub fn named_bits(&self) -> impl Iterator<Item = Bits> {
        let intercepts = EXITS.iter().filter_map(|exit| {
            let Intercept::Bit { offset, bit } = exit.intercept else {
                return None;
            };
            let bit = self.bit_of(offset, bit)?;
            Some(Bits {
                name: exit.name,
                high: bit,
                low: bit,
                meaning: exit.trigger,
                values: &[],
                feature: exit.feature,
            })
        });
        self.bits.iter().copied().chain(intercepts)
    }

    /// The bit of this field that is bit `bit` of the 32-bit intercept word at `offset`; reads
    /// and writes of registers share a word, and are a field each.
    pub fn bit_of(&self, offset: u16, bit: u8) -> Option<u8> {
        let from_start = usize::from(offset) * 8 + usize::from(bit);
        let within = from_start.checked_sub(self.offset * 8)?;
        u8::try_from(within)
            .ok()
            .filter(|within| usize::from(*within) < self.bytes * 8)
    }

    /// What VMRUN demands of it (APM 15.5.1).
    pub fn demands(&self) -> impl Iterator<Item = &'static str> {
        DEMANDS
            .iter()
            .filter(|demand| demand.field == self.name)
            .map(|demand| demand.rule)
    }
}

/// Declares an area of the VMCB: the structure, a table of its fields, and the assertion
/// that each field is where its row says.
macro_rules! area {
    (
        $(#[$doc:meta])*
        $area:ident at $base:literal, $size:literal bytes, fields $section:literal;
        $($offset:literal $name:ident: $type:ty, $flow:ident, $meaning:literal
            $(, reset $reset:expr)? $(, bits $bits:path)? $(, needs $feature:ident)?;)*
    ) => {
        $(#[$doc])*
        #[derive(Clone)]
        #[repr(C)]
        pub struct $area {
            $(#[doc = concat!("`", stringify!($offset), "`: ", $meaning, ".")] pub $name: $type,)*
        }

        $(const _: () = assert!(core::mem::offset_of!($area, $name) == $offset);)*
        const _: () = assert!(core::mem::size_of::<$area>() == $size);

        impl $area {
            /// The fields, reserved ranges included, in the order of their offsets.
            pub const FIELDS: &'static [$crate::vmcb::Field] = &[$(
                $crate::vmcb::Field {
                    name: stringify!($name),
                    offset: $base + $offset,
                    bytes: core::mem::size_of::<$type>(),
                    flow: $crate::vmcb::Flow::$flow,
                    meaning: $meaning,
                    reset: $crate::vmcb::or!(0 $(, $reset)?),
                    bits: $crate::vmcb::or!(&[] $(, $bits)?),
                    feature: $crate::vmcb::or!(None $(, Some(Feature::$feature))?),
                    section: $section,
                },
            )*];

            /// All zero: what a VMCB starts from.
            pub const fn zeroed() -> Self {
                // SAFETY: every field is an integer, an array of integers, or a structure of
                // integers, for which all-zero bytes are a valid value.
                unsafe { core::mem::zeroed() }
            }
        }
    };
}
pub(crate) use area;

/// A value that need not be given, and the one to take then.
macro_rules! or {
    ($default:expr) => {
        $default
    };
    ($default:expr, $given:expr) => {
        $given
    };
}
pub(crate) use or;

/// A virtual machine control block. Its physical address goes into RAX for VMRUN.
#[derive(Clone)]
#[repr(C, align(4096))]
pub struct Vmcb {
    /// 000h-3FFh: what to intercept, and what happened.
    pub control: Control,
    /// 400h-FFFh: the guest's state.
    pub save: Save,
}

const _: () = assert!(core::mem::size_of::<Vmcb>() == 4096);
const _: () = assert!(core::mem::offset_of!(Vmcb, save) == 0x400);

impl Vmcb {
    /// A VMCB of zeroes.
    pub const fn zeroed() -> Self {
        Vmcb {
            control: Control::zeroed(),
            save: Save::zeroed(),
        }
    }

    /// Its words of 64 bits, in the order of their offsets.
    pub const fn words(&self) -> &[u64; 512] {
        // SAFETY: the structure is 512 times 8 bytes of integers without gaps, as aligned as a
        // `u64`, and borrowed for as long.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }

    /// The same, to change.
    pub const fn words_mut(&mut self) -> &mut [u64; 512] {
        // SAFETY: as in `words`; any bytes are a valid value, and nobody else borrows it.
        unsafe { &mut *core::ptr::from_mut(self).cast() }
    }

    /// The VMCB that these bytes are.
    pub const fn from_bytes(bytes: &[u8; 4096]) -> Self {
        // SAFETY: the structure is 4096 bytes of integers, for which any bytes are a valid
        // value; reading makes no demand on their alignment.
        unsafe { core::ptr::from_ref(bytes).cast::<Vmcb>().read_unaligned() }
    }

    /// The bytes as the CPU sees them.
    pub const fn bytes(&self) -> &[u8; 4096] {
        // SAFETY: the structure is 4096 bytes long; its fields, integers all, leave no gap
        // between them (the assertions on the areas' offsets and sizes), so every byte is set.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }
}

/// Every field of the VMCB: control area, then save area.
pub fn fields() -> impl Iterator<Item = &'static Field> {
    Control::FIELDS.iter().chain(Save::FIELDS)
}

/// The field of that name.
pub fn field(name: &str) -> Option<&'static Field> {
    fields().find(|field| field.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_tile_all_4096_bytes() {
        let end = fields().fold(0, |end, field| {
            assert_eq!(field.offset, end, "{} leaves a gap", field.name);
            end + field.bytes
        });
        assert_eq!(end, 4096);
    }

    #[test]
    fn the_bits_of_every_field_are_ascending_and_within_it() {
        for field in fields() {
            let mut free = 0;
            for bits in field.named_bits() {
                assert!(bits.low <= bits.high, "{}.{}", field.name, bits.name);
                assert!(
                    free <= usize::from(bits.low),
                    "{}.{}",
                    field.name,
                    bits.name
                );
                free = usize::from(bits.high) + 1;
            }
            assert!(free <= field.bytes * 8, "{}", field.name);
        }
    }

    #[test]
    fn every_intercept_bit_is_in_exactly_one_field() {
        let in_fields: usize = fields()
            .filter(|field| field.name.starts_with("intercept_"))
            .map(|field| field.named_bits().count())
            .sum();
        let is_bit = |exit: &&crate::Exit| matches!(exit.intercept, Intercept::Bit { .. });
        assert_eq!(in_fields, EXITS.iter().filter(is_bit).count());
    }

    #[test]
    fn every_demand_is_on_a_field() {
        for demand in DEMANDS {
            assert!(field(demand.field).is_some(), "{}", demand.field);
        }
    }

    #[test]
    fn the_values_of_tlb_control_are_those_that_the_format_names() {
        let named: [u64; 4] =
            core::array::from_fn(|index| words::tlb_control::BITS[0].values[index].0);
        let used = [
            control::tlb::NOTHING,
            control::tlb::EVERYTHING,
            control::tlb::THIS_ASID,
            control::tlb::THIS_ASID_NON_GLOBAL,
        ];
        assert_eq!(named, used.map(u64::from));
    }

    #[test]
    fn the_bytes_of_a_vmcb_are_its_fields() {
        let mut vmcb = Vmcb::zeroed();
        vmcb.control.guest_asid = 0x0403_0201;
        vmcb.save.cs.base = 7;
        vmcb.save.spec_ctrl = 9;
        let bytes = vmcb.bytes();
        assert_eq!(bytes[0x58..0x5c], [1, 2, 3, 4]);
        assert_eq!((bytes[0x418], bytes[0x6e0]), (7, 9));
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 6);
        assert_eq!(Vmcb::from_bytes(bytes).bytes(), bytes);
    }

    #[test]
    fn field_names_are_unique() {
        for (index, field) in fields().enumerate() {
            assert!(fields().take(index).all(|other| other.name != field.name));
        }
    }
}
