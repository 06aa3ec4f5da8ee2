//! How the machine is left: a status for whoever started it, power off, or a reset.
//!
//! The ways are tried from the one that is meant for it to the one that always was there: ACPI
//! (6.5, 4.8.3 and 16.1), the keyboard controller, the chipset's reset register. The ports that
//! only an emulator knows are written on an emulator alone: elsewhere they may be anything.

use core::arch::asm;
use core::arch::x86_64::__cpuid;

use spin::Mutex;

use super::acpi::Acpi;
use super::acpi::fadt::{Fadt, SoftOff};
use super::ports::{Hardware, Ports};

/// QEMU's `isa-debug-exit`, where a run puts it. Ends QEMU with `status * 2 + 1`.
const DEBUG_EXIT: u16 = 0x501;
/// PM1a control of the PIIX4 in QEMU, and where older QEMUs and Bochs have it.
const PM1A_CONTROL: [u16; 2] = [0x604, 0xB004];
/// Bochs powers off when it reads this word here.
const SHUTDOWN: (u16, &[u8]) = (0x8900, b"Shutdown");

/// Bits of a PM1 control register.
const SCI_ENABLED: u16 = 1 << 0;
const SLEEP_TYPE: u16 = 7 << 10;
const SLEEP_ENABLE: u16 = 1 << 13;
/// Looks at a register before the firmware counts as deaf; a look takes about a microsecond.
const PATIENCE: u32 = 1_000_000;
/// Looks at a register that give a reset the time to happen.
const WHILE: u32 = 50_000;

const KEYBOARD_CONTROLLER: u16 = 0x64;
const PULSE_RESET: u8 = 0xFE;
const RESET_CONTROL: u16 = 0xCF9;
const HARD_RESET: u8 = 0x06;
/// Of [`HARD_RESET`], the bit whose rise resets.
const RESET_CPU: u8 = 0x04;

/// The ways out that this machine has.
static WAYS: Mutex<Ways> = Mutex::new(Ways {
    fadt: None,
    by_emulator: false,
});

#[derive(Debug)]
struct Ways {
    fadt: Option<Fadt>,
    by_emulator: bool,
}

/// Learns the ways out that ACPI tells.
pub fn learn(acpi: &Acpi) {
    *WAYS.lock() = Ways {
        fadt: acpi.fadt,
        by_emulator: acpi.by_emulator,
    };
}

/// The ways out, and whether the machine is an emulator: its CPU says so, or its ACPI tables are
/// of QEMU's or Bochs's making (Bochs's CPUs do not say so).
fn ways() -> (Fadt, bool) {
    const HYPERVISOR: u32 = 1 << 31;
    let known = WAYS.try_lock().map(|ways| (ways.fadt, ways.by_emulator));
    let (fadt, by_emulator) = known.unwrap_or_default();
    let emulated = by_emulator || __cpuid(1).ecx & HYPERVISOR != 0;
    (fadt.unwrap_or_default(), emulated)
}

/// Tells `status` to the emulator that waits for it, if there is one, and else switches off.
///
/// # Safety
/// Nothing that the machine does is needed any more.
pub unsafe fn off(status: u8) -> ! {
    // SAFETY: the caller gives up the machine.
    let mut ports = unsafe { Hardware::new() };
    let (fadt, emulated) = ways();
    switch_off(&mut ports, &fadt, emulated, status);
    crate::info!("It is now safe to switch off.");
    stop()
}

fn switch_off(ports: &mut impl Ports, fadt: &Fadt, emulated: bool, status: u8) {
    if emulated {
        ports.write_u32(DEBUG_EXIT, u32::from(status));
    }
    if let Some(off) = &fadt.soft_off {
        enter_s5(ports, off);
    }
    if emulated {
        for port in PM1A_CONTROL {
            // The sleep type there is 0.
            ports.write_u16(port, SLEEP_ENABLE);
        }
        let (port, word) = SHUTDOWN;
        for &byte in word {
            ports.write_u8(port, byte);
        }
    }
}

/// Enters the sleep state that is no sleep.
fn enter_s5(ports: &mut impl Ports, off: &SoftOff) {
    let [Some((control, _)), _] = off.registers else {
        return;
    };
    if let Some((port, value)) = off
        .enable
        .filter(|_| ports.read_u16(control) & SCI_ENABLED == 0)
    {
        ports.write_u8(port, value);
        // A firmware that does not answer may switch off all the same.
        let _ = (0..PATIENCE).any(|_| ports.read_u16(control) & SCI_ENABLED != 0);
    }
    for (port, kind) in off.registers.into_iter().flatten() {
        let value = ports.read_u16(port) & !(SLEEP_TYPE | SLEEP_ENABLE) | u16::from(kind) << 10;
        ports.write_u16(port, value);
        ports.write_u16(port, value | SLEEP_ENABLE);
    }
}

/// Tells `status` to the emulator that waits for it, which ends there. Returns where there is
/// none.
///
/// # Safety
/// As for [`off`].
pub unsafe fn tell_emulator(status: u8) {
    // SAFETY: the caller gives up the machine.
    let mut ports = unsafe { Hardware::new() };
    if ways().1 {
        ports.write_u32(DEBUG_EXIT, u32::from(status));
    }
}

/// Starts the machine again.
///
/// # Safety
/// As for [`off`].
pub unsafe fn reset() -> ! {
    // SAFETY: the caller gives up the machine.
    let mut ports = unsafe { Hardware::new() };
    restart(&mut ports, &ways().0);
    stop()
}

fn restart(ports: &mut impl Ports, fadt: &Fadt) {
    let named = fadt.reset.into_iter();
    let usual = [
        (KEYBOARD_CONTROLLER, PULSE_RESET),
        (RESET_CONTROL, HARD_RESET & !RESET_CPU),
        (RESET_CONTROL, HARD_RESET),
    ];
    for (port, value) in named.chain(usual) {
        ports.write_u8(port, value);
        for _ in 0..WHILE {
            ports.read_u8(KEYBOARD_CONTROLLER);
        }
    }
}

fn stop() -> ! {
    loop {
        // SAFETY: with interrupts off, HLT stops the CPU; neither touches memory.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A chipset whose firmware hands over ACPI when told to, and a note of each write.
    #[derive(Default)]
    struct Chipset {
        control: u16,
        writes: Vec<(u16, u32)>,
    }

    impl Ports for Chipset {
        fn read_u8(&mut self, _: u16) -> u8 {
            0xFF
        }
        fn read_u16(&mut self, _: u16) -> u16 {
            self.control
        }
        fn read_u32(&mut self, _: u16) -> u32 {
            u32::MAX
        }
        fn write_u8(&mut self, port: u16, value: u8) {
            if port == 0xB2 {
                self.control |= SCI_ENABLED;
            }
            self.writes.push((port, u32::from(value)));
        }
        fn write_u16(&mut self, port: u16, value: u16) {
            self.writes.push((port, u32::from(value)));
        }
        fn write_u32(&mut self, port: u16, value: u32) {
            self.writes.push((port, value));
        }
    }

    fn fadt() -> Fadt {
        Fadt {
            soft_off: Some(SoftOff {
                registers: [Some((0x404, 5)), Some((0x408, 7))],
                enable: Some((0xB2, 0xA0)),
            }),
            reset: Some((0xB5, 0x11)),
            ..Fadt::default()
        }
    }

    #[test]
    fn a_real_machine_is_switched_off_by_acpi_and_no_other_port_is_touched() {
        let mut chipset = Chipset {
            control: 0x0400,
            ..Chipset::default()
        };
        switch_off(&mut chipset, &fadt(), false, 3);
        assert_eq!(
            chipset.writes,
            [
                (0xB2, 0xA0),
                (0x404, 0x1401),
                (0x404, 0x3401),
                (0x408, 0x1C01),
                (0x408, 0x3C01)
            ]
        );
        let mut chipset = Chipset::default();
        switch_off(&mut chipset, &Fadt::default(), false, 3);
        assert_eq!(chipset.writes, []);
    }

    #[test]
    fn acpi_that_is_on_is_not_turned_on() {
        let mut chipset = Chipset {
            control: SCI_ENABLED,
            ..Chipset::default()
        };
        switch_off(&mut chipset, &fadt(), false, 0);
        assert_eq!(chipset.writes[0], (0x404, 0x1401));
    }

    #[test]
    fn an_emulator_learns_the_status_first() {
        let mut chipset = Chipset::default();
        switch_off(&mut chipset, &fadt(), true, 3);
        assert_eq!(chipset.writes[0], (0x501, 3));
        assert!(chipset.writes.contains(&(0x604, 0x2000)));
        assert!(
            chipset
                .writes
                .ends_with(&[(0x8900, b'w'.into()), (0x8900, b'n'.into())])
        );
    }

    #[test]
    fn a_reset_goes_from_acpi_to_the_oldest_way() {
        let mut chipset = Chipset::default();
        restart(&mut chipset, &fadt());
        assert_eq!(
            chipset.writes,
            [(0xB5, 0x11), (0x64, 0xFE), (0xCF9, 2), (0xCF9, 6)]
        );
    }
}
