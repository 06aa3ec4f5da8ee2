//! ELF32 kernels for i386: the PT_LOAD segments go to their physical addresses.

use heapless::Vec;
use xmas_elf::ElfFile;
use xmas_elf::program::{ProgramHeader, Type};

use super::pc::place;
use super::{LoadError, Loaded};
use crate::vm::memory::GuestMemory;

/// Most segments that a kernel may have.
const SEGMENTS: usize = 16;
/// e_machine of 32-bit x86.
const EM_386: u16 = 3;
/// EI_CLASS of a 32-bit file.
const ELFCLASS32: u8 = 1;

/// Sizes of the ELF32 header and of a program header, and how many of those are looked at.
const ELF_HEADER: usize = 52;
const PROGRAM_HEADER: usize = 32;
const HEADERS: usize = 32;

/// Offsets of fields in the ELF32 header.
const EI_CLASS: usize = 4;
const E_MACHINE: usize = 18;
const E_PHOFF: usize = 28;
const E_PHENTSIZE: usize = 42;
const E_PHNUM: usize = 44;

/// What a PT_LOAD segment wants.
struct Load {
    offset: u64,
    file_size: u64,
    start: u64,
    end: u64,
    virtual_start: u64,
    executable: bool,
}

/// Whether the file is an ELF file, for whatever machine.
pub(super) fn is_elf(image: &[u8]) -> bool {
    image.starts_with(b"\x7fELF")
}

/// Loads every PT_LOAD segment of the file.
pub(super) fn load(image: &[u8], memory: &mut GuestMemory) -> Result<Loaded, LoadError> {
    if !is_elf(image) {
        return Err(LoadError::NotElf);
    }
    let headers = Headers::copy(image)?;
    let file = ElfFile::new(headers.bytes()).map_err(LoadError::BadElf)?;

    let loads = loads(&file, image)?;
    for (index, load) in loads.iter().enumerate() {
        if let Some(other) = loads[..index]
            .iter()
            .find(|other| load.start < other.end && other.start < load.end)
        {
            return Err(LoadError::Overlap(load.start.max(other.start)));
        }
        // `loads` checked that the file holds these bytes.
        let bytes = image
            .get(load.offset as usize..(load.offset + load.file_size) as usize)
            .unwrap_or_default();
        place(memory, load.start, bytes, load.end)?;
    }
    let start = loads.iter().map(|load| load.start).min();
    let end = loads.iter().map(|load| load.end).max();
    let (Some(start), Some(end)) = (start, end) else {
        return Err(LoadError::BadElf("no loadable segment"));
    };
    Ok(Loaded {
        entry: entry(&loads, file.header.pt2.entry_point())?,
        start,
        end,
    })
}

/// A copy of a file's ELF header with its program headers right behind it, aligned: the
/// parser takes it for granted that what it reads is aligned and inside the file.
#[repr(align(8))]
struct Headers {
    bytes: [u8; ELF_HEADER + HEADERS * PROGRAM_HEADER],
    count: usize,
}

impl Headers {
    fn copy(image: &[u8]) -> Result<Headers, LoadError> {
        let header = image
            .get(..ELF_HEADER)
            .ok_or(LoadError::BadElf("no header"))?;
        let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        if half(E_MACHINE) != EM_386 {
            return Err(LoadError::WrongMachine(half(E_MACHINE)));
        }
        if header[EI_CLASS] != ELFCLASS32 {
            return Err(LoadError::BadElf("not a 32-bit file"));
        }
        let count = usize::from(half(E_PHNUM));
        if count > HEADERS {
            return Err(LoadError::BadElf("more than 32 program headers"));
        }
        if count != 0 && usize::from(half(E_PHENTSIZE)) != PROGRAM_HEADER {
            return Err(LoadError::BadElf("program headers of a wrong size"));
        }
        let offset = [0, 1, 2, 3].map(|byte| header[E_PHOFF + byte]);
        let start = u32::from_le_bytes(offset) as usize;
        let end = start + count * PROGRAM_HEADER;
        let programs = image.get(start..end).ok_or(LoadError::Truncated {
            needs: end as u64,
            has: image.len() as u64,
        })?;

        let mut bytes = [0; ELF_HEADER + HEADERS * PROGRAM_HEADER];
        bytes[..ELF_HEADER].copy_from_slice(header);
        bytes[ELF_HEADER..ELF_HEADER + programs.len()].copy_from_slice(programs);
        bytes[E_PHOFF..E_PHOFF + 4].copy_from_slice(&(ELF_HEADER as u32).to_le_bytes());
        Ok(Headers { bytes, count })
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..ELF_HEADER + self.count * PROGRAM_HEADER]
    }
}

fn loads(file: &ElfFile<'_>, image: &[u8]) -> Result<Vec<Load, SEGMENTS>, LoadError> {
    let mut loads = Vec::new();
    for index in 0..file.header.pt2.ph_count() {
        let header = file.program_header(index).map_err(LoadError::BadElf)?;
        let ProgramHeader::Ph32(segment) = header else {
            return Err(LoadError::BadElf("a 64-bit program header"));
        };
        if header.get_type() == Ok(Type::Interp) {
            return Err(LoadError::Program);
        }
        if header.get_type() != Ok(Type::Load) || segment.mem_size == 0 {
            continue;
        }
        let needs = u64::from(segment.offset) + u64::from(segment.file_size);
        if needs > image.len() as u64 {
            return Err(LoadError::Truncated {
                needs,
                has: image.len() as u64,
            });
        }
        if segment.file_size > segment.mem_size {
            return Err(LoadError::BadElf(
                "a segment larger in the file than in memory",
            ));
        }
        let load = Load {
            offset: segment.offset.into(),
            file_size: segment.file_size.into(),
            start: segment.physical_addr.into(),
            end: u64::from(segment.physical_addr) + u64::from(segment.mem_size),
            virtual_start: segment.virtual_addr.into(),
            executable: segment.flags.is_execute(),
        };
        loads
            .push(load)
            .map_err(|_| LoadError::BadElf("more than 16 loadable segments"))?;
    }
    Ok(loads)
}

/// The physical entry point. Kernels linked at high virtual addresses name it either way, as
/// boot loaders have long accepted: physical first, else virtual, moved with its segment.
fn entry(loads: &[Load], entry: u64) -> Result<u32, LoadError> {
    let is_physical = loads
        .iter()
        .any(|load| load.executable && (load.start..load.end).contains(&entry));
    let physical = if is_physical {
        Some(entry)
    } else {
        loads
            .iter()
            .filter(|load| load.executable)
            .find_map(|load| {
                let within = entry.checked_sub(load.virtual_start)?;
                (within < load.end - load.start).then_some(load.start + within)
            })
    };
    physical
        .and_then(|entry| u32::try_from(entry).ok())
        .ok_or(LoadError::BadEntry(entry))
}
