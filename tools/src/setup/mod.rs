//! What the machine lacks, and how it gets there.
//!
//! [`plan`] decides from facts alone; [`machine`] and [`toolchain`] collect
//! the facts by looking at files; [`install`] carries a step out. A machine
//! that has everything costs a few file look-ups and nothing else.

pub mod install;
pub mod machine;
pub mod plan;
pub mod toolchain;

use crate::failure::{Failure, Result};
use crate::workspace::Workspace;
use machine::Machine;
use plan::{Rustup, Step};
use toolchain::Toolchain;

/// Something that a command cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The sources of the Rust library, to build it for the bare-metal targets.
    LibrarySources,
    /// QEMU for the PC.
    Emulator,
    /// This display of QEMU's, which may be a package of its own.
    Display(&'static str),
    /// QEMU's firmware for UEFI.
    Uefi,
    /// What links GRUB.
    GrubTools,
    /// GRUB, and what makes a disc image with it.
    ImageTools,
    /// Bochs and its firmware.
    Bochs,
    /// Node.js with its package manager.
    Node,
    /// Python that can make an environment for packages.
    Python,
    /// gdb.
    Debugger,
    /// A browser that runs without a screen, to test pages with.
    Browser,
}

impl Need {
    /// Whether the machine has it now.
    pub fn is_met(self) -> bool {
        match self {
            Need::LibrarySources => Toolchain::find().is_some(),
            Need::Emulator => machine::program(machine::EMULATOR).is_some(),
            Need::Display(name) => machine::emulator_has_display(name),
            Need::Uefi => machine::are_there(&[machine::UEFI_FIRMWARE]),
            Need::GrubTools => machine::are_programs(&[machine::GRUB_LINKER]),
            Need::ImageTools => {
                machine::are_programs(&machine::IMAGE_TOOLS)
                    && machine::are_there(&machine::GRUB_PARTS)
            }
            Need::Browser => machine::are_programs(&[machine::BROWSER]),
            Need::Bochs => {
                machine::are_programs(&[machine::BOCHS])
                    && machine::are_there(&[machine::BOCHS_BIOS, machine::BOCHS_VGA_BIOS])
            }
            Need::Debugger => machine::are_programs(&[machine::DEBUGGER]),
            Need::Node => machine::are_programs(&["node", "npm"]),
            Need::Python => machine::python_makes_environments(),
        }
    }
}

/// Sees to it that the machine has all of `needs`.
///
/// Fails (exit status 3) where it cannot, with the command to type.
pub fn ensure(workspace: &Workspace, needs: &[Need]) -> Result<()> {
    if missing(needs).is_empty() {
        return Ok(());
    }
    // Another process may be installing the same things right now.
    let _lock = workspace.lock("setup")?;
    let mut machine = Machine::look();
    loop {
        let missing = missing(needs);
        let steps = plan::steps(&machine, &missing);
        let Some(step) = steps.first() else {
            return Ok(());
        };
        match step {
            Step::AddRustSource => {
                machine.rustup = Rustup::Refused;
                install::add_rust_source()?;
            }
            Step::Install {
                packages,
                privilege,
            } => {
                install::packages(packages, *privilege)?;
                let still: Vec<_> = missing.into_iter().filter(|need| !need.is_met()).collect();
                if !still.is_empty() {
                    return Err(Failure::unavailable(plan::still_missing(&still)));
                }
            }
            Step::Tell { text } => return Err(Failure::unavailable(text.as_str())),
        }
    }
}

fn missing(needs: &[Need]) -> Vec<Need> {
    needs
        .iter()
        .copied()
        .filter(|need| !need.is_met())
        .collect()
}
