//! The VGA in text mode, as a surface for characters.
//!
//! Follows the IBM VGA's CRT controller: registers 0Ah to 0Fh.

use super::{CELLS, Cell, Surface};
use crate::host::ports::{Hardware, Ports};

/// The VGA in text mode, at its usual place.
#[derive(Debug)]
pub struct VgaText {
    ports: Hardware,
}

impl VgaText {
    const MEMORY: *mut u16 = 0xB8000 as *mut u16;
    const CRTC_INDEX: u16 = 0x3D4;
    const CRTC_DATA: u16 = 0x3D5;
    const CURSOR_START: u8 = 0x0A;
    const CURSOR_END: u8 = 0x0B;
    const START_ADDRESS: u8 = 0x0C;
    const CURSOR: u8 = 0x0E;

    /// The VGA behind `ports`, showing the start of its memory.
    ///
    /// # Safety
    /// The VGA is in text mode 3, and its memory is mapped one to one from now on.
    pub unsafe fn new(ports: Hardware) -> Self {
        let mut vga = Self { ports };
        vga.write_pair(Self::START_ADDRESS, 0);
        // A cursor of two scan lines, of the sixteen that a character has.
        vga.write_register(Self::CURSOR_START, 14);
        vga.write_register(Self::CURSOR_END, 15);
        vga
    }

    fn write_register(&mut self, register: u8, value: u8) {
        self.ports.write_u8(Self::CRTC_INDEX, register);
        self.ports.write_u8(Self::CRTC_DATA, value);
    }

    /// Writes a register of two bytes, the high one first.
    fn write_pair(&mut self, register: u8, value: u16) {
        let [low, high] = value.to_le_bytes();
        self.write_register(register, high);
        self.write_register(register + 1, low);
    }
}

impl Surface for VgaText {
    fn draw(&mut self, index: usize, cell: Cell) {
        if index < CELLS {
            // SAFETY: `new`'s caller vouches that the page is mapped, and the index is on it.
            unsafe { Self::MEMORY.add(index).write_volatile(cell.0) }
        }
    }

    fn place_cursor(&mut self, at: Option<usize>) {
        // Past the end of the page, the cursor is out of sight.
        self.write_pair(Self::CURSOR, at.unwrap_or(CELLS) as u16);
    }
}
