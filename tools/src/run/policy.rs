//! What the emulator must know of a policy.

use std::path::{Path, PathBuf};

use vmm_config::Machine;
use vmm_config::written::{self, Image};

use super::qemu::Module;
use crate::build;
use crate::debian;
use crate::failure::{Doing, Result};
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
    /// The VMs, in the order of the file.
    pub vms: Vec<Vm>,
    /// The policy's folder, where paths start.
    folder: PathBuf,
}

/// What a VM boots from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vm {
    /// Its name.
    pub name: String,
    /// Its kernel.
    pub image: Image,
    /// Linux's initial file system.
    pub initrd: Option<written::File>,
    /// Multiboot modules.
    pub modules: Vec<written::File>,
}

/// Files in the place of those that the policy names, by the VM's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Kernels.
    pub images: Vec<(String, PathBuf)>,
    /// Initial file systems.
    pub initrds: Vec<(String, PathBuf)>,
}

/// Which files a boot loader is to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// Those that are not linked into the VMM.
    Unlinked,
    /// All, since several VMMs on a disc share them.
    All,
}

impl Policy {
    /// Reads and checks the policy in this file. Shows everything that is
    /// wrong with it, and what is probably not meant.
    pub fn load(workspace: &Workspace, config: &Path) -> Result<Policy> {
        let lowered = policy::load(workspace, config)?;
        let vms = lowered.vms.iter().map(|vm| Vm {
            name: vm.name.clone(),
            image: vm.image.clone(),
            initrd: vm.initrd.clone(),
            modules: vm
                .modules
                .iter()
                .map(|module| module.file.clone())
                .collect(),
        });
        Ok(Policy {
            machine: lowered.machine,
            memory_bytes: lowered.memory(),
            vms: vms.collect(),
            folder: config.parent().unwrap_or(Path::new("")).to_path_buf(),
        })
    }

    /// The VMs' names.
    pub fn names(&self) -> Vec<&str> {
        self.vms.iter().map(|vm| vm.name.as_str()).collect()
    }

    /// The images that are linked into the VMM beside the workspace's own kernel.
    pub fn linked_images(&self) -> Vec<PathBuf> {
        let linked = self
            .vms
            .iter()
            .filter_map(|vm| vm.image.linked(&self.folder));
        linked.collect()
    }

    /// Whether a VM boots something out of a Debian package.
    pub fn needs_debian(&self) -> bool {
        let is_debian = |file: &written::File| matches!(file, written::File::Debian(_));
        self.vms.iter().any(|vm| {
            let image = match &vm.image {
                Image::Guest => None,
                Image::File(file) => Some(file),
            };
            image
                .into_iter()
                .chain(&vm.initrd)
                .chain(&vm.modules)
                .any(is_debian)
        })
    }

    /// The files that a boot loader brings for the VMs, and the word for each that says whose
    /// it is. What comes out of a Debian package is fetched.
    pub fn modules(
        &self,
        workspace: &Workspace,
        given: &Given,
        brought: Brought,
    ) -> Result<Vec<Module>> {
        let mut modules = Vec::new();
        for vm in &self.vms {
            let mut bring = |word: &str, file: PathBuf| {
                let words = format!("{word}={}", vm.name);
                modules.push(Module { file, words });
            };
            let is_linked = vm.image == Image::Guest || vm.image.linked(&self.folder).is_some();
            if let Some(file) = of(&given.images, vm) {
                bring("image", file.clone());
            } else if brought == Brought::All || !is_linked {
                bring(
                    "image",
                    match &vm.image {
                        Image::Guest => build::guest(workspace)?,
                        Image::File(file) => self.file(workspace, file)?,
                    },
                );
            }
            if let Some(file) = of(&given.initrds, vm) {
                bring("initrd", file.clone());
            } else if let Some(file) = &vm.initrd {
                bring("initrd", self.file(workspace, file)?);
            }
            for file in &vm.modules {
                bring("module", self.file(workspace, file)?);
            }
        }
        Ok(modules)
    }

    fn file(&self, workspace: &Workspace, file: &written::File) -> Result<PathBuf> {
        match file {
            written::File::Path(path) => Ok(self.folder.join(path)),
            written::File::Debian(file) => debian::fetch(workspace, *file),
        }
    }

    /// The memory of a machine that runs it: the VMs', the files', and some for the VMM and the
    /// firmware.
    pub fn machine_mib(&self, modules: &[Module]) -> Result<u64> {
        let bytes = self.memory_bytes.saturating_add(size(modules)?);
        Ok(bytes.div_ceil(MIB).saturating_add(SPARE_MIB))
    }
}

/// Bytes of these files.
pub fn size(modules: &[Module]) -> Result<u64> {
    let mut bytes = 0;
    for Module { file, .. } in modules {
        let data = file
            .metadata()
            .doing(|| format!("look at {}", file.display()))?;
        bytes += data.len();
    }
    Ok(bytes)
}

/// The file that is given to a VM.
fn of<'g>(given: &'g [(String, PathBuf)], vm: &Vm) -> Option<&'g PathBuf> {
    given
        .iter()
        .find(|(name, _)| *name == vm.name)
        .map(|(_, file)| file)
}
