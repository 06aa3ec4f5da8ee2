//! The boot information a Multiboot 1 kernel finds at EBX: section 3.3 of the specification.

use super::super::Loaded;
use super::super::pc::{LOW_END, ONE_MIB, memory_map, write_words};
use super::{LoadError, Module};
use crate::addr::{Gpa, PAGE};
use crate::vm::memory::GuestMemory;

const HAS_MEMORY: u32 = 1 << 0;
const HAS_COMMAND_LINE: u32 = 1 << 2;
const HAS_MODULES: u32 = 1 << 3;
const HAS_MEMORY_MAP: u32 = 1 << 6;
const HAS_LOADER_NAME: u32 = 1 << 9;

const LOADER_NAME: &str = "Tollgate";

/// Bytes of the information structure up to the loader's name.
const STRUCTURE: u64 = 68;
const MAP_ENTRY: u64 = 24;
const MODULE_ENTRY: u64 = 16;
/// Room for the structure, the map, and the strings; longer command lines are refused.
const BLOCK: u64 = 0x4000;

/// Writes the boot information and the modules; where the information is, for EBX.
pub(super) fn write(
    command_line: &str,
    modules: &[Module<'_>],
    kernel: &Loaded,
    memory: &mut GuestMemory,
) -> Result<u32, LoadError> {
    let info = place_for_block(kernel, memory)?;
    let mut block = Block {
        memory,
        next: info + STRUCTURE,
        end: info + BLOCK,
    };

    let map_start = block.next;
    let mut map_bytes = 0;
    for (base, length, kind) in memory_map(block.memory.bytes()) {
        if length != 0 {
            block.map_entry(base, length, kind)?;
            map_bytes += MAP_ENTRY;
        }
    }
    let module_table = block.reserve(MODULE_ENTRY * modules.len() as u64)?;
    let mut next_module =
        kernel
            .end
            .max(ONE_MIB)
            .max(if info >= ONE_MIB { info + BLOCK } else { 0 });
    for (index, module) in modules.iter().enumerate() {
        let start = next_module.next_multiple_of(PAGE);
        let end = start + module.bytes.len() as u64;
        block
            .memory
            .write(Gpa(start), module.bytes)
            .ok_or(LoadError::NoRoom)?;
        let string = block.string(module.string)?;
        let entry = [start as u32, end as u32, string, 0];
        block.words(module_table + MODULE_ENTRY * index as u64, &entry)?;
        next_module = end;
    }
    let command_line = block.string(command_line)?;
    let loader_name = block.string(LOADER_NAME)?;

    let flags = HAS_MEMORY | HAS_COMMAND_LINE | HAS_MODULES | HAS_MEMORY_MAP | HAS_LOADER_NAME;
    let lower_kib = (LOW_END / 1024) as u32;
    let upper_kib = (block.memory.bytes().saturating_sub(ONE_MIB) / 1024) as u32;
    let structure = [
        flags,
        lower_kib,
        upper_kib,
        0, // boot device
        command_line,
        modules.len() as u32,
        module_table as u32,
        0, // section headers, four words
        0,
        0,
        0,
        map_bytes as u32,
        map_start as u32,
        0, // drives
        0,
        0, // configuration table
        loader_name,
    ];
    block.words(info, &structure)?;
    Ok(info as u32)
}

/// A place for the information that the kernel does not occupy: below 640 KiB if it can be.
fn place_for_block(kernel: &Loaded, memory: &GuestMemory) -> Result<u64, LoadError> {
    let after_kernel = kernel.end.next_multiple_of(PAGE);
    [LOW_END - LOW_END % PAGE - BLOCK, 0x1000, after_kernel]
        .into_iter()
        .find(|start| {
            let end = start + BLOCK;
            let is_free = end <= kernel.start || *start >= kernel.end;
            is_free && end <= memory.bytes() && (end <= LOW_END || *start >= ONE_MIB)
        })
        .ok_or(LoadError::NoRoom)
}

/// The block being filled.
struct Block<'a> {
    memory: &'a mut GuestMemory,
    next: u64,
    end: u64,
}

impl Block<'_> {
    /// The next `bytes` bytes of the block.
    fn reserve(&mut self, bytes: u64) -> Result<u64, LoadError> {
        let start = self.next;
        let end = start.checked_add(bytes).filter(|end| *end <= self.end);
        self.next = end.ok_or(LoadError::NoRoom)?;
        Ok(start)
    }

    /// A zero-terminated copy of `text`; its address.
    fn string(&mut self, text: &str) -> Result<u32, LoadError> {
        let start = self.reserve(text.len() as u64 + 1)?;
        self.memory
            .write(Gpa(start), text.as_bytes())
            .and_then(|()| self.memory.write(Gpa(start + text.len() as u64), &[0]))
            .ok_or(LoadError::NoRoom)?;
        Ok(start as u32)
    }

    /// An entry of the memory map: its size without that field, base, length, type.
    fn map_entry(&mut self, base: u64, length: u64, kind: u32) -> Result<(), LoadError> {
        let start = self.reserve(MAP_ENTRY)?;
        let entry = [
            MAP_ENTRY as u32 - 4,
            base as u32,
            (base >> 32) as u32,
            length as u32,
            (length >> 32) as u32,
            kind,
        ];
        self.words(start, &entry)
    }

    fn words(&mut self, start: u64, words: &[u32]) -> Result<(), LoadError> {
        write_words(self.memory, start, words)
    }
}
