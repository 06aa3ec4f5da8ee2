//! The registers of a VGA in text mode 3: enough for a kernel that drives a text console.
//!
//! The picture is not made here. Text lives in the guest's own memory at B8000h; a painter reads
//! it and asks this device for [`Vga::start_address`] and [`Vga::cursor`]. Registers that would
//! change the mode keep what is written to them and do nothing. Names are those of IBM's VGA
//! Technical Reference.

#[cfg(test)]
mod tests;

use super::time::GuestTime;

/// Registers of mode 3, 80 x 25 characters of 9 x 16 dots, as the BIOS sets them.
const CRTC_MODE_3: [u8; 25] = [
    0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00,
    0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
];
const ATTRIBUTE_MODE_3: [u8; 21] = [
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f,
    0x0c, 0x00, 0x0f, 0x08, 0x00,
];
const SEQUENCER_MODE_3: [u8; 5] = [0x03, 0x00, 0x03, 0x00, 0x02];
const GRAPHICS_MODE_3: [u8; 9] = [0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff];
/// Colour addresses (3Dxh), RAM on, 28 MHz clock.
const MISCELLANEOUS_MODE_3: u8 = 0x67;

/// CRT controller registers with a meaning here.
mod crtc {
    pub const OVERFLOW: u8 = 0x07;
    pub const CURSOR_START: usize = 0x0a;
    pub const CURSOR_END: usize = 0x0b;
    pub const START_ADDRESS: usize = 0x0c;
    pub const CURSOR_LOCATION: usize = 0x0e;
    pub const VERTICAL_RETRACE_END: usize = 0x11;
    /// In register 11h: registers 0-7 are write-protected, but for the line compare bit of 7.
    pub const PROTECT: u8 = 1 << 7;
    pub const LINE_COMPARE: u8 = 1 << 4;
    /// In register 0Ah: no cursor.
    pub const CURSOR_OFF: u8 = 1 << 5;
}

/// A scan line of the 70 Hz text mode, and how much of it is visible.
const LINE_NS: u64 = 31_778;
const LINE_VISIBLE_NS: u64 = 25_422;
/// Scan lines of a frame: all, visible ones, and those in vertical retrace.
const LINES: u64 = 449;
const LINES_VISIBLE: u64 = 400;
const LINES_RETRACE: core::ops::Range<u64> = 412..414;

/// The text cursor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// Character cell, counted from the start of text memory.
    pub cell: u16,
    /// First and last scan line within the cell, 0-31.
    pub scan_lines: (u8, u8),
}

/// Registers behind an index and a data port; an index without a register reads 0.
#[derive(Clone, Debug)]
struct Indexed<const N: usize> {
    index: u8,
    registers: [u8; N],
}

impl<const N: usize> Indexed<N> {
    const fn new(registers: [u8; N]) -> Self {
        Self {
            index: 0,
            registers,
        }
    }

    fn read(&self) -> u8 {
        self.registers
            .get(usize::from(self.index))
            .copied()
            .unwrap_or(0)
    }

    fn write(&mut self, value: u8) {
        if let Some(register) = self.registers.get_mut(usize::from(self.index)) {
            *register = value;
        }
    }
}

/// The VGA's registers.
#[derive(Clone, Debug)]
pub struct Vga {
    crtc: Indexed<25>,
    sequencer: Indexed<5>,
    graphics: Indexed<9>,
    attribute: Indexed<21>,
    /// The next write to 3C0h is data, not an index.
    attribute_data_next: bool,
    miscellaneous: u8,
    feature: u8,
    palette: Palette,
}

impl Default for Vga {
    fn default() -> Self {
        Self::new()
    }
}

impl Vga {
    /// In text mode 3, cursor at the top left.
    pub const fn new() -> Self {
        Self {
            crtc: Indexed::new(CRTC_MODE_3),
            sequencer: Indexed::new(SEQUENCER_MODE_3),
            graphics: Indexed::new(GRAPHICS_MODE_3),
            attribute: Indexed::new(ATTRIBUTE_MODE_3),
            attribute_data_next: false,
            miscellaneous: MISCELLANEOUS_MODE_3,
            feature: 0,
            palette: Palette::new(),
        }
    }

    /// The character cell at the top left of the screen, counted from the start of text memory.
    pub const fn start_address(&self) -> u16 {
        self.pair(crtc::START_ADDRESS)
    }

    /// The cursor; None if the guest has switched it off.
    pub fn cursor(&self) -> Option<Cursor> {
        let start = self.crtc.registers[crtc::CURSOR_START];
        let first = start & 0x1f;
        let last = self.crtc.registers[crtc::CURSOR_END] & 0x1f;
        (start & crtc::CURSOR_OFF == 0 && first <= last).then_some(Cursor {
            cell: self.pair(crtc::CURSOR_LOCATION),
            scan_lines: (first, last),
        })
    }

    /// A 16-bit value in two registers, the high byte first.
    const fn pair(&self, register: usize) -> u16 {
        u16::from_be_bytes([
            self.crtc.registers[register],
            self.crtc.registers[register + 1],
        ])
    }

    /// Reads a port of 3C0h-3CFh, 3D4h, 3D5h or 3DAh.
    pub fn read(&mut self, port: u16, now: impl FnOnce() -> GuestTime) -> u8 {
        match port {
            0x3c0 => self.attribute.index,
            0x3c1 => {
                let index = self.attribute.index & 0x1f;
                let registers = &self.attribute.registers;
                registers.get(usize::from(index)).copied().unwrap_or(0)
            }
            // Input status 0: a monitor is there, no interrupt.
            0x3c2 => 0x10,
            0x3c3 => 0x01,
            0x3c4 => self.sequencer.index,
            0x3c5 => self.sequencer.read(),
            0x3c6 => self.palette.mask,
            0x3c7 => self.palette.state(),
            0x3c8 => self.palette.write_index,
            0x3c9 => self.palette.read(),
            0x3ca => self.feature,
            0x3cc => self.miscellaneous,
            0x3ce => self.graphics.index,
            0x3cf => self.graphics.read(),
            0x3d4 => self.crtc.index,
            0x3d5 => self.crtc.read(),
            0x3da => {
                self.attribute_data_next = false;
                input_status_1(now())
            }
            _ => 0xff,
        }
    }

    /// Writes one of the same ports.
    pub fn write(&mut self, port: u16, value: u8) {
        match port {
            0x3c0 => self.write_attribute(value),
            0x3c2 => self.miscellaneous = value,
            0x3c4 => self.sequencer.index = value,
            0x3c5 => self.sequencer.write(value),
            0x3c6 => self.palette.mask = value,
            0x3c7 => self.palette.start_reading(value),
            0x3c8 => self.palette.start_writing(value),
            0x3c9 => self.palette.write(value),
            0x3ce => self.graphics.index = value,
            0x3cf => self.graphics.write(value),
            0x3d4 => self.crtc.index = value,
            0x3d5 => self.write_crtc(value),
            0x3da => self.feature = value,
            _ => {}
        }
    }

    /// "Attribute Controller": one port takes index and data in turn.
    fn write_attribute(&mut self, value: u8) {
        if !self.attribute_data_next {
            // Bit 5 switches the picture on; it reads back with the index.
            self.attribute.index = value & 0x3f;
        } else {
            let index = usize::from(self.attribute.index & 0x1f);
            if let Some(register) = self.attribute.registers.get_mut(index) {
                *register = value;
            }
        }
        self.attribute_data_next = !self.attribute_data_next;
    }

    fn write_crtc(&mut self, value: u8) {
        let protected = self.crtc.registers[crtc::VERTICAL_RETRACE_END] & crtc::PROTECT != 0;
        match self.crtc.index {
            crtc::OVERFLOW if protected => {
                let kept = self.crtc.read() & !crtc::LINE_COMPARE;
                self.crtc.write(kept | value & crtc::LINE_COMPARE);
            }
            0..crtc::OVERFLOW if protected => {}
            _ => self.crtc.write(value),
        }
    }
}

/// "Input Status Register One": bit 0, nothing is displayed; bit 3, vertical retrace.
const fn input_status_1(now: GuestTime) -> u8 {
    let line = now.0 / LINE_NS % LINES;
    let blank = line >= LINES_VISIBLE || now.0 % LINE_NS >= LINE_VISIBLE_NS;
    let retrace = LINES_RETRACE.start <= line && line < LINES_RETRACE.end;
    blank as u8 | (retrace as u8) << 3
}

/// The palette: 256 colours of three 6-bit components, red, green, blue.
#[derive(Clone, Debug)]
struct Palette {
    colours: [[u8; 3]; 256],
    mask: u8,
    read_index: u8,
    write_index: u8,
    /// The component that the next access to 3C9h means.
    component: u8,
    reading: bool,
}

impl Palette {
    /// The 64 colours of mode 3: two bits a component, a third and two thirds of the light.
    const fn new() -> Self {
        let mut colours = [[0; 3]; 256];
        let mut colour = 0;
        while colour < 64 {
            colours[colour] = [
                light(colour, 2, 5),
                light(colour, 1, 4),
                light(colour, 0, 3),
            ];
            colour += 1;
        }
        Self {
            colours,
            mask: 0xff,
            read_index: 0,
            write_index: 0,
            component: 0,
            reading: false,
        }
    }

    const fn state(&self) -> u8 {
        if self.reading { 3 } else { 0 }
    }

    const fn start_reading(&mut self, index: u8) {
        self.read_index = index;
        self.component = 0;
        self.reading = true;
    }

    const fn start_writing(&mut self, index: u8) {
        self.write_index = index;
        self.component = 0;
        self.reading = false;
    }

    fn read(&mut self) -> u8 {
        let colour = self.colours[usize::from(self.read_index)];
        let value = colour[usize::from(self.component % 3)];
        if self.next_component() {
            self.read_index = self.read_index.wrapping_add(1);
        }
        value
    }

    fn write(&mut self, value: u8) {
        let colour = &mut self.colours[usize::from(self.write_index)];
        colour[usize::from(self.component % 3)] = value & 0x3f;
        if self.next_component() {
            self.write_index = self.write_index.wrapping_add(1);
        }
    }

    /// True after the third component.
    const fn next_component(&mut self) -> bool {
        self.component = (self.component + 1) % 3;
        self.component == 0
    }
}

/// A component of an EGA colour: the `strong` bit is two thirds of the light, the `weak` one a third.
const fn light(colour: usize, strong: u32, weak: u32) -> u8 {
    (colour >> strong & 1) as u8 * 0x2a + (colour >> weak & 1) as u8 * 0x15
}
