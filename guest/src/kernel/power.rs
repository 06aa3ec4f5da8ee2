//! Powering off.

use super::{cpu, port};

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
