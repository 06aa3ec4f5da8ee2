//! How the machine is left: a status for whoever started it, power off, or a reset.

use core::arch::asm;

use super::ports::{Hardware, Ports};

/// QEMU's `isa-debug-exit`, where a run puts it. Ends QEMU with `status * 2 + 1`.
const DEBUG_EXIT: u16 = 0x501;
/// PM1a control of the PIIX4 in QEMU, and where older QEMUs and Bochs have it.
const PM1A_CONTROL: [u16; 2] = [0x604, 0xB004];
/// SLP_EN, with the sleep type (0) that means off there.
const POWER_OFF: u16 = 0x2000;
/// Bochs powers off when it reads this word here.
const SHUTDOWN: (u16, &[u8]) = (0x8900, b"Shutdown");

const KEYBOARD_CONTROLLER: u16 = 0x64;
const PULSE_RESET: u8 = 0xFE;
const RESET_CONTROL: u16 = 0xCF9;
const HARD_RESET: u8 = 0x06;

/// Tells `status` to the emulator that waits for it, if there is one, and else switches off.
///
/// # Safety
/// Nothing that the machine does is needed any more.
pub unsafe fn off(status: u8) -> ! {
    // SAFETY: the caller gives up the machine.
    let mut ports = unsafe { Hardware::new() };
    ports.write_u32(DEBUG_EXIT, u32::from(status));
    for port in PM1A_CONTROL {
        ports.write_u16(port, POWER_OFF);
    }
    let (port, word) = SHUTDOWN;
    for &byte in word {
        ports.write_u8(port, byte);
    }
    crate::info!("It is now safe to switch off.");
    stop()
}

/// Tells `status` to the emulator that waits for it, if there is one, and else stops with the
/// screen as it is, for people to read.
///
/// # Safety
/// As for [`off`].
pub unsafe fn halt(status: u8) -> ! {
    // SAFETY: the caller gives up the machine.
    let mut ports = unsafe { Hardware::new() };
    ports.write_u32(DEBUG_EXIT, u32::from(status));
    stop()
}

/// Starts the machine again.
///
/// # Safety
/// As for [`off`].
pub unsafe fn reset() -> ! {
    // SAFETY: the caller gives up the machine.
    let mut ports = unsafe { Hardware::new() };
    ports.write_u8(KEYBOARD_CONTROLLER, PULSE_RESET);
    ports.write_u8(RESET_CONTROL, HARD_RESET & !4);
    ports.write_u8(RESET_CONTROL, HARD_RESET);
    stop()
}

fn stop() -> ! {
    loop {
        // SAFETY: with interrupts off, HLT stops the CPU; neither touches memory.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}
