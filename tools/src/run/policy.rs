//! What the emulator must know of a policy.

use std::path::{Path, PathBuf};

use vmm_config::Machine;
use vmm_config::written::Image;

use crate::failure::Result;
use crate::policy;
use crate::workspace::Workspace;

const SPARE_MIB: u64 = 64;
const MIB: u64 = 1 << 20;

/// The part of a policy that an emulator's configuration follows.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `[target] machine`.
    pub machine: &'static Machine,
    /// All VMs' memory.
    pub memory_bytes: u64,
    /// The VMs' names, in the order of the file.
    pub vms: Vec<String>,
    /// Their images; none is the workspace's own kernel.
    pub images: Vec<Option<PathBuf>>,
}

impl Policy {
    /// Reads and checks the policy in this file. Shows everything that is
    /// wrong with it, and what is probably not meant.
    pub fn load(workspace: &Workspace, config: &Path) -> Result<Policy> {
        let lowered = policy::load(workspace, config)?;
        let folder = config.parent().unwrap_or(Path::new(""));
        let images = lowered.vms.iter().map(|vm| match &vm.image {
            Image::Path(path) => Some(folder.join(path)),
            Image::Guest => None,
        });
        Ok(Policy {
            machine: lowered.machine,
            memory_bytes: lowered.memory(),
            vms: lowered.vms.iter().map(|vm| vm.name.clone()).collect(),
            images: images.collect(),
        })
    }

    /// The images that are named by path.
    pub fn image_files(&self) -> Vec<PathBuf> {
        self.images.iter().flatten().cloned().collect()
    }

    /// The memory of a machine that runs it: the VMs', and some for the VMM, the images, the
    /// firmware.
    pub fn machine_mib(&self) -> u64 {
        self.memory_bytes.div_ceil(MIB).saturating_add(SPARE_MIB)
    }
}
