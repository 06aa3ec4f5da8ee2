//! A text screen of 80 columns and 25 rows: where a character goes, and scrolling.
//!
//! The cells are reached through [`Cells`]; that they are a VGA's is not known here.

/// Characters of a row.
pub const COLUMNS: usize = 80;
/// Rows of the screen.
pub const ROWS: usize = 25;
/// Cells of the screen.
pub const CELLS: usize = COLUMNS * ROWS;
/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// The sixteen colours of VGA text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "a colour's name says it all")]
pub enum Colour {
    Black,
    Blue,
    Green,
    Cyan,
    Red,
    Magenta,
    Brown,
    LightGrey,
    DarkGrey,
    LightBlue,
    LightGreen,
    LightCyan,
    LightRed,
    LightMagenta,
    Yellow,
    White,
}

/// The attribute byte of a colour on black.
pub const fn on_black(colour: Colour) -> u8 {
    colour as u8
}

/// The cells of a screen: attribute in the high byte, character in the low one.
pub trait Cells {
    /// The cell at `index`, below [`CELLS`].
    fn read(&self, index: usize) -> u16;
    /// Replaces it.
    fn write(&mut self, index: usize, cell: u16);
}

/// Shows `byte` at `position` (a cell's index) in the colours `attribute`.
/// Returns where the next one goes, which is always on the screen.
pub fn put(cells: &mut impl Cells, position: usize, byte: u8, attribute: u8) -> usize {
    let column = position % COLUMNS;
    let next = match byte {
        b'\n' => position - column + COLUMNS,
        b'\r' => position - column,
        b'\t' => position + TAB - column % TAB,
        0x08 => position.saturating_sub(1),
        _ => {
            if position < CELLS {
                cells.write(position, cell(byte, attribute));
            }
            position + 1
        }
    };
    if next < CELLS {
        return next;
    }
    scroll(cells, attribute);
    (next - COLUMNS).min(CELLS - 1)
}

/// Empties the screen.
pub fn clear(cells: &mut impl Cells, attribute: u8) {
    for index in 0..CELLS {
        cells.write(index, cell(b' ', attribute));
    }
}

/// Moves every row up by one and empties the last.
fn scroll(cells: &mut impl Cells, attribute: u8) {
    for index in COLUMNS..CELLS {
        let moved = cells.read(index);
        cells.write(index - COLUMNS, moved);
    }
    for index in CELLS - COLUMNS..CELLS {
        cells.write(index, cell(b' ', attribute));
    }
}

const fn cell(byte: u8, attribute: u8) -> u16 {
    (attribute as u16) << 8 | byte as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    struct Memory(Vec<u16>);

    impl Memory {
        fn new() -> Self {
            let mut memory = Self(std::vec![0; CELLS]);
            clear(&mut memory, 7);
            memory
        }
        fn show(&mut self, mut position: usize, text: &str) -> usize {
            for byte in text.bytes() {
                position = put(self, position, byte, 7);
            }
            position
        }
        fn row(&self, row: usize) -> String {
            let cells = &self.0[row * COLUMNS..][..COLUMNS];
            let text: String = cells.iter().map(|cell| char::from(*cell as u8)).collect();
            text.trim_end().into()
        }
    }

    impl Cells for Memory {
        fn read(&self, index: usize) -> u16 {
            self.0[index]
        }
        fn write(&mut self, index: usize, cell: u16) {
            self.0[index] = cell;
        }
    }

    #[test]
    fn text_wraps_at_the_edge_and_newline_starts_a_row() {
        let mut screen = Memory::new();
        let end = screen.show(78, "abc\nd\te");
        assert_eq!(
            (screen.row(1), screen.row(2)),
            ("c".into(), "d       e".into())
        );
        assert_eq!(end, 2 * COLUMNS + 9);
    }

    #[test]
    fn the_screen_scrolls_when_the_last_row_is_full() {
        let mut screen = Memory::new();
        let end = screen.show((ROWS - 2) * COLUMNS, "one\ntwo\nthree");
        assert_eq!(screen.row(ROWS - 3), "one");
        assert_eq!(screen.row(ROWS - 1), "three");
        assert_eq!(end, (ROWS - 1) * COLUMNS + 5);
    }

    #[test]
    fn backspace_space_backspace_erases() {
        let mut screen = Memory::new();
        assert_eq!(screen.show(0, "ab\x08 \x08"), 1);
        assert_eq!(screen.row(0), "a");
        assert_eq!(screen.show(0, "\x08"), 0);
    }

    #[test]
    fn a_character_keeps_its_colour() {
        let mut screen = Memory::new();
        put(&mut screen, 0, b'x', on_black(Colour::Yellow));
        assert_eq!(screen.0[0], 0x0E78);
    }

    proptest! {
        #[test]
        fn the_cursor_never_leaves_the_screen(start in 0..CELLS, bytes: Vec<u8>) {
            let mut screen = Memory::new();
            let mut position = start;
            for byte in bytes {
                position = put(&mut screen, position, byte, 7);
                prop_assert!(position < CELLS);
            }
        }
    }
}
