//! The ACPI tables of a VM with APICs: where they are, how the lines are wired, and how the machine
//! is switched off and reset (ACPI Specification 6.5, chapter 5.2).
//!
//! They lie where a PC has its BIOS, in memory that no kernel takes for its own, and where kernels
//! look for the root pointer.

use heapless::Vec;

use crate::addr::Gpa;
use crate::devices::{DeviceSet, ioapic, lapic, lines, power};
use crate::vm::memory::GuestMemory;

/// Where each of them is.
mod at {
    pub const ROOT: u64 = 0xe_0000;
    pub const LIST: u64 = 0xe_0040;
    pub const INTERRUPTS: u64 = 0xe_0100;
    pub const FIXED: u64 = 0xe_0200;
    pub const CONTROL: u64 = 0xe_0300;
    pub const NAMES: u64 = 0xe_0340;
}

/// The longest of them, in bytes.
const LONGEST: usize = 244;
const MAKER: [u8; 14] = *b"TOLLGTVIRTUALP";

/// A table as it grows.
struct Table(Vec<u8, LONGEST>);

impl Table {
    fn new(signature: [u8; 4], revision: u8) -> Table {
        const OWN_REVISION: u32 = 1;
        let mut table = Table(Vec::new());
        table.put(&signature);
        table.put(&[0; 4]);
        table.put(&[revision, 0]);
        table.put(&MAKER);
        table.put(&OWN_REVISION.to_le_bytes());
        table.put(b"TOLL");
        table.put(&OWN_REVISION.to_le_bytes());
        table
    }

    fn put(&mut self, bytes: &[u8]) {
        // A test holds every table to its length.
        let _ = self.0.extend_from_slice(bytes);
    }

    fn put_u32(&mut self, value: u64) {
        self.put(&(value as u32).to_le_bytes());
    }

    /// An address as ACPI writes it: a port, so many bytes wide.
    fn put_port(&mut self, port: u16, bytes: u8) {
        const IO_SPACE: u8 = 1;
        self.put(&[IO_SPACE, bytes * 8, 0, 0]);
        self.put(&u64::from(port).to_le_bytes());
    }

    /// Fills up with zeroes as far as `end`.
    fn pad(&mut self, end: usize) {
        let _ = self.0.resize(end, 0);
    }

    /// Writes it to `at`, with length and checksum.
    fn write(mut self, memory: &mut GuestMemory, at: u64) -> Option<()> {
        let length = self.0.len() as u32;
        self.0.get_mut(4..8)?.copy_from_slice(&length.to_le_bytes());
        *self.0.get_mut(9)? = checksum(&self.0);
        memory.write(Gpa(at), &self.0)
    }
}

/// What makes the sum of all bytes 0.
fn checksum(bytes: &[u8]) -> u8 {
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    sum.wrapping_neg()
}

/// Writes the tables of a VM with these devices. `None`: its memory does not reach so far.
pub fn write(memory: &mut GuestMemory, devices: DeviceSet) -> Option<()> {
    root(memory)?;
    let mut list = Table::new(*b"XSDT", 1);
    list.put(&at::FIXED.to_le_bytes());
    list.put(&at::INTERRUPTS.to_le_bytes());
    list.write(memory, at::LIST)?;
    interrupts(devices).write(memory, at::INTERRUPTS)?;
    fixed(devices).write(memory, at::FIXED)?;
    control(memory)?;
    let mut names = Table::new(*b"DSDT", 2);
    names.put(&SOFT_OFF);
    names.write(memory, at::NAMES)
}

/// The root pointer (5.2.5.3), with its two sums.
fn root(memory: &mut GuestMemory) -> Option<()> {
    const OLD_BYTES: usize = 20;
    const REVISION: u8 = 2;
    let mut root = [0u8; 36];
    root[..8].copy_from_slice(b"RSD PTR ");
    root[9..15].copy_from_slice(&MAKER[..6]);
    root[15] = REVISION;
    root[20] = root.len() as u8;
    root[24..32].copy_from_slice(&at::LIST.to_le_bytes());
    root[8] = checksum(&root[..OLD_BYTES]);
    root[32] = checksum(&root);
    memory.write(Gpa(at::ROOT), &root)
}

/// The MADT (5.2.12): the CPU, the I/O APIC, and the lines that differ from the ISA's.
fn interrupts(devices: DeviceSet) -> Table {
    const HAS_8259: u32 = 1;
    const ENABLED: u32 = 1;
    const ISA: u8 = 0;
    const AS_BUS: u16 = 0;
    const HIGH_AND_LEVEL: u16 = 0b1101;
    let mut table = Table::new(*b"APIC", 4);
    table.put_u32(lapic::BASE);
    let has_8259 = devices.contains(DeviceSet::PIC);
    table.put_u32(if has_8259 { HAS_8259.into() } else { 0 });
    // Processor local APIC: processor 0 has APIC 0.
    table.put(&[0, 8, 0, 0]);
    table.put_u32(ENABLED.into());
    if devices.contains(DeviceSet::IOAPIC) {
        table.put(&[1, 12, ioapic::FIRST_ID, 0]);
        table.put_u32(ioapic::BASE);
        table.put_u32(0);
        for (line, mode) in [
            (lines::line::PIT, AS_BUS),
            (lines::line::POWER, HIGH_AND_LEVEL),
        ] {
            let pin = lines::pin_of(line).unwrap_or(line);
            table.put(&[2, 10, ISA, line]);
            table.put_u32(pin.into());
            table.put(&mode.to_le_bytes());
        }
    }
    // Local APIC NMI: every processor's LINT1.
    table.put(&[4, 6, 0xff, 0, 0, 1]);
    table
}

/// The FADT (5.2.9), of revision 3: the registers of the power button, power off and reset.
fn fixed(devices: DeviceSet) -> Table {
    /// IA-PC boot architecture flags: there are devices on ISA, with an i8042 among them, VGA does
    /// not answer, nor does the clock.
    const LEGACY: u16 = 1 << 0;
    const I8042: u16 = 1 << 1;
    const NO_VGA: u16 = 1 << 2;
    const NO_CLOCK: u16 = 1 << 5;
    /// Feature flags: WBINVD works, HLT is a C1 state, no sleep button, the clock wakes nobody, and
    /// there is a reset register.
    const FEATURES: u32 = 1 << 0 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 10;

    let mut table = Table::new(*b"FACP", 3);
    table.put_u32(at::CONTROL);
    table.put_u32(at::NAMES);
    table.put(&[0, 0]);
    table.put(&u16::from(lines::line::POWER).to_le_bytes());
    // No SMI command: ACPI is always on. PM1a's registers are the only ones.
    table.pad(56);
    table.put_u32(power::EVENT_PORT.into());
    table.pad(64);
    table.put_u32(power::CONTROL_PORT.into());
    table.pad(88);
    table.put(&[4, 2]);
    table.pad(96);
    // Latencies that say that there is neither C2 nor C3.
    table.put(&101u16.to_le_bytes());
    table.put(&1001u16.to_le_bytes());
    table.pad(109);
    let when = |device: DeviceSet, flag: u16, other: u16| {
        if devices.intersects(device) {
            flag
        } else {
            other
        }
    };
    let architecture = LEGACY
        | when(DeviceSet::ON_I8042, I8042, 0)
        | when(DeviceSet::VGA, 0, NO_VGA)
        | when(DeviceSet::RTC, 0, NO_CLOCK);
    table.put(&architecture.to_le_bytes());
    table.pad(112);
    table.put(&FEATURES.to_le_bytes());
    table.put_port(power::RESET_PORT, 1);
    table.put(&[power::RESET_VALUE]);
    table.pad(148);
    table.put_port(power::EVENT_PORT, 4);
    table.pad(172);
    table.put_port(power::CONTROL_PORT, 2);
    table.pad(LONGEST);
    table
}

/// The FACS (5.2.10), which has no sum.
fn control(memory: &mut GuestMemory) -> Option<()> {
    let mut table = [0u8; 64];
    table[..4].copy_from_slice(b"FACS");
    table[4] = table.len() as u8;
    table[32] = 1;
    memory.write(Gpa(at::CONTROL), &table)
}

/// `Name (_S5_, Package () { 0, 0, 0, 0 })` in AML (20.2): the sleep type that switches off.
const SOFT_OFF: [u8; 12] = [
    0x08, b'_', b'S', b'5', b'_', 0x12, 0x06, 0x04, 0x00, 0x00, 0x00, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::acpi::Acpi;
    use crate::vm::memory::tests::leaked;

    fn read(devices: DeviceSet) -> (Acpi, GuestMemory) {
        let mut memory = leaked(0x10_0000);
        write(&mut memory, devices).unwrap();
        let acpi = Acpi::read(None, |at| memory.read_u8(Gpa(at)));
        (acpi, memory)
    }

    /// By the VMM's own reader of a machine's tables, which looks for them where a BIOS has them.
    #[test]
    fn what_the_tables_say_is_what_the_vm_has() {
        let (acpi, _) = read(DeviceSet::all());
        let madt = acpi.madt.expect("interrupt controllers");
        assert!(madt.has_8259);
        let [place] = madt.io_apics.as_slice() else {
            panic!("{madt:?}")
        };
        assert_eq!((u64::from(place.at), place.first_pin), (ioapic::BASE, 0));
        let fadt = acpi.fadt.expect("fixed hardware");
        assert!(!fadt.is_reduced);
        assert!(fadt.soft_off.is_some() && fadt.reset.is_some());
    }

    #[test]
    fn a_local_apic_alone_is_told_of_alone() {
        let (acpi, _) = read(DeviceSet::LAPIC | DeviceSet::UART);
        let madt = acpi.madt.expect("interrupt controllers");
        assert!(!madt.has_8259 && madt.io_apics.is_empty());
    }

    /// The offsets of 5.2.9.
    #[test]
    fn the_fixed_table_has_its_fields_in_their_places() {
        let (_, memory) = read(DeviceSet::all());
        let word = |offset: u64| memory.read_u32(Gpa(at::FIXED + offset)).unwrap();
        assert_eq!(word(4) as usize, LONGEST);
        assert_eq!((word(36), word(40)), (at::CONTROL as u32, at::NAMES as u32));
        assert_eq!(word(46) & 0xffff, 9, "SCI");
        assert_eq!((word(56), word(64)), (0x600, 0x604));
        assert_eq!(word(88) & 0xffff, 0x0204);
        assert_eq!(word(109) & 0xffff, 0b11);
        assert_eq!(word(116), 0x0000_0801, "the reset register is a port");
        assert_eq!(word(120), 0xcf9);
        assert_eq!((word(148), word(172)), (0x0000_2001, 0x0000_1001));
    }

    #[test]
    fn a_vm_without_that_memory_has_no_tables() {
        assert_eq!(write(&mut leaked(0x1000), DeviceSet::all()), None);
    }
}
