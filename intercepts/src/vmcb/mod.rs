//! The virtual machine control block (APM 15.5, appendix B): 4 KiB, control area and save area.
//!
//! [`Vmcb`] is the structure the CPU reads; [`fields`] says of each field where it is and
//! what it means. Both come from the same lists in [`control`] and [`save`], and a
//! compile-time assertion holds each field to the offset that its row names.

pub mod control;
pub mod save;
mod validate;

pub use control::Control;
pub use save::{Save, Segment};
pub use validate::{Violation, intercepts, set_intercept, validate};

/// One field of the VMCB, or a reserved range of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name in code and documentation.
    pub name: &'static str,
    /// Offset from the start of the VMCB, in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub bytes: usize,
    /// What it holds.
    pub meaning: &'static str,
}

impl Field {
    /// Whether the range is reserved: to be left zero.
    pub fn is_reserved(&self) -> bool {
        self.name.starts_with("reserved")
    }
}

/// Declares an area of the VMCB: the structure, a table of its fields, and the assertion
/// that each field is where its row says.
macro_rules! area {
    (
        $(#[$doc:meta])*
        $area:ident at $base:literal, $size:literal bytes;
        $($offset:literal $name:ident: $type:ty, $meaning:literal;)*
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
                    meaning: $meaning,
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
    fn field_names_are_unique() {
        for (index, field) in fields().enumerate() {
            assert!(fields().take(index).all(|other| other.name != field.name));
        }
    }
}
