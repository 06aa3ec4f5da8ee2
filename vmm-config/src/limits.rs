//! How much of anything the VMM has room for.

/// VMs.
pub const VMS: usize = 64;

/// Leaves of CPUID beyond those of the VMM's own model, for each VM.
pub const CPUID_LEAVES: usize = 16;
