//! Putting a kernel into a guest's memory, and the vCPU at its first instruction.
//!
//! The image is a Multiboot 1 kernel: an ELF32 file, or any file with the header's address
//! fields ("a.out kludge"). Whatever is wrong with it is said, and nothing is guessed.

mod elf;
mod header;
mod info;

use core::fmt;

use intercepts::vmcb::Segment;

use crate::addr::Gpa;
use crate::vm::memory::GuestMemory;
use crate::vm::vcpu::Vcpu;
use header::Header;

/// Why an image cannot be a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// No Multiboot header in the first 8 KiB.
    NoHeader,
    /// The header asks for something that the loader does not offer.
    Feature(u16),
    /// Neither an ELF file nor a header with address fields.
    NotElf,
    /// An ELF file, but its headers make no sense.
    BadElf(&'static str),
    /// An ELF file for another machine; the ELF number of that machine.
    WrongMachine(u16),
    /// The file ends before what its headers promise.
    Truncated {
        /// First byte beyond what the headers promise.
        needs: u64,
        /// Size of the file.
        has: u64,
    },
    /// The header's address fields contradict each other.
    BadAddresses,
    /// A part of the kernel lies outside guest memory, or over the first page.
    DoesNotFit {
        /// Where the part is to go.
        start: u64,
        /// First byte behind it.
        end: u64,
        /// Size of guest memory.
        memory: u64,
    },
    /// Two parts of the kernel claim the same memory.
    Overlap(u64),
    /// The entry point is in no part of the kernel.
    BadEntry(u64),
    /// There is no room left for the boot information or a module.
    NoRoom,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::NoHeader => f.write_str(
                "it has no Multiboot 1 header (magic 0x1badb002, 4-byte aligned, in the first 8 KiB)",
            ),
            LoadError::Feature(bits) => write!(
                f,
                "its Multiboot header demands features {bits:#06x}, which are not offered"
            ),
            LoadError::NotElf => f.write_str(
                "it is not an ELF file, and its Multiboot header has no address fields",
            ),
            LoadError::BadElf(why) => write!(f, "its ELF headers are broken: {why}"),
            LoadError::WrongMachine(machine) => write!(
                f,
                "it is an ELF file for another machine (e_machine {machine}); a Multiboot kernel is 32-bit x86 (3)"
            ),
            LoadError::Truncated { needs, has } => write!(
                f,
                "it is truncated: its headers promise {needs} bytes, the file has {has}"
            ),
            LoadError::BadAddresses => {
                f.write_str("the address fields of its Multiboot header contradict each other")
            }
            LoadError::DoesNotFit { start, end, memory } => write!(
                f,
                "it wants guest-physical {start:#x}-{end:#x}, but the VM has memory from 0x1000 to {memory:#x}; \
                 raise `memory` in vm.toml if that is too little"
            ),
            LoadError::Overlap(at) => write!(f, "two of its segments claim guest-physical {at:#x}"),
            LoadError::BadEntry(entry) => {
                write!(f, "its entry point {entry:#x} is in none of its segments")
            }
            LoadError::NoRoom => f.write_str("the VM's memory has no room for the boot information"),
        }
    }
}

/// A module that the guest's boot information lists.
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

/// Loads `image` into `memory` with its boot information, and puts `vcpu` at its entry, in
/// the state that Multiboot 1 section 3.2 describes.
///
/// # Errors
/// What is wrong with the image, or that it does not fit.
pub fn load(
    image: &[u8],
    command_line: &str,
    modules: &[Module<'_>],
    memory: &mut GuestMemory,
    vcpu: &mut Vcpu,
) -> Result<(), LoadError> {
    let header = Header::find(image).ok_or(LoadError::NoHeader)?;
    // Bits 0-15 must be understood: page-aligned modules, memory map, video mode (which the
    // boot information may decline, and does).
    let unknown = header.flags as u16 & !0b111;
    if unknown != 0 {
        return Err(LoadError::Feature(unknown));
    }
    let loaded = match header.addresses(image) {
        Some(addresses) => addresses?.load(image, memory)?,
        None => elf::load(image, memory)?,
    };
    let info = info::write(command_line, modules, &loaded, memory)?;
    enter(vcpu, loaded.entry, info);
    Ok(())
}

/// The first guest-physical address that a kernel may use: page 0 stays free, so that a
/// null pointer in the boot information is never a valid one.
const FIRST_USABLE: u64 = 0x1000;

/// Copies `bytes` to `start` and zeroes up to `end`, if all of it is usable memory.
fn place(memory: &mut GuestMemory, start: u64, bytes: &[u8], end: u64) -> Result<(), LoadError> {
    let misfit = LoadError::DoesNotFit {
        start,
        end,
        memory: memory.bytes(),
    };
    let filled = start.checked_add(bytes.len() as u64).ok_or(misfit)?;
    if start < FIRST_USABLE || end > memory.bytes() || filled > end {
        return Err(misfit);
    }
    memory.write(Gpa(start), bytes).ok_or(misfit)?;
    memory.zero(Gpa(filled), end - filled).ok_or(misfit)
}

/// The machine state at entry: flat 32-bit segments, protected mode without paging,
/// interrupts off, EAX the boot loader's magic, EBX the boot information.
fn enter(vcpu: &mut Vcpu, entry: u32, info: u32) {
    const MAGIC: u64 = 0x2bad_b002;
    const CR0_PE: u64 = 1 << 0;
    const CR0_ET: u64 = 1 << 4;
    const EFER_SVME: u64 = 1 << 12;
    const RFLAGS_RESERVED: u64 = 1 << 1;
    /// DR6 and DR7 with nothing armed.
    const DR6_RESET: u64 = 0xffff_0ff0;
    const DR7_RESET: u64 = 0x400;
    /// WB, WT, UC-, UC, twice: the PAT after reset (APM 7.8.1).
    const PAT_RESET: u64 = 0x0007_0406_0007_0406;

    let flat = |selector, attributes| Segment {
        selector,
        attributes,
        limit: u32::MAX,
        base: 0,
    };
    let data = flat(0x10, 0xc93);
    let save = vcpu.save_mut();
    save.cs = flat(0x08, 0xc9b);
    (save.ds, save.es, save.ss, save.fs, save.gs) = (data, data, data, data, data);
    save.ldtr = Segment {
        attributes: 0x82,
        limit: 0xffff,
        ..Segment::default()
    };
    save.tr = Segment {
        attributes: 0x8b,
        limit: 0xffff,
        ..Segment::default()
    };
    save.gdtr.limit = 0xffff;
    save.idtr.limit = 0xffff;
    save.cr0 = CR0_PE | CR0_ET;
    save.efer = EFER_SVME;
    save.dr6 = DR6_RESET;
    save.dr7 = DR7_RESET;
    save.g_pat = PAT_RESET;
    save.rflags = RFLAGS_RESERVED;
    save.rip = entry.into();
    save.rax = MAGIC;
    vcpu.gprs.rbx = info.into();
}

#[cfg(test)]
mod tests;
