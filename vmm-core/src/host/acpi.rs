//! What the firmware tells by ACPI: how to switch off and reset, timers, the serial console, the
//! interrupt controllers.
//!
//! This file finds the tables; what the VMM reads out of each is in a file of its own. Nothing in
//! them is believed: a table that is broken, or lies where it cannot be read, counts as absent.
//! Follows the ACPI Specification 6.5, chapters 5.2 and 16.

pub mod fadt;
mod hpet;
pub mod madt;
mod sleep;
pub mod spcr;

use super::bytes::{Bytes, Unreadable};
use super::span::Span;
use fadt::Fadt;
use madt::Madt;

/// The signature, revision and length with which each table begins, checksum and maker.
const HEADER_BYTES: u64 = 36;
/// No table is longer than this.
const MOST_BYTES: u32 = 4 << 20;
/// No list of tables has more entries.
const MOST_TABLES: u64 = 256;

const EBDA_SEGMENT: u64 = 0x40E;
const EBDA_BYTES: u64 = 1 << 10;
const BIOS_ROM: core::ops::Range<u64> = 0xE_0000..0x10_0000;

/// Everything the VMM wants to know from ACPI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acpi {
    /// Fixed hardware: power, reset, timer.
    pub fadt: Option<Fadt>,
    /// The interrupt controllers.
    pub madt: Option<Madt>,
    /// The physical address of the high precision event timer.
    pub hpet: Option<u64>,
    /// The port of the serial console.
    pub serial: Option<u16>,
    /// The tables are those that QEMU and Bochs make.
    pub by_emulator: bool,
}

impl Acpi {
    /// Reads the tables under the root pointer at `root` or, if the boot loader knows none, where
    /// a BIOS puts it. `byte` gives the byte at a physical address, if one can be read there.
    pub fn read(root: Option<u64>, byte: impl Fn(u64) -> Option<u8>) -> Self {
        let source = Bytes(byte);
        let mut acpi = Self::default();
        let Some(root) = root.or_else(|| find_root(&source)) else {
            return acpi;
        };
        acpi.by_emulator = source.array(root, 9) == Ok(*b"BOCHS ");
        // A list that cannot be read any further ends there.
        let _ = each_table(&source, root, |table| match &table.signature {
            b"FACP" => acpi.fadt = acpi.fadt.or_else(|| Fadt::read(&table).ok()),
            b"APIC" if acpi.madt.is_none() => acpi.madt = Madt::read(&table).ok(),
            b"HPET" => acpi.hpet = hpet::address(&table).ok().flatten(),
            b"SPCR" => acpi.serial = spcr::port(&table).ok().flatten(),
            _ => {}
        });
        acpi
    }

    /// Believes in no device that would lie in `memory`: its registers are other people's bytes.
    pub fn forget_devices_in(&mut self, memory: impl Iterator<Item = Span> + Clone) {
        let is_memory = |at: u64| memory.clone().any(|span| span.contains(Span::sized(at, 1)));
        self.hpet = self.hpet.filter(|at| !is_memory(*at));
        if let Some(madt) = &mut self.madt {
            madt.io_apics.retain(|chip| !is_memory(chip.at.into()));
        }
    }

    /// The machine has no pair of 8259s: it says so, or is none that has one.
    pub fn denies_8259(&self) -> bool {
        self.fadt.is_some_and(|fadt| fadt.is_reduced)
            || self.madt.as_ref().is_some_and(|madt| !madt.has_8259)
    }
}

/// A table whose checksum is right.
pub struct Table<'s, F> {
    source: &'s Bytes<F>,
    at: u64,
    bytes: u64,
    signature: [u8; 4],
}

impl<'s, F: Fn(u64) -> Option<u8>> Table<'s, F> {
    /// The table at `at`; `None` when it is none.
    fn open(source: &'s Bytes<F>, at: u64) -> Result<Option<Self>, Unreadable> {
        let bytes = source.u32(at, 4)?;
        if u64::from(bytes) < HEADER_BYTES || bytes > MOST_BYTES || !sums_to_0(source, at, bytes)? {
            return Ok(None);
        }
        Ok(Some(Self {
            source,
            at,
            bytes: u64::from(bytes),
            signature: source.array(at, 0)?,
        }))
    }

    /// The field of `N` bytes at `offset`; zeroes past the end, where older tables have none.
    fn field<const N: usize>(&self, offset: u64) -> Result<[u8; N], Unreadable> {
        if offset.saturating_add(N as u64) > self.bytes {
            return Ok([0; N]);
        }
        self.source.array(self.at, offset)
    }

    fn u8(&self, offset: u64) -> Result<u8, Unreadable> {
        self.field(offset).map(u8::from_le_bytes)
    }

    fn u32(&self, offset: u64) -> Result<u32, Unreadable> {
        self.field(offset).map(u32::from_le_bytes)
    }

    fn u64(&self, offset: u64) -> Result<u64, Unreadable> {
        self.field(offset).map(u64::from_le_bytes)
    }

    /// The port that the generic address at `offset` names, if it names one.
    fn port(&self, offset: u64) -> Result<Option<u16>, Unreadable> {
        const IO_SPACE: u8 = 1;
        let address = self.u64(offset + 4)?;
        Ok(if self.u8(offset)? == IO_SPACE {
            port(address)
        } else {
            None
        })
    }
}

/// `address` as a port; 0 means that there is none.
fn port(address: u64) -> Option<u16> {
    u16::try_from(address).ok().filter(|port| *port != 0)
}

fn sums_to_0(
    source: &Bytes<impl Fn(u64) -> Option<u8>>,
    at: u64,
    bytes: u32,
) -> Result<bool, Unreadable> {
    let mut sum = 0u8;
    for offset in 0..u64::from(bytes) {
        sum = sum.wrapping_add(source.u8(at, offset)?);
    }
    Ok(sum == 0)
}

/// Where a BIOS puts the root pointer: the first KiB of its data area, or its ROM.
fn find_root(source: &Bytes<impl Fn(u64) -> Option<u8>>) -> Option<u64> {
    let ebda = source.u16(EBDA_SEGMENT, 0).map_or(0, u64::from) << 4;
    let is_root = |at: &u64| {
        source.array(*at, 0) == Ok(*b"RSD PTR ") && sums_to_0(source, *at, 20) == Ok(true)
    };
    (ebda..ebda + EBDA_BYTES)
        .chain(BIOS_ROM)
        .step_by(16)
        .find(is_root)
}

/// Calls `visit` with each table that the list under `root` names.
fn each_table<F: Fn(u64) -> Option<u8>>(
    source: &Bytes<F>,
    root: u64,
    mut visit: impl FnMut(Table<'_, F>),
) -> Result<(), Unreadable> {
    let (short, long) = (source.u32(root, 16)?, source.u8(root, 15)? >= 2);
    let long = if long { source.u64(root, 24)? } else { 0 };
    let list = match long {
        0 => None,
        at => Table::open(source, at)?,
    };
    let (list, width) = match list {
        Some(list) => (list, 8),
        None => match Table::open(source, u64::from(short))? {
            Some(list) => (list, 4),
            None => return Ok(()),
        },
    };
    for index in 0..((list.bytes - HEADER_BYTES) / width).min(MOST_TABLES) {
        let place = HEADER_BYTES + index * width;
        let at = match width {
            8 => list.u64(place)?,
            _ => u64::from(list.u32(place)?),
        };
        if let Ok(Some(table)) = Table::open(source, at) {
            visit(table);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
