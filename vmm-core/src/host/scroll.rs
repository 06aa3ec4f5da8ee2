//! Text that scrolls: the last 25 rows of the VMM's log, as a page for the screen.

use super::screen::{CELLS, COLUMNS, Cell, Page};

/// A page that grows at its end and loses its first row when it is full.
#[derive(Debug)]
pub struct Scroll {
    page: Page,
    /// Where the next character goes; [`CELLS`] when the page must scroll first.
    at: usize,
    /// The last character filled its row, so a newline has nothing more to end.
    row_full: bool,
}

impl Scroll {
    /// An empty page.
    pub const fn new() -> Self {
        Self {
            page: [Cell::BLANK; CELLS],
            at: 0,
            row_full: false,
        }
    }

    /// Adds text: ASCII, with newlines. A row that is full goes on in the next; other bytes
    /// show as question marks.
    pub fn write(&mut self, text: &[u8]) {
        for &byte in text {
            match byte {
                b'\n' => self.new_row(),
                b' '..=b'~' => self.put(byte),
                _ => self.put(b'?'),
            }
        }
    }

    fn new_row(&mut self) {
        if !core::mem::take(&mut self.row_full) {
            self.make_room();
            self.at += COLUMNS - self.at % COLUMNS;
        }
    }

    fn put(&mut self, character: u8) {
        self.make_room();
        self.page[self.at] = Cell::new(character, 0x07);
        self.at += 1;
        self.row_full = self.at.is_multiple_of(COLUMNS);
    }

    /// Scrolls if the page is full: then `at` is on it.
    fn make_room(&mut self) {
        if self.at >= CELLS {
            self.page.copy_within(COLUMNS.., 0);
            self.page[CELLS - COLUMNS..].fill(Cell::BLANK);
            self.at = CELLS - COLUMNS;
        }
    }

    /// What the text looks like.
    pub const fn page(&self) -> &Page {
        &self.page
    }

    /// Where the next character goes; off the page when it must scroll first.
    pub const fn cursor(&self) -> usize {
        self.at
    }
}

impl Default for Scroll {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::screen::ROWS;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    fn rows(scroll: &Scroll) -> Vec<String> {
        let text = |row: &[Cell]| {
            row.iter()
                .map(|cell| char::from(cell.0 as u8))
                .collect::<String>()
        };
        scroll
            .page()
            .chunks(COLUMNS)
            .map(|row| text(row).trim_end().to_owned())
            .collect()
    }

    #[test]
    fn the_last_line_stays_on_the_page() {
        let mut scroll = Scroll::new();
        for number in 0..30 {
            scroll.write(format!("line {number}\n").as_bytes());
        }
        assert_eq!(rows(&scroll)[0], "line 5");
        assert_eq!(rows(&scroll)[24], "line 29");
    }

    #[test]
    fn long_lines_wrap_and_strange_bytes_show() {
        let mut scroll = Scroll::new();
        scroll.write(&[b'x'; COLUMNS]);
        scroll.write(b"y\x07\xFF");
        assert_eq!(rows(&scroll)[1], "y??");
    }

    #[test]
    fn a_newline_after_a_full_row_adds_no_empty_one() {
        let mut scroll = Scroll::new();
        scroll.write(&[b'x'; COLUMNS]);
        scroll.write(b"\ny\n\nz");
        assert_eq!(rows(&scroll)[1..4], ["y", "", "z"]);
        // The row after the last newline only appears with something on it.
        scroll.write(&[b'\n'; ROWS]);
        assert_eq!(rows(&scroll)[0], "z");
        scroll.write(b"\n");
        assert_eq!(rows(&scroll)[0], "");
    }

    proptest! {
        #[test]
        fn the_page_holds_the_end_of_the_text(lines in prop::collection::vec("[a-z]{1,80}", 1..60)) {
            let mut scroll = Scroll::new();
            for line in &lines {
                scroll.write(line.as_bytes());
                scroll.write(b"\n");
            }
            let kept = lines.len().min(ROWS);
            prop_assert_eq!(&rows(&scroll)[..kept], &lines[lines.len() - kept..]);
        }
    }
}
