//! Port input and output.
//!
//! Safe to call: no device that this kernel drives writes to memory by itself,
//! so a port can upset the machine, but not break a Rust promise.

use core::arch::asm;

/// Reads a byte.
pub fn read(port: u16) -> u8 {
    let value;
    // SAFETY: IN touches no memory; see the module's description.
    unsafe { asm!("in al, dx", out("al") value, in("dx") port, options(nomem, nostack)) };
    value
}

/// Reads 16 bits at once.
pub fn read_u16(port: u16) -> u16 {
    let value;
    // SAFETY: IN touches no memory; see the module's description.
    unsafe { asm!("in ax, dx", out("ax") value, in("dx") port, options(nomem, nostack)) };
    value
}

/// Writes a byte.
pub fn write(port: u16, value: u8) {
    // SAFETY: OUT touches no memory; see the module's description.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
}

/// Writes 16 bits at once.
pub fn write_u16(port: u16, value: u16) {
    // SAFETY: OUT touches no memory; see the module's description.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack)) };
}
