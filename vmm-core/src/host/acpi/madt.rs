//! The interrupt controllers (ACPI 6.5, 5.2.12).

use heapless::Vec;

use super::Table;
use crate::host::bytes::Unreadable;

const FLAGS: u64 = 40;
const FIRST_ENTRY: u64 = 44;
const PC_AT_COMPATIBLE: u32 = 1 << 0;
const IO_APIC: u8 = 1;
const IO_APIC_ADDRESS: u64 = 4;

/// I/O APICs that [`Madt`] can hold.
const MOST_IO_APICS: usize = 16;

/// What the VMM uses of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Madt {
    /// There is a pair of 8259s.
    pub has_8259: bool,
    /// The physical addresses of the I/O APICs.
    pub io_apics: Vec<u32, MOST_IO_APICS>,
}

impl Madt {
    pub(super) fn read<F: Fn(u64) -> Option<u8>>(table: &Table<'_, F>) -> Result<Self, Unreadable> {
        let mut madt = Self {
            has_8259: table.u32(FLAGS)? & PC_AT_COMPATIBLE != 0,
            io_apics: Vec::new(),
        };
        let mut at = FIRST_ENTRY;
        while at + 2 <= table.bytes {
            let (kind, bytes) = (table.u8(at)?, u64::from(table.u8(at + 1)?));
            if kind == IO_APIC {
                // Those beyond the list stay as the firmware left them.
                let _ = madt.io_apics.push(table.u32(at + IO_APIC_ADDRESS)?);
            }
            at += bytes.max(2);
        }
        Ok(madt)
    }
}
