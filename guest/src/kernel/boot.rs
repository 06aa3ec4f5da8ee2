//! What the boot loader left in memory, copied out before that memory is used.

use core::ptr;

use guest::multiboot::{INFO_BYTES, Info, Region, regions};

/// Longest command line that is kept, in bytes.
const CMDLINE_BYTES: usize = 256;
/// Most memory regions that are kept.
const REGIONS: usize = 32;

/// The loader's information, as far as this kernel uses it.
pub struct BootInfo {
    cmdline: [u8; CMDLINE_BYTES],
    cmdline_length: usize,
    regions: [Region; REGIONS],
    region_count: usize,
}

impl BootInfo {
    /// Copies the information at physical address `info`.
    ///
    /// # Safety
    /// A Multiboot 1 loader must have left its information there, and nothing
    /// written to memory since.
    pub unsafe fn copy(info: u32) -> Self {
        // SAFETY: the caller vouches for it.
        let info = unsafe { ptr::read_unaligned(info as *const [u8; INFO_BYTES]) };
        let info = Info::parse(&info);
        let mut boot = Self {
            cmdline: [0; CMDLINE_BYTES],
            cmdline_length: 0,
            regions: [Region::default(); REGIONS],
            region_count: 0,
        };
        if let Some(cmdline) = info.cmdline {
            // SAFETY: the specification promises a C string; reading ends at its end.
            unsafe { boot.copy_cmdline(cmdline as *const u8) };
        }
        match info.memory_map {
            Some((address, bytes)) => {
                // SAFETY: the specification promises so many bytes there.
                let map =
                    unsafe { core::slice::from_raw_parts(address as *const u8, bytes as usize) };
                regions(map).for_each(|region| boot.keep(region));
            }
            None => {
                let kib = |kib: u32| u64::from(kib) << 10;
                let mib = 1 << 20;
                boot.keep(Region {
                    start: 0,
                    end: kib(info.lower_kib),
                    usable: true,
                });
                boot.keep(Region {
                    start: mib,
                    end: mib + kib(info.upper_kib),
                    usable: true,
                });
            }
        }
        boot
    }

    /// The kernel's command line; what is not UTF-8 ends it.
    pub fn cmdline(&self) -> &str {
        let bytes = &self.cmdline[..self.cmdline_length];
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
        }
    }

    /// The memory map.
    pub fn regions(&self) -> &[Region] {
        &self.regions[..self.region_count]
    }

    /// # Safety
    /// There must be a C string at `text`.
    unsafe fn copy_cmdline(&mut self, text: *const u8) {
        for place in &mut self.cmdline {
            // SAFETY: all bytes before this one were not the string's last.
            let byte = unsafe { text.add(self.cmdline_length).read() };
            if byte == 0 {
                return;
            }
            *place = byte;
            self.cmdline_length += 1;
        }
    }

    /// Keeps a region; one more than there is room for is dropped.
    fn keep(&mut self, region: Region) {
        if let Some(place) = self.regions.get_mut(self.region_count) {
            *place = region;
            self.region_count += 1;
        }
    }
}
