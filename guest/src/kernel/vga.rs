//! VGA text memory and the hardware cursor.

use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use guest::screen::{self, CELLS, Cells, Colour};

use super::port;

/// Index port of the CRT controller; its data port is the next.
pub const CRTC: u16 = 0x3D4;
/// CRTC register: the cursor's cell, high byte. The low byte's is the next.
pub const CURSOR_HIGH: u8 = 0x0E;
const CURSOR_SHAPE: u8 = 0x0A;
/// First and last scan line of the cursor: an underline.
const UNDERLINE: [u8; 2] = [14, 15];

/// Where the cells are.
const TEXT: *mut u16 = 0xB8000 as *mut u16;

static POSITION: AtomicUsize = AtomicUsize::new(0);
static ATTRIBUTE: AtomicU8 = AtomicU8::new(screen::on_black(Colour::LightGrey));

/// The cells of the screen, in the video memory.
struct TextMemory;

impl Cells for TextMemory {
    fn read(&self, index: usize) -> u16 {
        assert!(index < CELLS);
        // SAFETY: the text memory has CELLS cells and belongs to this module.
        unsafe { ptr::read_volatile(TEXT.add(index)) }
    }

    fn write(&mut self, index: usize, cell: u16) {
        assert!(index < CELLS);
        // SAFETY: as in `read`.
        unsafe { ptr::write_volatile(TEXT.add(index), cell) }
    }
}

/// Empties the screen and shows the cursor at its first cell.
pub fn install() {
    let [first, last] = UNDERLINE;
    write_crtc(CURSOR_SHAPE, first);
    write_crtc(CURSOR_SHAPE + 1, last);
    clear();
}

/// Empties the screen.
pub fn clear() {
    screen::clear(&mut TextMemory, ATTRIBUTE.load(Ordering::Relaxed));
    POSITION.store(0, Ordering::Relaxed);
    place_cursor();
}

/// Shows text where the last one ended. What is not ASCII shows as `?`.
pub fn write(text: &str) {
    let attribute = ATTRIBUTE.load(Ordering::Relaxed);
    let mut position = POSITION.load(Ordering::Relaxed);
    for character in text.chars() {
        let byte = u8::try_from(character)
            .ok()
            .filter(u8::is_ascii)
            .unwrap_or(b'?');
        position = screen::put(&mut TextMemory, position, byte, attribute);
    }
    POSITION.store(position, Ordering::Relaxed);
}

/// Chooses the colour of what is shown from now on.
pub fn set_colour(colour: Colour) {
    ATTRIBUTE.store(screen::on_black(colour), Ordering::Relaxed);
}

/// Moves the hardware cursor to where the next character goes.
pub fn place_cursor() {
    let [low, high] = (POSITION.load(Ordering::Relaxed) as u16).to_le_bytes();
    write_crtc(CURSOR_HIGH, high);
    write_crtc(CURSOR_HIGH + 1, low);
}

fn write_crtc(register: u8, value: u8) {
    port::write(CRTC, register);
    port::write(CRTC + 1, value);
}
