//! Pictures of a machine's screen, read as text.

use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Which pixels of a character are lit, row by row.
type Shape = Vec<bool>;
/// The shape of each character, as it was first seen.
pub type Glyphs = HashMap<u8, Shape>;

const COLUMNS: usize = 80;
const ROWS: usize = 25;
/// Rows of a character in pixels.
const HEIGHT: usize = 16;
/// A character of the VGA's text mode is so wide.
const VGA_WIDTH: usize = 9;
/// One of the VMM's own font.
const FONT_WIDTH: usize = 8;

/// A picture as it was saved.
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn load(file: &Path) -> Picture {
        let bytes =
            std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut parts = bytes.splitn(4, |byte| *byte == b'\n');
        let mut line = || parts.next().expect("a PPM file");
        assert_eq!(line(), b"P6");
        let size = String::from_utf8_lossy(line()).into_owned();
        let (width, height) = size.split_once(' ').expect("a size");
        let [width, height] = [width, height].map(|number| number.parse().expect("a number"));
        assert_eq!(line(), b"255");
        let pixels = line().to_vec();
        assert_eq!(pixels.len(), 3 * width * height);
        Picture {
            width,
            height,
            pixels,
        }
    }

    fn is_lit(&self, x: usize, y: usize) -> bool {
        let at = 3 * (y * self.width + x);
        self.pixels[at..at + 3].iter().any(|colour| *colour != 0)
    }

    /// The shapes of 80 by 25 characters of this width that begin there, each of their pixels as
    /// large as so many.
    fn shapes(&self, (left, top): (usize, usize), width: usize, scale: usize) -> Vec<Shape> {
        let shape = |place: usize| {
            let (x, y) = (place % COLUMNS * width, place / COLUMNS * HEIGHT);
            let pixels = (0..HEIGHT).flat_map(|row| (0..width).map(move |column| (column, row)));
            pixels
                .map(|(column, row)| {
                    self.is_lit(left + scale * (x + column), top + scale * (y + row))
                })
                .collect()
        };
        (0..ROWS * COLUMNS).map(shape).collect()
    }
}

/// A screen in text mode as it was saved: what was in the VGA's memory, and what a person saw.
pub struct Screen {
    pub text: String,
    shapes: Vec<Shape>,
}

impl Screen {
    /// Loads `NAME.txt` and `NAME.ppm`.
    pub fn load(folder: &Path, name: &str) -> Screen {
        let file = |kind: &str| folder.join(format!("{name}.{kind}"));
        let picture = Picture::load(&file("ppm"));
        let size = (COLUMNS * VGA_WIDTH, ROWS * HEIGHT);
        assert_eq!((picture.width, picture.height), size);
        Screen {
            text: std::fs::read_to_string(file("txt")).expect("ASCII"),
            shapes: picture.shapes((0, 0), VGA_WIDTH, 1),
        }
    }

    /// Fails unless the picture has one shape for each character of the text, and another for
    /// each other one: then it reads as the text does. One place may have the cursor, which
    /// blinks: returns its row and column.
    pub fn shows_its_text(&self, glyphs: &mut Glyphs) -> Option<(usize, usize)> {
        let rows: Vec<_> = self.text.lines().map(str::as_bytes).collect();
        let mut odd = Vec::new();
        for (place, shape) in self.shapes.iter().enumerate() {
            let row = rows.get(place / COLUMNS).copied().unwrap_or_default();
            let character = row.get(place % COLUMNS).copied().unwrap_or(b' ');
            if glyphs.entry(character).or_insert_with(|| shape.clone()) != shape {
                odd.push((place / COLUMNS, place % COLUMNS));
            }
        }
        assert!(odd.len() <= 1, "{odd:?} do not look like\n{}", self.text);
        let shapes: HashSet<_> = glyphs.values().collect();
        assert_eq!(shapes.len(), glyphs.len(), "two characters look alike");
        assert!(glyphs[&b' '].iter().all(|lit| !lit), "a blank is not blank");
        odd.pop()
    }

    /// The row and column behind the last of the text.
    pub fn end(&self) -> (usize, usize) {
        let rows = self.text.lines().map(|row| row.trim_end().len());
        let last = rows.enumerate().filter(|(_, length)| *length > 0).last();
        last.expect("text")
    }
}

/// What these shapes read as; a question mark for what is none of the glyphs.
fn read(shapes: &[Shape], glyphs: &Glyphs) -> String {
    let characters: HashMap<_, _> = glyphs.iter().map(|(code, shape)| (shape, *code)).collect();
    let character = |shape| char::from(characters.get(shape).copied().unwrap_or(b'?'));
    shapes
        .chunks(COLUMNS)
        .map(|row| {
            row.iter()
                .map(character)
                .collect::<String>()
                .trim_end()
                .to_owned()
                + "\n"
        })
        .collect()
}

/// The text in the picture of Bochs' window in text mode, whose font is the one of `glyphs`. Above
/// it are 32 rows of Bochs' own.
pub fn of_bochs(file: &Path, glyphs: &Glyphs) -> String {
    let picture = Picture::load(file);
    assert!(picture.width >= COLUMNS * VGA_WIDTH && picture.height >= 32 + ROWS * HEIGHT);
    read(&picture.shapes((0, 32), VGA_WIDTH, 1), glyphs)
}

/// The text in the picture of a framebuffer, which the VMM draws in its own font, as large as it fits
/// and in the middle.
pub fn of_pixels(file: &Path) -> String {
    let picture = Picture::load(file);
    let (wide, high) = (COLUMNS * FONT_WIDTH, ROWS * HEIGHT);
    let scale = (picture.width / wide).min(picture.height / high);
    let left = (picture.width - scale * wide) / 2;
    let top = (picture.height - scale * high) / 2;
    let shape = |character: u8| {
        // A header of four bytes, then a byte a row.
        let start = 4 + usize::from(character) * HEIGHT;
        let rows = &spleen_font::FONT_8X16[start..start + HEIGHT];
        let bits = |row: &u8| -> Vec<bool> { (0..8).map(|bit| row << bit & 0x80 != 0).collect() };
        rows.iter().flat_map(bits).collect()
    };
    let glyphs = (b' '..=b'~').map(|character| (character, shape(character)));
    read(
        &picture.shapes((left, top), FONT_WIDTH, scale),
        &glyphs.collect(),
    )
}
