//! Pixels as a surface for characters: each is drawn from a font, as large as 80 by 25 of them fit.

use super::font;
use super::{CELLS, COLUMNS, Cell, ROWS, Surface};
use crate::host::multiboot::Pixels;

/// Red, green and blue of the VGA's sixteen text colours.
const PALETTE: [[u8; 3]; 16] = [
    [0x00, 0x00, 0x00],
    [0x00, 0x00, 0xAA],
    [0x00, 0xAA, 0x00],
    [0x00, 0xAA, 0xAA],
    [0xAA, 0x00, 0x00],
    [0xAA, 0x00, 0xAA],
    [0xAA, 0x55, 0x00],
    [0xAA, 0xAA, 0xAA],
    [0x55, 0x55, 0x55],
    [0x55, 0x55, 0xFF],
    [0x55, 0xFF, 0x55],
    [0x55, 0xFF, 0xFF],
    [0xFF, 0x55, 0x55],
    [0xFF, 0x55, 0xFF],
    [0xFF, 0xFF, 0x55],
    [0xFF, 0xFF, 0xFF],
];

/// Larger characters than the screens of today have room for.
const MOST_SCALE: usize = 16;
/// The pixels of a character's widest row.
const WIDEST: usize = font::WIDTH * MOST_SCALE;

/// The first of the rows, of a character's 16, that the cursor covers.
const CURSOR: usize = 14;

/// A framebuffer of 24 or 32 bits a pixel.
#[derive(Debug)]
pub struct Framebuffer {
    pixels: Pixels,
    /// Bytes of a pixel: 3 or 4.
    bytes: usize,
    /// Pixels of the screen to one of the font's, in both directions.
    scale: usize,
    /// Of the first character.
    left: usize,
    top: usize,
    /// The sixteen colours as pixels.
    palette: [u32; 16],
    /// What is shown, for when the cursor leaves its place.
    cells: [Cell; CELLS],
    cursor: Option<usize>,
}

impl Framebuffer {
    /// The framebuffer that `pixels` describes, cleared. `None` when it is too small for 80 by
    /// 25 characters, or in a format other than 24 or 32 bits a pixel.
    ///
    /// # Safety
    /// The memory that `pixels` describes is a framebuffer, nobody else's, and mapped one to one
    /// and writable from now on.
    pub unsafe fn new(pixels: Pixels) -> Option<Self> {
        let bytes = match pixels.depth {
            32 => 4,
            24 => 3,
            _ => return None,
        };
        let (width, height) = (pixels.width as usize, pixels.height as usize);
        let (wide, high) = (COLUMNS * font::WIDTH, ROWS * font::HEIGHT);
        let scale = (width / wide).min(height / high).min(MOST_SCALE);
        let aligned = bytes != 4 || (pixels.address | u64::from(pixels.pitch)) & 3 == 0;
        let length = u64::from(pixels.pitch) * u64::from(pixels.height);
        let ends = pixels.address.checked_add(length).is_some();
        if scale == 0 || !aligned || !ends || width.checked_mul(bytes)? > pixels.pitch as usize {
            return None;
        }
        let mut new = Self {
            pixels,
            bytes,
            scale,
            left: (width - scale * wide) / 2,
            top: (height - scale * high) / 2,
            palette: PALETTE.map(|colour| encode(colour, pixels.colours)),
            cells: [Cell::BLANK; CELLS],
            cursor: None,
        };
        let blanks = [new.palette[0]; WIDEST];
        for y in 0..height {
            for x in (0..width).step_by(WIDEST) {
                new.put(x, y, &blanks[..WIDEST.min(width - x)]);
            }
        }
        Some(new)
    }

    /// Sets the pixels from `x`, `y` to the right, if all are on the screen.
    fn put(&mut self, x: usize, y: usize, pixels: &[u32]) {
        let end = x.saturating_add(pixels.len());
        if end > self.pixels.width as usize || y >= self.pixels.height as usize {
            return;
        }
        let offset = y * self.pixels.pitch as usize + x * self.bytes;
        let place = (self.pixels.address as *mut u8).wrapping_add(offset);
        // SAFETY: the pixels are on the screen, whose memory `new`'s caller vouches for; words of
        // four bytes are written only where `new` found address and pitch to be multiples of four.
        unsafe {
            if self.bytes == 4 {
                place
                    .cast::<u32>()
                    .copy_from_nonoverlapping(pixels.as_ptr(), pixels.len());
            } else {
                for (index, pixel) in pixels.iter().enumerate() {
                    let [first, second, third, _] = pixel.to_le_bytes();
                    place
                        .add(3 * index)
                        .cast::<[u8; 3]>()
                        .write([first, second, third]);
                }
            }
        }
    }

    /// Draws what is at place `index`, cursor included.
    fn show(&mut self, index: usize) {
        let Some(&cell) = self.cells.get(index) else {
            return;
        };
        let [character, attribute] = cell.0.to_le_bytes();
        let ink = self.palette[usize::from(attribute & 15)];
        // The highest bit blinks on a VGA; nothing blinks here.
        let paper = self.palette[usize::from(attribute >> 4 & 7)];
        let scale = self.scale;
        let x = self.left + index % COLUMNS * font::WIDTH * scale;
        let y = self.top + index / COLUMNS * font::HEIGHT * scale;
        let mut line = [0; WIDEST];
        let pixels = &mut line[..font::WIDTH * scale];
        let mut made_of = None;
        for (row, &bits) in font::rows(character).iter().enumerate() {
            let bits = if self.cursor == Some(index) && row >= CURSOR {
                0xFF
            } else {
                bits
            };
            // A row is often like the one above.
            if made_of.replace(bits) != Some(bits) {
                for (column, wide) in pixels.chunks_exact_mut(scale).enumerate() {
                    let on = bits << column & 0x80 != 0;
                    wide.fill(if on { ink } else { paper });
                }
            }
            for down in 0..scale {
                self.put(x, y + row * scale + down, pixels);
            }
        }
    }
}

impl Surface for Framebuffer {
    fn draw(&mut self, index: usize, cell: Cell) {
        if let Some(shown) = self.cells.get_mut(index) {
            *shown = cell;
            self.show(index);
        }
    }

    fn place_cursor(&mut self, at: Option<usize>) {
        let old = core::mem::replace(&mut self.cursor, at);
        for index in [old, at].into_iter().flatten() {
            self.show(index);
        }
    }
}

/// A colour as a pixel whose parts lie where `layout` says: lowest bit and number of bits.
fn encode(colour: [u8; 3], layout: [(u8, u8); 3]) -> u32 {
    colour
        .into_iter()
        .zip(layout)
        .map(|(value, (lowest, bits))| {
            let value = u32::from(value) >> 8u8.saturating_sub(bits).min(8);
            value.checked_shl(u32::from(lowest)).unwrap_or(0)
        })
        .fold(0, |pixel, part| pixel | part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const RGB: [(u8, u8); 3] = [(16, 8), (8, 8), (0, 8)];

    /// A screen, its memory, and a margin at whose end nothing may be written.
    fn screen(width: u32, height: u32, depth: u8, extra: u32) -> (Option<Framebuffer>, Vec<u32>) {
        let pitch = width * u32::from(depth) / 8 + extra;
        let words = (pitch * height) as usize / 4 + 64;
        let mut memory = vec![0x5A5A_5A5A_u32; words];
        let pixels = Pixels {
            address: memory.as_mut_ptr() as u64,
            pitch,
            width,
            height,
            depth,
            colours: RGB,
        };
        // SAFETY: the memory is the vector's, which moves only its handle, and lives as long.
        (unsafe { Framebuffer::new(pixels) }, memory)
    }

    fn pixel(memory: &[u32], framebuffer: &Framebuffer, x: usize, y: usize) -> u32 {
        let at = y * framebuffer.pixels.pitch as usize + x * framebuffer.bytes;
        let bytes: Vec<u8> = memory.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut pixel = [0; 4];
        pixel[..framebuffer.bytes].copy_from_slice(&bytes[at..at + framebuffer.bytes]);
        u32::from_le_bytes(pixel)
    }

    #[test]
    fn characters_are_drawn_in_their_colours_at_both_depths() {
        for depth in [24, 32] {
            let (framebuffer, memory) = screen(640, 400, depth, 8);
            let mut framebuffer = framebuffer.unwrap();
            framebuffer.draw(81, Cell::new(0xDF, 0x4E));
            assert_eq!(pixel(&memory, &framebuffer, 8, 16), 0xFF_FF55);
            assert_eq!(pixel(&memory, &framebuffer, 15, 24), 0xAA_0000);
            assert_eq!(pixel(&memory, &framebuffer, 16, 16), 0);
            assert!(memory.ends_with(&[0x5A5A_5A5A; 64]), "written past the end");
        }
    }

    #[test]
    fn a_large_screen_has_large_characters_in_its_middle() {
        let (framebuffer, memory) = screen(1300, 810, 32, 0);
        let mut framebuffer = framebuffer.unwrap();
        assert_eq!(
            (framebuffer.scale, framebuffer.left, framebuffer.top),
            (2, 10, 5)
        );
        framebuffer.draw(0, Cell::new(0xDB, 0x0F));
        assert_eq!(pixel(&memory, &framebuffer, 9, 5), 0);
        assert_eq!(pixel(&memory, &framebuffer, 10, 5), 0xFF_FFFF);
        assert_eq!(pixel(&memory, &framebuffer, 25, 36), 0xFF_FFFF);
        assert_eq!(pixel(&memory, &framebuffer, 26, 5), 0);
    }

    #[test]
    fn the_cursor_leaves_what_was_under_it() {
        let (framebuffer, memory) = screen(640, 400, 32, 0);
        let mut framebuffer = framebuffer.unwrap();
        framebuffer.draw(0, Cell::new(b' ', 0x07));
        framebuffer.place_cursor(Some(0));
        assert_eq!(pixel(&memory, &framebuffer, 3, 15), 0xAA_AAAA);
        framebuffer.place_cursor(Some(1));
        assert_eq!(pixel(&memory, &framebuffer, 3, 15), 0);
        framebuffer.place_cursor(None);
        assert_eq!(pixel(&memory, &framebuffer, 11, 15), 0);
    }

    #[test]
    fn what_cannot_show_characters_is_refused() {
        assert!(screen(639, 400, 32, 0).0.is_none());
        assert!(screen(640, 399, 32, 0).0.is_none());
        assert!(screen(640, 400, 16, 0).0.is_none());
        assert!(screen(640, 400, 32, 2).0.is_none());
    }

    proptest! {
        #[test]
        fn no_layout_of_colours_makes_a_panic(layout: [(u8, u8); 3], colour: [u8; 3]) {
            let _ = encode(colour, layout);
        }

        #[test]
        fn no_description_without_sense_is_accepted(
            address in u64::MAX - 100_000..,
            pitch: u32, width: u32, height: u32, depth: u8,
        ) {
            let pixels = Pixels { address, pitch, width, height, depth, colours: RGB };
            // SAFETY: refused, so not written to: it would end past the last address.
            let found = unsafe { Framebuffer::new(pixels) };
            prop_assert!(found.is_none());
        }
    }
}
