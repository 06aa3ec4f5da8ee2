//! Device registers of 32 bits in memory: the one trait every driver of such a device speaks, as
//! [`Ports`](super::ports::Ports) is for ports, and the real thing behind it.

/// A device's registers, by their offset in bytes.
pub trait Registers {
    /// Reads the register at `offset`.
    fn read(&mut self, offset: u32) -> u32;
    /// Writes the register at `offset`.
    fn write(&mut self, offset: u32, value: u32);
}

/// The registers from a physical address on.
#[derive(Debug)]
pub struct Mmio(u64);

impl Mmio {
    /// The registers from `at` on.
    ///
    /// # Safety
    /// The device is there, mapped one to one and uncached, and the holder's own to drive.
    pub const unsafe fn new(at: u64) -> Self {
        Self(at)
    }

    fn place(&self, offset: u32) -> *mut u32 {
        (self.0 + u64::from(offset)) as *mut u32
    }
}

impl Registers for Mmio {
    fn read(&mut self, offset: u32) -> u32 {
        // SAFETY: whoever made this `Mmio` answers for the device.
        unsafe { self.place(offset).read_volatile() }
    }

    fn write(&mut self, offset: u32, value: u32) {
        // SAFETY: as for `read`.
        unsafe { self.place(offset).write_volatile(value) }
    }
}

/// Devices made of paper.
#[cfg(test)]
pub mod paper {
    use super::Registers;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    /// Registers that remember, and a note of what was written in which order.
    #[derive(Default)]
    pub struct Memory {
        /// What they hold; the others hold 0.
        pub values: BTreeMap<u32, u32>,
        /// The writes.
        pub writes: Vec<(u32, u32)>,
    }

    impl Registers for Memory {
        fn read(&mut self, offset: u32) -> u32 {
            self.values.get(&offset).copied().unwrap_or(0)
        }
        fn write(&mut self, offset: u32, value: u32) {
            self.values.insert(offset, value);
            self.writes.push((offset, value));
        }
    }

    impl<R: Registers> Registers for &mut R {
        fn read(&mut self, offset: u32) -> u32 {
            (**self).read(offset)
        }
        fn write(&mut self, offset: u32, value: u32) {
            (**self).write(offset, value);
        }
    }
}
