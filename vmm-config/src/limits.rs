//! How much of anything the VMM has room for.

/// VMs.
pub const VMS: usize = 64;

/// Bytes of an image that is linked into the VMM. A larger one travels beside it, as a boot
/// module.
pub const LINKED_BYTES: u64 = 1 << 20;

/// Leaves of CPUID beyond those of the VMM's own model, for each VM.
pub const CPUID_LEAVES: usize = 16;
