//! Why a file cannot be a guest, in words for whoever chose the file.

use core::fmt;

/// Why an image cannot be a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// No kind of kernel that the loader knows.
    Unknown,
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
    /// An ELF file that an operating system is to link and start.
    Program,
    /// No Linux kernel.
    NotLinux,
    /// A Linux kernel that cannot be started from protected mode, and why.
    OldLinux(&'static str),
    /// This kind of kernel has no use for this kind of file.
    NoUse {
        /// The kernel.
        kernel: &'static str,
        /// The key of `vm.toml`.
        key: &'static str,
    },
    /// The command line is longer than the kernel takes.
    LongCommandLine {
        /// Its length in bytes.
        has: usize,
        /// What the kernel takes.
        most: usize,
    },
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
    /// There is no room left for the boot information, a module or the initial file system.
    NoRoom,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Unknown => f.write_str(
                "it is no kernel: neither a Linux bzImage (`HdrS` at 0x202), nor a Multiboot 1 kernel \
                 (magic 0x1badb002, 4-byte aligned, in the first 8 KiB), nor an ELF file",
            ),
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
                "it is an ELF file for another machine (e_machine {machine}); a Multiboot kernel or a \
                 coreboot payload is 32-bit x86 (3)"
            ),
            LoadError::Program => f.write_str(
                "it is a program for an operating system: an ELF file that a dynamic linker is to start",
            ),
            LoadError::NotLinux => {
                f.write_str("it is no Linux bzImage: there is no `HdrS` at 0x202")
            }
            LoadError::OldLinux(why) => write!(
                f,
                "it is a Linux kernel that cannot be started from protected mode: {why}"
            ),
            LoadError::NoUse { kernel, key } => write!(
                f,
                "it is {kernel}, which has no use for `{key}`; leave `{key}` out of vm.toml"
            ),
            LoadError::LongCommandLine { has, most } => write!(
                f,
                "its command line has {has} bytes, and it takes at most {most}"
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
            LoadError::NoRoom => f.write_str(
                "the VM's memory has no room for what is loaded beside it; raise `memory` in vm.toml",
            ),
        }
    }
}
