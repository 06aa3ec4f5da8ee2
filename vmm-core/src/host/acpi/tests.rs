//! Tables as firmware makes them, and as nobody should.

use super::fadt::{PmTimer, SoftOff};
use super::madt::IoApicPlace;
use super::*;
use crate::host::apic::Signal;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec as List;

/// Memory below 1 MiB.
struct Memory(List<u8>);

impl Memory {
    fn new() -> Self {
        Self(vec![0; 1 << 20])
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Makes the `bytes` from `at` on sum to 0 by the one at `place`.
    fn balance(&mut self, at: u64, bytes: usize, place: usize) {
        let area = &mut self.0[at as usize..][..bytes];
        area[place] = 0;
        area[place] = area.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    }

    fn table(&mut self, at: u64, signature: &[u8; 4], body: &[u8]) {
        let bytes = body.len() + 36;
        self.put(at, signature);
        self.put(at + 4, &(bytes as u32).to_le_bytes());
        self.put(at + 36, body);
        self.balance(at, bytes, 9);
    }

    /// The old root pointer, for a list with entries of 32 bits.
    fn root(&mut self, at: u64, tables: &[u32]) {
        let body: List<u8> = tables
            .iter()
            .flat_map(|table| table.to_le_bytes())
            .collect();
        self.table(0x1000, b"RSDT", &body);
        self.put(at, b"RSD PTR \0BOCHS \0");
        self.put(at + 16, &0x1000u32.to_le_bytes());
        self.balance(at, 20, 8);
    }

    fn read(&self, root: Option<u64>) -> Acpi {
        Acpi::read(root, |at| self.0.get(usize::try_from(at).ok()?).copied())
    }
}

/// A fixed-hardware table's body, as QEMU's PC has it.
fn fadt() -> List<u8> {
    let mut body = vec![0; 244 - 36];
    let mut put = |at: usize, bytes: &[u8]| body[at - 36..][..bytes.len()].copy_from_slice(bytes);
    put(40, &0x5000u32.to_le_bytes());
    put(48, &0xB2u32.to_le_bytes());
    put(52, &[0xF1]);
    put(64, &0x604u32.to_le_bytes());
    put(76, &0x608u32.to_le_bytes());
    put(112, &(1u32 << 10).to_le_bytes());
    put(116, &[1, 8, 0, 1, 0xF9, 0x0C]);
    put(128, &[0x0F]);
    body
}

const S5: &[u8] = b"\x10\x05\x08_S5_\x12\x06\x04\x0A\x05\x01\x00\x00";

fn pc() -> Memory {
    let mut memory = Memory::new();
    memory.table(0x2000, b"FACP", &fadt());
    memory.table(0x5000, b"DSDT", S5);
    let mut madt = vec![0, 0, 0xE0, 0xFE, 1, 0, 0, 0];
    madt.extend([0, 8, 0, 0, 1, 0, 0, 0]);
    madt.extend([1, 12, 0, 0, 0, 0, 0xC0, 0xFE, 24, 0, 0, 0]);
    madt.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    madt.extend([2, 10, 0, 9, 9, 0, 0, 0, 0x0F, 0]);
    memory.table(0x3000, b"APIC", &madt);
    let mut hpet = vec![0; 20];
    hpet[10..12].copy_from_slice(&[0xD0, 0xFE]);
    memory.table(0x6000, b"HPET", &hpet);
    let mut spcr = vec![0; 44];
    spcr[4..10].copy_from_slice(&[1, 8, 0, 1, 0xE8, 0x03]);
    memory.table(0x4000, b"SPCR", &spcr);
    memory.root(0xF_0010, &[0x2000, 0x3000, 0x4000, 0x6000]);
    memory
}

#[test]
fn a_pcs_tables_are_found_from_the_rom_and_read() {
    let acpi = pc().read(None);
    let fadt = acpi.fadt.unwrap();
    assert_eq!(
        fadt.soft_off,
        Some(SoftOff {
            registers: [Some((0x604, 5)), None],
            enable: Some((0xB2, 0xF1)),
        })
    );
    assert_eq!(fadt.reset, Some((0xCF9, 0x0F)));
    assert_eq!(
        fadt.timer,
        Some(PmTimer {
            port: 0x608,
            mask: 0xFF_FFFF
        })
    );
    let madt = acpi.madt.unwrap();
    assert!(madt.has_8259);
    assert_eq!(
        madt.io_apics,
        [IoApicPlace {
            at: 0xFEC0_0000,
            first_pin: 24
        }]
    );
    let [zero, nine] = madt.wirings[..] else {
        panic!("{:?}", madt.wirings)
    };
    assert_eq!(
        (zero.line, zero.pin, zero.signal),
        (0, 2, Signal::default())
    );
    let low_level = Signal {
        low: true,
        level: true,
    };
    assert_eq!((nine.line, nine.pin, nine.signal), (9, 9, low_level));
    assert_eq!(acpi.hpet, Some(0xFED0_0000));
    assert_eq!(acpi.serial, Some(0x3E8));
    assert!(acpi.by_emulator);
}

#[test]
fn the_bios_data_area_is_searched_too_and_the_loaders_root_comes_first() {
    let mut memory = pc();
    memory.put(0xF_0010, &[0; 20]);
    assert_eq!(memory.read(None), Acpi::default());
    memory.root(0x9_FC20, &[0x2000]);
    memory.put(0x40E, &0x9FC0u16.to_le_bytes());
    assert!(memory.read(None).fadt.is_some());
    assert_eq!(memory.read(Some(0x8000)), Acpi::default());
}

#[test]
fn a_table_with_a_wrong_sum_is_none() {
    let mut memory = pc();
    memory.put(0x3000 + 40, &[0]);
    let acpi = memory.read(None);
    assert!(acpi.madt.is_none() && acpi.fadt.is_some());
}

#[test]
fn a_machine_without_8259s_says_so_in_either_table() {
    assert!(!pc().read(None).denies_8259());
    assert!(!Memory::new().read(None).denies_8259());
    let mut reduced = pc();
    let mut body = fadt();
    body[112 - 36 + 2] = 1 << 4;
    reduced.table(0x2000, b"FACP", &body);
    assert!(reduced.read(None).denies_8259());
    let mut modern = pc();
    modern.table(0x3000, b"APIC", &[0; 8]);
    assert!(modern.read(None).denies_8259());
}

/// What is there instead would be written to.
#[test]
fn an_io_apic_that_is_cut_off_or_nowhere_is_none() {
    // Its length says 8, its address 0, or the table ends before it.
    for entry in [
        &[1, 8, 0, 0, 0, 0, 0xC0, 0xFE, 0, 0, 0, 0][..],
        &[1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[1, 12, 0, 0, 0, 0],
    ] {
        let mut memory = pc();
        memory.table(0x3000, b"APIC", &[&[0; 8], entry].concat());
        assert_eq!(memory.read(None).madt.unwrap().io_apics, [], "{entry:?}");
    }
}

#[test]
fn a_device_in_the_midst_of_memory_is_none() {
    let (low, high) = (Span::new(0, 0xFEC0_0000), Span::new(0xFEC0_0000, 1 << 32));
    let mut acpi = pc().read(None);
    acpi.forget_devices_in([low].into_iter());
    assert_eq!(acpi, pc().read(None));
    acpi.forget_devices_in([low, high].into_iter());
    assert_eq!(
        (acpi.hpet, &acpi.madt.unwrap().io_apics[..]),
        (None, &[][..])
    );
}

#[test]
fn an_hpet_that_is_not_in_memory_is_none() {
    let mut memory = pc();
    memory.put(0x6000 + 40, &[1]);
    memory.balance(0x6000, 56, 9);
    assert_eq!(memory.read(None).hpet, None);
}

#[test]
fn without_the_sleep_types_there_is_no_switching_off() {
    for code in [
        &b"\x08_S4_\x12\x06\x04\x0A\x05\x01\x00\x00"[..],
        b"\x70_S5_\x12\x06\x04\x0A\x05\x01\x00\x00",
        b"\x08_S5_\x12\x06\x04\x0A\x55\x01\x00\x00",
        b"\x08_S5_\x12\x06\x04\x0A",
        b"_S5_\x12",
    ] {
        let mut memory = pc();
        memory.table(0x5000, b"DSDT", code);
        let fadt = memory.read(None).fadt.unwrap();
        assert_eq!(fadt.soft_off, None, "{code:x?}");
        assert!(fadt.reset.is_some());
    }
    let mut memory = pc();
    memory.table(
        0x5000,
        b"DSDT",
        b"\x08\\_S5_\x12\x46\x00\x02\x01\x0B\x07\x00",
    );
    let off = memory.read(None).fadt.unwrap().soft_off.unwrap();
    assert_eq!(off.registers[0], Some((0x604, 1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_tables_whatever_make_the_reader_panic(
        edits in prop::collection::vec((0usize..6, 0u64..300, prop_oneof![any::<u8>(), Just(0), Just(0xFF)]), 0..12),
        balanced: bool,
    ) {
        let mut memory = pc();
        for (table, offset, value) in edits {
            let at = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000][table];
            memory.put(at + offset, &[value]);
            if balanced {
                let start = at as usize + 4;
                let bytes: [u8; 4] = memory.0[start..start + 4].try_into().unwrap();
                let bytes = u32::from_le_bytes(bytes) as usize;
                if (36..1 << 16).contains(&bytes) {
                    memory.balance(at, bytes, 9);
                }
            }
        }
        let _ = memory.read(None);
    }

    #[test]
    fn no_byte_code_whatever_makes_the_search_panic(code in prop::collection::vec(any::<u8>(), 0..24), name: prop::sample::Index) {
        let mut memory = pc();
        let mut body = code;
        let at = name.index(body.len() + 1);
        body.splice(at..at, *b"\x08_S5_\x12");
        memory.table(0x5000, b"DSDT", &body);
        let _ = memory.read(None);
    }
}
