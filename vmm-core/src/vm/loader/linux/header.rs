//! The setup header of a bzImage.

use super::super::LoadError;
use super::super::pc::{ONE_MIB, word};

/// Offsets of fields in the file, and in the zero page.
pub(super) mod field {
    pub const SETUP_SECTS: usize = 0x1f1;
    pub const SYSSIZE: usize = 0x1f4;
    /// The byte behind the header lies so far behind 202h.
    pub const LENGTH: usize = 0x201;
    pub const MAGIC: usize = 0x202;
    pub const VERSION: usize = 0x206;
    pub const TYPE_OF_LOADER: usize = 0x210;
    pub const LOADFLAGS: usize = 0x211;
    pub const CODE32_START: usize = 0x214;
    pub const RAMDISK_IMAGE: usize = 0x218;
    pub const RAMDISK_SIZE: usize = 0x21c;
    pub const CMD_LINE_PTR: usize = 0x228;
    pub const INITRD_ADDR_MAX: usize = 0x22c;
    pub const RELOCATABLE: usize = 0x234;
    pub const XLOADFLAGS: usize = 0x236;
    pub const CMDLINE_SIZE: usize = 0x238;
    pub const PREF_ADDRESS: usize = 0x258;
    pub const INIT_SIZE: usize = 0x260;
}

/// `HdrS`.
const MAGIC: u32 = 0x5372_6448;
/// The first version of the protocol that knows `init_size` and `pref_address`; kernels since
/// 2.6.31 have it.
const OLDEST: u16 = 0x020a;
const SECTOR: usize = 512;
const LOADED_HIGH: u8 = 1 << 0;
const XLF_KERNEL_64: u16 = 1 << 0;

/// The longest header that the zero page has room for ends here.
const LAST_END: usize = 0x290;

/// A setup header: the part of the file from the byte that counts its sectors on.
pub(super) struct Header<'a> {
    image: &'a [u8],
    /// Where it ends in the file.
    pub end: usize,
}

impl<'a> Header<'a> {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// It is no bzImage, or one without all the fields that the loader needs.
    pub fn read(image: &'a [u8]) -> Result<Header<'a>, LoadError> {
        if word(image, field::MAGIC) != Some(MAGIC) {
            return Err(LoadError::NotLinux);
        }
        let length = image.get(field::LENGTH).copied().unwrap_or_default();
        let end = (field::MAGIC + usize::from(length)).min(LAST_END);
        let header = Header { image, end };
        if header.half(field::VERSION) < OLDEST || end < field::INIT_SIZE + 4 {
            return Err(LoadError::OldLinux(
                "its boot protocol is older than 2.10, of Linux 2.6.31",
            ));
        }
        if end > image.len() {
            return Err(LoadError::Truncated {
                needs: end as u64,
                has: image.len() as u64,
            });
        }
        if image[field::LOADFLAGS] & LOADED_HIGH == 0 {
            return Err(LoadError::OldLinux(
                "it is a zImage, made for the first 640 KiB",
            ));
        }
        Ok(header)
    }

    /// The header's bytes, as they go into the zero page.
    pub fn bytes(&self) -> &'a [u8] {
        self.image
            .get(field::SETUP_SECTS..self.end)
            .unwrap_or_default()
    }

    fn half(&self, at: usize) -> u16 {
        word(self.image, at).unwrap_or_default() as u16
    }

    fn word(&self, at: usize) -> u32 {
        word(self.image, at).unwrap_or_default()
    }

    /// The part of the file behind the real-mode code.
    pub fn protected_mode_part(&self) -> Result<&'a [u8], LoadError> {
        const UNSAID: usize = 4;
        const PARAGRAPH: u64 = 16;
        let sectors = match self.image[field::SETUP_SECTS] {
            0 => UNSAID,
            sectors => sectors.into(),
        };
        let start = (1 + sectors) * SECTOR;
        let rest = self.image.get(start..).unwrap_or_default();
        let promised = u64::from(self.word(field::SYSSIZE)) * PARAGRAPH;
        // The size is in whole paragraphs, and not every kernel's file is.
        if rest.is_empty() || rest.len() as u64 + PARAGRAPH <= promised {
            return Err(LoadError::Truncated {
                needs: start as u64 + promised,
                has: self.image.len() as u64,
            });
        }
        Ok(rest)
    }

    /// Where the 64-bit entry is in the protected-mode part.
    pub fn long_entry(&self) -> Result<u64, LoadError> {
        const LONG_ENTRY: u64 = 0x200;
        if self.half(field::XLOADFLAGS) & XLF_KERNEL_64 == 0 {
            return Err(LoadError::OldLinux("it has no 64-bit entry point"));
        }
        Ok(LONG_ENTRY)
    }

    /// Where the protected-mode part goes.
    pub fn load_address(&self) -> Result<u64, LoadError> {
        let wanted = u64::from(self.word(field::CODE32_START));
        let is_relocatable = self.image[field::RELOCATABLE] != 0;
        if !is_relocatable && wanted < ONE_MIB {
            return Err(LoadError::OldLinux("it is made for the first 640 KiB"));
        }
        Ok(wanted.max(ONE_MIB))
    }

    /// The first byte that a kernel at `start..end` leaves alone while it unpacks itself.
    pub fn runtime(&self, start: u64, end: u64) -> u64 {
        let preferred = u64::from(self.word(field::PREF_ADDRESS))
            | u64::from(self.word(field::PREF_ADDRESS + 4)) << 32;
        start
            .max(preferred)
            .saturating_add(self.word(field::INIT_SIZE).into())
            .max(end)
    }

    /// The first byte behind the highest place for the initial file system.
    pub fn ramdisk_end(&self) -> u64 {
        u64::from(self.word(field::INITRD_ADDR_MAX)) + 1
    }

    /// How long a command line may be, without its end.
    pub fn command_line_most(&self) -> usize {
        self.word(field::CMDLINE_SIZE) as usize
    }
}
