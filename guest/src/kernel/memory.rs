//! Physical memory: the kernel's own, handed out by kalloc, and frames.
//!
//! The first 4 MiB are the kernel's: its image, and above it what kalloc hands
//! out. Everything beyond is frames, as far as the boot loader calls it usable.

use core::ptr::NonNull;

use guest::bitmap::{FRAME_BYTES, FrameBitmap, words_for};
use guest::bump::Bump;
use guest::multiboot::Region;

/// The end of the kernel's own memory, and the first byte that may be a frame.
const KERNEL_MEMORY_END: u32 = 4 << 20;

unsafe extern "C" {
    /// The image's first byte (linker.ld).
    static kernel_start: u8;
    /// The image's first writable byte, at the start of a page (linker.ld).
    static kernel_data: u8;
    /// The first byte after the image, at the start of a page (linker.ld).
    static kernel_end: u8;
}

/// The addresses of the image's code and constants, whole pages.
pub fn read_only_image() -> core::ops::Range<u32> {
    &raw const kernel_start as u32..&raw const kernel_data as u32
}

/// A piece of memory that kalloc handed out, for ever.
#[derive(Debug, Clone, Copy)]
pub struct Allocation {
    /// Its first byte.
    pub pointer: NonNull<u8>,
    /// The same as a physical address; equal, since the kernel is identity-mapped.
    pub physical: u32,
}

/// The kernel's own memory.
pub struct Kalloc(Bump);

impl Kalloc {
    /// Hands out `size` bytes at a multiple of `align`. `None` if there are not
    /// so many left, or if `align` is not a power of two.
    pub fn take(&mut self, size: u32, align: u32) -> Option<Allocation> {
        let physical = self.0.take(size, align)?;
        let pointer = NonNull::new(physical as *mut u8)?;
        Some(Allocation { pointer, physical })
    }

    /// Bytes handed out so far.
    pub fn used(&self) -> u32 {
        self.0.used()
    }

    /// Hands out `count` words, all zero.
    fn words(&mut self, count: usize) -> Option<&'static mut [u32]> {
        let bytes = u32::try_from(count.checked_mul(4)?).ok()?;
        let words = self.take(bytes, 4)?.pointer.cast::<u32>();
        // SAFETY: so many aligned bytes of RAM have just become ours, for ever.
        unsafe {
            words.write_bytes(0, count);
            Some(core::slice::from_raw_parts_mut(words.as_ptr(), count))
        }
    }
}

/// All of the machine's memory.
pub struct Memory {
    /// The kernel's own.
    pub kalloc: Kalloc,
    /// The rest, frame by frame.
    pub frames: FrameBitmap<'static>,
}

impl Memory {
    /// Takes the memory of a memory map. `None` if there is too little for a bitmap.
    pub fn new(regions: &[Region]) -> Option<Self> {
        let mut kalloc = Kalloc(Bump::new(&raw const kernel_end as u32, KERNEL_MEMORY_END));
        let usable = || regions.iter().filter(|region| region.usable);
        let end = usable().map(|region| region.end).max()?.min(1 << 32);
        let frames = (end / u64::from(FRAME_BYTES)) as u32;
        let mut frames = FrameBitmap::new(kalloc.words(words_for(frames))?, frames);
        for region in usable() {
            frames.free_bytes(region.start, region.end);
        }
        for region in regions.iter().filter(|region| !region.usable) {
            frames.reserve_bytes(region.start, region.end);
        }
        frames.reserve_bytes(0, u64::from(KERNEL_MEMORY_END));
        Some(Self { kalloc, frames })
    }
}
