//! What the emulator must know of a policy.

use std::path::{Path, PathBuf};

use vmm_config::Lowered;
use vmm_config::written::Image;

use crate::failure::{Failure, Result};
use crate::policy;
use crate::workspace::Workspace;

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
    /// Reads and checks the policy in this file. Shows everything that is
    /// wrong with it, and what is probably not meant.
    pub fn load(workspace: &Workspace, config: &Path) -> Result<Policy> {
        Policy::of(&policy::load(workspace, config)?, config)
    }

    fn of(lowered: &Lowered, config: &Path) -> Result<Policy> {
        let cpu = lowered.machine.qemu_cpu().ok_or_else(|| {
            Failure::bad_input(format!(
                "{} is written for the machine `{}`, which QEMU does not show; to boot it here, write\n  \
                 [target]\n  machine = \"qemu-tcg\"",
                config.display(),
                lowered.machine.name
            ))
        })?;
        let folder = config.parent().unwrap_or(Path::new(""));
        let images = lowered.vms.iter().filter_map(|vm| match &vm.image {
            Image::Path(path) => Some(folder.join(path)),
            Image::Guest => None,
        });
        Ok(Policy {
            cpu,
            memory_bytes: lowered.memory(),
            vms: lowered.vms.iter().map(|vm| vm.name.clone()).collect(),
            images: images.collect(),
        })
    }
}
