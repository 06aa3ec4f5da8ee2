//! What the emulator must know of a policy.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// The part of a policy that QEMU's command line follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// QEMU's CPU for `[target] machine`.
    pub cpu: &'static str,
    /// All VMs' memory.
    pub memory_bytes: u64,
    /// The VMs' names, in the order of the file.
    pub vms: Vec<String>,
    /// The guest images that are named by path.
    pub images: Vec<PathBuf>,
}

impl Policy {
    /// Reads and checks a policy; fails with everything that is wrong with it.
    pub fn load(_config: &Path) -> Result<Policy> {
        Err(Failure::bad_input(""))
    }
}
