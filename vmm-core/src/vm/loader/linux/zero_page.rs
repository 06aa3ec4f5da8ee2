//! The zero page, `struct boot_params`: what the kernel knows of the machine before it looks.

use super::super::pc::{memory_map, place, write_words};
use super::super::{Files, LoadError};
use super::at;
use super::header::{Header, field};
use crate::addr::{Gpa, PAGE};
use crate::vm::memory::GuestMemory;

/// Offsets in the zero page, beside those of the setup header.
mod offset {
    pub const SCREEN_INFO: u64 = 0;
    pub const E820_ENTRIES: u64 = 0x1e8;
    pub const E820_TABLE: u64 = 0x2d0;
}

/// Where the initial file system is.
#[derive(Clone, Copy)]
pub(super) struct Ramdisk {
    pub start: u32,
    pub bytes: u32,
}

/// Writes the zero page.
pub(super) fn write(
    files: &Files<'_>,
    header: &Header<'_>,
    ramdisk: Option<Ramdisk>,
    memory: &mut GuestMemory,
) -> Result<(), LoadError> {
    /// A boot loader without a number of its own.
    const OTHER_LOADER: u8 = 0xff;

    place(memory, at::ZERO_PAGE, &[], at::ZERO_PAGE + PAGE)?;
    let mut put = |offset: u64, bytes: &[u8]| {
        memory
            .write(Gpa(at::ZERO_PAGE + offset), bytes)
            .ok_or(LoadError::NoRoom)
    };
    put(field::SETUP_SECTS as u64, header.bytes())?;
    put(field::TYPE_OF_LOADER as u64, &[OTHER_LOADER])?;
    put(
        field::CMD_LINE_PTR as u64,
        &(at::COMMAND_LINE as u32).to_le_bytes(),
    )?;
    let Ramdisk { start, bytes } = ramdisk.unwrap_or(Ramdisk { start: 0, bytes: 0 });
    put(field::RAMDISK_IMAGE as u64, &start.to_le_bytes())?;
    put(field::RAMDISK_SIZE as u64, &bytes.to_le_bytes())?;
    if files.text_screen {
        put(offset::SCREEN_INFO, &text_screen())?;
    }
    let mut entries = 0;
    for (base, length, kind) in memory_map(memory.bytes()) {
        const E820_ENTRY: u64 = 20;
        if length != 0 {
            let entry = [
                base as u32,
                (base >> 32) as u32,
                length as u32,
                (length >> 32) as u32,
                kind,
            ];
            let place = offset::E820_TABLE + E820_ENTRY * entries;
            write_words(memory, at::ZERO_PAGE + place, &entry)?;
            entries += 1;
        }
    }
    memory
        .write(Gpa(at::ZERO_PAGE + offset::E820_ENTRIES), &[entries as u8])
        .ok_or(LoadError::NoRoom)
}

/// `struct screen_info` of a VGA in text mode 3, the cursor in the upper left corner. All zero,
/// it says that there is no screen.
fn text_screen() -> [u8; 0x12] {
    const MODE: usize = 0x06;
    const COLUMNS: usize = 0x07;
    const LINES: usize = 0x0e;
    const IS_VGA: usize = 0x0f;
    const FONT_HEIGHT: usize = 0x10;
    let mut screen = [0; 0x12];
    screen[MODE] = 3;
    screen[COLUMNS] = 80;
    screen[LINES] = 25;
    screen[IS_VGA] = 1;
    screen[FONT_HEIGHT] = 16;
    screen
}
