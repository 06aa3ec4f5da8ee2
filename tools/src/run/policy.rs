//! What the emulator must know of a policy.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use vmm_config::written::Image;
use vmm_config::{Lowered, Severity};

use crate::failure::{Failure, Result};
use crate::progress::tell;
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
        let handlers = workspace.root().join("boot/src/handlers.rs");
        let colour = std::io::stderr().is_terminal();
        let show = |report: &vmm_config::Report| {
            for picture in report.pictures(colour) {
                tell(&format!("{picture}\n\n"));
            }
        };
        match vmm_config::load(config, Some(&handlers)) {
            Ok(lowered) => {
                show(&lowered.warnings);
                Policy::of(&lowered, config)
            }
            Err(report) => {
                show(&report);
                let is_error = |finding: &&vmm_config::Finding| finding.severity == Severity::Error;
                let message = match report.findings.iter().filter(is_error).count() {
                    1 => format!("{} has an error", config.display()),
                    errors => format!("{} has {errors} errors", config.display()),
                };
                Err(Failure::bad_input(message))
            }
        }
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
