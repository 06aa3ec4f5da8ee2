//! A table of eight-byte descriptors that the processor reads, and at times writes.
//!
//! Made of atomics, so a `static` table can be filled in without `unsafe`.

use core::sync::atomic::{AtomicU32, Ordering};

/// `N` descriptors, all zero at first.
#[repr(C, align(8))]
pub struct DescriptorTable<const N: usize>([[AtomicU32; 2]; N]);

impl<const N: usize> DescriptorTable<N> {
    /// A table of null descriptors.
    pub const fn new() -> Self {
        Self([const { [const { AtomicU32::new(0) }; 2] }; N])
    }

    /// The descriptor at `index`.
    pub fn get(&self, index: usize) -> u64 {
        let [low, high] = &self.0[index];
        u64::from(high.load(Ordering::Relaxed)) << 32 | u64::from(low.load(Ordering::Relaxed))
    }

    /// Replaces the descriptor at `index`.
    pub fn set(&self, index: usize, descriptor: u64) {
        let [low, high] = &self.0[index];
        low.store(descriptor as u32, Ordering::Relaxed);
        high.store((descriptor >> 32) as u32, Ordering::Relaxed);
    }

    /// What LGDT and LIDT take.
    pub fn pointer(&'static self) -> TablePointer {
        TablePointer {
            limit: (size_of::<Self>() - 1) as u16,
            base: self as *const Self as u32,
        }
    }
}

/// Where a descriptor table stands, as LGDT, LIDT, SGDT and SIDT have it in memory.
#[repr(C, packed)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TablePointer {
    /// The table's last byte.
    pub limit: u16,
    /// The table's address.
    pub base: u32,
}
