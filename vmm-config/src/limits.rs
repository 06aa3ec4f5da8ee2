//! How much of anything the VMM has room for.

use std::ops::RangeInclusive;

/// VMs.
pub const VMS: usize = 64;

/// Bytes of an image that is linked into the VMM. A larger one travels beside it, as a boot
/// module.
pub const LINKED_BYTES: u64 = 1 << 20;

/// Leaves of CPUID beyond those of the VMM's own model, for each VM.
pub const CPUID_LEAVES: usize = 16;

/// Bytes of a VM's shadow page tables: 64 tables are a path of each mode, many times over; a
/// table's number has 16 bits.
pub const SHADOW_TABLES: RangeInclusive<u64> = 64 << 12..=255 << 20;
