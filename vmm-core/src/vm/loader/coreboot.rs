//! Payloads of coreboot: ELF32 files that find a table at 500h in place of a firmware.
//!
//! Record names and numbers are those of coreboot's `coreboot_tables.h`.

use intercepts::vmcb::start::{self, Selectors};

use super::pc::{FIRST_USABLE, memory_map};
use super::{Files, LoadError, elf};
use crate::addr::Gpa;
use crate::vm::memory::GuestMemory;
use crate::vm::vcpu::Vcpu;

/// Where a payload looks for the table.
const TABLE: u64 = 0x500;
const HEADER_BYTES: usize = 24;

/// Types of memory.
const LB_MEM_RAM: u32 = 1;
/// Where the table itself is.
const LB_MEM_TABLE: u32 = 16;

/// Loads the payload and the table, and puts `vcpu` at its entry.
pub(super) fn load(
    files: &Files<'_>,
    memory: &mut GuestMemory,
    vcpu: &mut Vcpu,
) -> Result<(), LoadError> {
    let no_use = |key| LoadError::NoUse {
        kernel: "a coreboot payload",
        key,
    };
    if files.initrd.is_some() {
        return Err(no_use("initrd"));
    }
    if !files.modules.is_empty() {
        return Err(no_use("modules"));
    }
    if !files.command_line.is_empty() {
        return Err(no_use("cmdline"));
    }
    let loaded = elf::load(files.image, memory)?;
    let table = Table::describing(memory.bytes());
    memory
        .write(Gpa(TABLE), table.bytes())
        .ok_or(LoadError::NoRoom)?;
    start::protected(vcpu.save_mut(), Selectors::MULTIBOOT);
    vcpu.save_mut().rip = loaded.entry.into();
    Ok(())
}

/// The table, as it lies in memory.
struct Table(heapless::Vec<u8, 256>);

impl Table {
    /// The table of a machine with so many bytes of memory and a serial port at 3F8h.
    fn describing(memory: u64) -> Table {
        const RECORDS: u32 = 2;
        let mut table = Table(heapless::Vec::new());
        let _ = table.0.resize_default(HEADER_BYTES);
        table.memory(memory);
        table.serial();
        table.header(RECORDS);
        table
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// All that is ever written has room.
    fn word(&mut self, word: u32) {
        let _ = self.0.extend_from_slice(&word.to_le_bytes());
    }

    fn memory(&mut self, bytes: u64) {
        const LB_TAG_MEMORY: u32 = 1;
        const RANGE: u32 = 20;
        let [low, high @ ..] = memory_map(bytes);
        let (start, length, _) = low;
        let ranges = [
            (0, FIRST_USABLE, LB_MEM_TABLE),
            (
                FIRST_USABLE,
                (start + length).saturating_sub(FIRST_USABLE),
                LB_MEM_RAM,
            ),
        ];
        let count = ranges.len() + high.len();
        self.word(LB_TAG_MEMORY);
        self.word(8 + RANGE * count as u32);
        // The types of RAM and of reserved memory are those of E820.
        for (start, length, kind) in ranges.into_iter().chain(high) {
            for half in [start, length] {
                self.word(half as u32);
                self.word((half >> 32) as u32);
            }
            self.word(kind);
        }
    }

    fn serial(&mut self) {
        const LB_TAG_SERIAL: u32 = 0x0f;
        const LB_SERIAL_TYPE_IO_MAPPED: u32 = 1;
        const COM1: u32 = 0x3f8;
        const BAUD: u32 = 115_200;
        const REGISTER_BYTES: u32 = 1;
        const INPUT_HERTZ: u32 = 1_843_200;
        const NO_PCI_ADDRESS: u32 = 0;
        let fields = [
            LB_SERIAL_TYPE_IO_MAPPED,
            COM1,
            BAUD,
            REGISTER_BYTES,
            INPUT_HERTZ,
            NO_PCI_ADDRESS,
        ];
        self.word(LB_TAG_SERIAL);
        self.word(8 + 4 * fields.len() as u32);
        for field in fields {
            self.word(field);
        }
    }

    /// Fills in the header, whose own checksum covers the others.
    fn header(&mut self, records: u32) {
        let body = &self.0[HEADER_BYTES..];
        let (bytes, sum) = (body.len() as u32, checksum(body));
        self.0[..4].copy_from_slice(b"LBIO");
        for (index, word) in [HEADER_BYTES as u32, 0, bytes, sum.into(), records]
            .into_iter()
            .enumerate()
        {
            let at = 4 + 4 * index;
            self.0[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let sum = u32::from(checksum(&self.0[..HEADER_BYTES]));
        self.0[8..12].copy_from_slice(&sum.to_le_bytes());
    }
}

/// The checksum of IP: the complement of the sum of the 16-bit words, carries added in.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) | u32::from(*pair.get(1).unwrap_or(&0)) << 8);
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_what_its_header_promises() {
        let table = Table::describing(64 << 20);
        let bytes = table.bytes();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(&bytes[..4], b"LBIO");
        assert_eq!(word(4) as usize, HEADER_BYTES);
        assert_eq!(word(12) as usize, bytes.len() - HEADER_BYTES);
        assert_eq!(checksum(&bytes[..HEADER_BYTES]), 0);
        assert_eq!(word(16), checksum(&bytes[HEADER_BYTES..]).into());
        let mut at = HEADER_BYTES;
        let mut tags = Vec::new();
        while at < bytes.len() {
            tags.push(word(at));
            at += word(at + 4) as usize;
        }
        assert_eq!((tags.len() as u32, at), (word(20), bytes.len()));
        assert_eq!(tags, [0x01, 0x0f]);
    }

    #[test]
    fn the_memory_of_the_table_is_that_of_the_vm_without_holes() {
        const MEMORY: u64 = 64 << 20;
        let table = Table::describing(MEMORY);
        let range = |index: usize| {
            let at = HEADER_BYTES + 8 + 20 * index;
            let long =
                |at: usize| u64::from_le_bytes(table.bytes()[at..at + 8].try_into().unwrap());
            (long(at), long(at + 8))
        };
        let mut next = 0;
        for index in 0..4 {
            let (start, length) = range(index);
            assert_eq!(start, next);
            next = start + length;
        }
        assert_eq!(next, MEMORY);
    }
}
