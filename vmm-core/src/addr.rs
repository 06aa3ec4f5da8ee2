//! Addresses by type: what is physical to the host, physical to a guest, or virtual to a guest.
//!
//! Mixing them up is the classic bug of a hypervisor, so no arithmetic crosses from one
//! type to another; only guest memory (`vm::memory`) and page tables turn a [`Gpa`] into an [`Hpa`].

use core::fmt;

/// Bytes in a page frame.
pub const PAGE: u64 = 4096;
/// Bytes in a large page of a long-mode (or nested) page table.
pub const LARGE_PAGE: u64 = 2 << 20;
/// Bytes in the largest page of a long-mode (or nested) page table, where the CPU has it.
pub const HUGE_PAGE: u64 = 1 << 30;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The address `bytes` further on; `None` past the end of the 64-bit space.
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// The start of the 4 KiB page that holds this address.
            pub const fn page(self) -> Self {
                Self(self.0 & !(PAGE - 1))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address! {
    /// A host-physical address: what the memory bus sees. The VMM maps all of it one to one.
    Hpa
}
address! {
    /// A guest-physical address: what the guest believes to be physical.
    Gpa
}
