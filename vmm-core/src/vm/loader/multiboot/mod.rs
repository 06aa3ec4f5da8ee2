//! Multiboot 1 kernels: an ELF32 file, or any file with the header's address fields ("a.out
//! kludge"). Sections are those of the Multiboot specification, version 0.6.96.

mod header;
mod info;

use intercepts::vmcb::start::{self, Selectors};

use super::{Files, LoadError, Module, elf};
use crate::vm::memory::GuestMemory;
use crate::vm::vcpu::Vcpu;
use header::Header;

/// Whether the file has a Multiboot header.
pub(super) fn is_kernel(image: &[u8]) -> bool {
    Header::find(image).is_some()
}

/// Loads the kernel with its modules, and puts `vcpu` at its entry in the state of section 3.2.
pub(super) fn load(
    files: &Files<'_>,
    memory: &mut GuestMemory,
    vcpu: &mut Vcpu,
) -> Result<(), LoadError> {
    const MAGIC: u64 = 0x2bad_b002;
    let image = files.image;
    let header = Header::find(image).ok_or(LoadError::NoHeader)?;
    // Bits 0-15 must be understood: page-aligned modules, memory map, video mode (which the
    // boot information may decline, and does).
    let unknown = header.flags as u16 & !0b111;
    if unknown != 0 {
        return Err(LoadError::Feature(unknown));
    }
    if files.initrd.is_some() {
        return Err(LoadError::NoUse {
            kernel: "a Multiboot kernel",
            key: "initrd",
        });
    }
    let loaded = match header.addresses(image) {
        Some(addresses) => addresses?.load(image, memory)?,
        None => elf::load(image, memory)?,
    };
    let info = info::write(files.command_line, files.modules, &loaded, memory)?;
    let save = vcpu.save_mut();
    start::protected(save, Selectors::MULTIBOOT);
    save.rip = loaded.entry.into();
    save.rax = MAGIC;
    vcpu.gprs.rbx = info.into();
    Ok(())
}
