//! The power button, and powering off.

use super::{cpu, port};

/// The interrupt line of the power management.
pub const LINE: u32 = 9;

/// The PC's power management status and enable registers, and the power button's bit in them.
/// Writing 1 clears a status.
const PM_STATUS: u16 = 0x600;
const PM_ENABLE: u16 = 0x602;
const BUTTON: u16 = 1 << 8;

/// Has the power button interrupt.
pub fn install() {
    port::write_u16(PM_STATUS, BUTTON);
    port::write_u16(PM_ENABLE, BUTTON);
}

/// Powers off if it was the power button that interrupted.
pub fn pressed() {
    if port::read_u16(PM_STATUS) & BUTTON != 0 {
        port::write_u16(PM_STATUS, BUTTON);
        off();
    }
}

/// The PC's power management control register, and the word that means "off".
const PM_CONTROL: (u16, u16) = (0x604, 0x2000);
/// A port that powers some machines off when it is written a word, letter by letter.
const SHUTDOWN: (u16, &[u8]) = (0x8900, b"Shutdown");

/// Powers the machine off; where none of the ways works, stops for good.
pub fn off() -> ! {
    port::write_u16(PM_CONTROL.0, PM_CONTROL.1);
    for letter in SHUTDOWN.1 {
        port::write(SHUTDOWN.0, *letter);
    }
    cpu::halt()
}
