//! Port I/O: the one trait every driver here speaks, so that its logic can be tested against a
//! model of its chip, and the real thing behind it.

use core::arch::asm;

/// The I/O port space as a driver sees it.
pub trait Ports {
    /// Reads a byte from `port`. A port nobody answers reads FFh.
    fn read_u8(&mut self, port: u16) -> u8;
    /// Reads 16 bits from `port`.
    fn read_u16(&mut self, port: u16) -> u16;
    /// Reads 32 bits from `port`.
    fn read_u32(&mut self, port: u16) -> u32;
    /// Writes a byte to `port`.
    fn write_u8(&mut self, port: u16, value: u8);
    /// Writes 16 bits to `port`.
    fn write_u16(&mut self, port: u16, value: u16);
    /// Writes 32 bits to `port`.
    fn write_u32(&mut self, port: u16, value: u32);
}

/// The machine's own ports.
#[derive(Debug)]
pub struct Hardware(());

impl Hardware {
    /// Access to the machine's ports.
    ///
    /// # Safety
    /// The code runs in ring 0 (elsewhere the first access faults), and the holder drives only
    /// a device that is its own, with values the device's manual allows.
    pub const unsafe fn new() -> Self {
        Self(())
    }
}

impl Ports for Hardware {
    #[inline]
    fn read_u8(&mut self, port: u16) -> u8 {
        let value;
        // SAFETY: whoever made this `Hardware` answers for the device; IN touches no memory.
        unsafe {
            asm!("in al, dx", out("al") value, in("dx") port, options(nomem, nostack, preserves_flags));
        }
        value
    }

    #[inline]
    fn read_u16(&mut self, port: u16) -> u16 {
        let value;
        // SAFETY: as for `read_u8`.
        unsafe {
            asm!("in ax, dx", out("ax") value, in("dx") port, options(nomem, nostack, preserves_flags));
        }
        value
    }

    #[inline]
    fn read_u32(&mut self, port: u16) -> u32 {
        let value;
        // SAFETY: as for `read_u8`.
        unsafe {
            asm!("in eax, dx", out("eax") value, in("dx") port, options(nomem, nostack, preserves_flags));
        }
        value
    }

    #[inline]
    fn write_u8(&mut self, port: u16, value: u8) {
        // SAFETY: as for `read_u8`. No `nomem`: a write may make a device act on memory.
        unsafe {
            asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags));
        }
    }

    #[inline]
    fn write_u16(&mut self, port: u16, value: u16) {
        // SAFETY: as for `write_u8`.
        unsafe {
            asm!("out dx, ax", in("dx") port, in("ax") value, options(nostack, preserves_flags));
        }
    }

    #[inline]
    fn write_u32(&mut self, port: u16, value: u32) {
        // SAFETY: as for `write_u8`.
        unsafe {
            asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags));
        }
    }
}

/// Chips made of paper.
#[cfg(test)]
pub mod paper {
    use super::Ports;
    use std::vec::Vec;

    /// A chip for a driver's test: answers byte reads, and sees byte writes.
    pub trait Chip {
        /// The byte that `port` reads.
        fn read(&mut self, port: u16) -> u8;
        /// A byte written to `port`.
        fn write(&mut self, port: u16, value: u8);
    }

    impl<C: Chip> Ports for C {
        fn read_u8(&mut self, port: u16) -> u8 {
            self.read(port)
        }
        fn read_u16(&mut self, port: u16) -> u16 {
            u16::from_le_bytes([self.read(port), self.read(port)])
        }
        fn read_u32(&mut self, port: u16) -> u32 {
            u32::from_le_bytes([(); 4].map(|()| self.read(port)))
        }
        fn write_u8(&mut self, port: u16, value: u8) {
            self.write(port, value);
        }
        fn write_u16(&mut self, port: u16, value: u16) {
            for byte in value.to_le_bytes() {
                self.write(port, byte);
            }
        }
        fn write_u32(&mut self, port: u16, value: u32) {
            for byte in value.to_le_bytes() {
                self.write(port, byte);
            }
        }
    }

    /// Ports behind which there is nothing, and a note of what was written to them.
    #[derive(Default)]
    pub struct Nothing(pub Vec<(u16, u8)>);

    impl Chip for Nothing {
        fn read(&mut self, _: u16) -> u8 {
            0xFF
        }
        fn write(&mut self, port: u16, value: u8) {
            self.0.push((port, value));
        }
    }
}
