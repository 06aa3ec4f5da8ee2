//! Putting a kernel into a guest's memory, and the vCPU at its first instruction.
//!
//! [`Protocol::of`] tells by the file alone what kind of kernel it is; a folder or file here
//! knows how each kind is started. Whatever is wrong with a file is said, and nothing is guessed.

pub mod acpi;
mod coreboot;
mod elf;
mod error;
mod linux;
mod multiboot;
mod pc;

pub use error::LoadError;

use crate::policy::Protocol;
use crate::vm::memory::GuestMemory;
use crate::vm::vcpu::Vcpu;

/// All that a guest boots from.
#[derive(Clone, Copy)]
pub struct Files<'a> {
    /// How the kernel wants to be started; none: as the file shows.
    pub protocol: Option<Protocol>,
    /// The kernel.
    pub image: &'a [u8],
    /// The kernel's command line.
    pub command_line: &'a str,
    /// Linux's initial file system.
    pub initrd: Option<&'a [u8]>,
    /// Multiboot modules.
    pub modules: &'a [Module<'a>],
    /// Whether the VM has a text screen that a boot loader would have left on.
    pub text_screen: bool,
}

/// A file that a Multiboot kernel's boot information lists.
#[derive(Clone, Copy)]
pub struct Module<'a> {
    /// Its contents.
    pub bytes: &'a [u8],
    /// Its string.
    pub string: &'a str,
}

/// What a loaded kernel occupies, and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Loaded {
    entry: u32,
    start: u64,
    end: u64,
}

impl Protocol {
    /// How the kernel in this file wants to be started; `None`: it is no kernel that is known.
    ///
    /// The order matters: a Linux kernel may have an ELF file in it, and a Multiboot kernel
    /// mostly is one.
    pub fn of(image: &[u8]) -> Option<Protocol> {
        if linux::is_kernel(image) {
            Some(Protocol::Linux32)
        } else if multiboot::is_kernel(image) {
            Some(Protocol::Multiboot)
        } else if elf::is_elf(image) {
            Some(Protocol::Coreboot)
        } else {
            None
        }
    }
}

/// Loads the files into `memory` with the boot information that the kernel expects, and puts
/// `vcpu` at its entry in the state that its protocol describes.
///
/// # Errors
/// What is wrong with a file, or that it does not fit.
pub fn load(files: &Files<'_>, memory: &mut GuestMemory, vcpu: &mut Vcpu) -> Result<(), LoadError> {
    let found = Protocol::of(files.image);
    match files.protocol.or(found).ok_or(LoadError::Unknown)? {
        Protocol::Multiboot => multiboot::load(files, memory, vcpu),
        Protocol::Linux32 => linux::load(files, memory, vcpu, linux::Entry::Protected),
        Protocol::Linux64 => linux::load(files, memory, vcpu, linux::Entry::Long),
        Protocol::Coreboot => coreboot::load(files, memory, vcpu),
    }
}

#[cfg(test)]
mod tests;
