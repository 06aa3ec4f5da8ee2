//! The interrupt controllers (ACPI 6.5, 5.2.12).

use heapless::Vec;

use super::Table;
use crate::host::apic::{Signal, Wiring};
use crate::host::bytes::Unreadable;

const FLAGS: u64 = 40;
const FIRST_ENTRY: u64 = 44;
const PC_AT_COMPATIBLE: u32 = 1 << 0;

/// Kinds of entries, and where what they say is in them.
const IO_APIC: u8 = 1;
const IO_APIC_BYTES: u64 = 12;
const IO_APIC_ADDRESS: u64 = 4;
const IO_APIC_FIRST_PIN: u64 = 8;
const OVERRIDE: u8 = 2;
const OVERRIDE_LINE: u64 = 3;
const OVERRIDE_PIN: u64 = 4;
const OVERRIDE_FLAGS: u64 = 8;
const POLARITY: u8 = 0b11;
const ACTIVE_LOW: u8 = 0b11;
const TRIGGER: u8 = 0b11 << 2;
const LEVEL: u8 = 0b11 << 2;

/// What [`Madt`] can hold: what comes beyond stays as the firmware left it.
const MOST_IO_APICS: usize = 16;
const LINES: usize = 16;

/// What the VMM uses of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Madt {
    /// There is a pair of 8259s.
    pub has_8259: bool,
    /// The I/O APICs.
    pub io_apics: Vec<IoApicPlace, MOST_IO_APICS>,
    /// The lines of a PC that are not wired to the pin of their own number.
    pub wirings: Vec<Wiring, LINES>,
}

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApicPlace {
    /// The physical address of its registers.
    pub at: u32,
    /// The number of its first pin, counted over all.
    pub first_pin: u32,
}

impl Madt {
    pub(super) fn read<F: Fn(u64) -> Option<u8>>(table: &Table<'_, F>) -> Result<Self, Unreadable> {
        let mut madt = Self {
            has_8259: table.u32(FLAGS)? & PC_AT_COMPATIBLE != 0,
            ..Self::default()
        };
        let mut at = FIRST_ENTRY;
        while at + 2 <= table.bytes {
            let (kind, bytes) = (table.u8(at)?, u64::from(table.u8(at + 1)?));
            match kind {
                IO_APIC if bytes >= IO_APIC_BYTES => {
                    let place = IoApicPlace {
                        at: table.u32(at + IO_APIC_ADDRESS)?,
                        first_pin: table.u32(at + IO_APIC_FIRST_PIN)?,
                    };
                    // Past the table's end all fields are zeroes.
                    if place.at != 0 {
                        let _ = madt.io_apics.push(place);
                    }
                }
                OVERRIDE => {
                    let flags = table.u8(at + OVERRIDE_FLAGS)?;
                    let _ = madt.wirings.push(Wiring {
                        line: table.u8(at + OVERRIDE_LINE)?,
                        pin: table.u32(at + OVERRIDE_PIN)?,
                        signal: Signal {
                            low: flags & POLARITY == ACTIVE_LOW,
                            level: flags & TRIGGER == LEVEL,
                        },
                    });
                }
                _ => {}
            }
            at += bytes.max(2);
        }
        Ok(madt)
    }
}
