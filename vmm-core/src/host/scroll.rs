//! Text that scrolls: the VMM's log, as pages for the screen.

use super::screen::{CELLS, COLUMNS, Cell, Page, ROWS};

/// Rows that are kept: the last eight pages.
const KEPT: usize = 8 * ROWS;

/// Rows of text that grow at their end, and lose the first when there is no room.
#[derive(Debug)]
pub struct Scroll {
    rows: [Cell; KEPT * COLUMNS],
    /// Where the next character goes; behind the rows when the first must go before.
    at: usize,
    /// The last character filled its row, so a newline has nothing more to end.
    row_full: bool,
}

impl Scroll {
    /// No text.
    pub const fn new() -> Self {
        Self {
            rows: [Cell::BLANK; KEPT * COLUMNS],
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
        self.rows[self.at] = Cell::new(character, 0x07);
        self.at += 1;
        self.row_full = self.at.is_multiple_of(COLUMNS);
    }

    /// Loses the first row if the last is full: then `at` is in a row.
    fn make_room(&mut self) {
        if self.at >= self.rows.len() {
            self.rows.copy_within(COLUMNS.., 0);
            self.at = self.rows.len() - COLUMNS;
            self.rows[self.at..].fill(Cell::BLANK);
        }
    }

    /// The first row of the last page.
    const fn last_page(&self) -> usize {
        self.at.div_ceil(COLUMNS).saturating_sub(ROWS)
    }

    /// Whether there is text before the page that is `back` - 1 pages before the last.
    pub const fn has_page(&self, back: usize) -> bool {
        back == 0 || (back - 1).saturating_mul(ROWS) < self.last_page()
    }

    /// The page that is so many pages before the last, or the first.
    pub fn page(&self, back: usize) -> &Page {
        let row = self.last_page().saturating_sub(back.saturating_mul(ROWS));
        let rest = self.rows.get(row * COLUMNS..).unwrap_or_default();
        rest.first_chunk().unwrap_or(&BLANK)
    }

    /// Where on the last page the next character goes; off it when it must scroll first.
    pub const fn cursor(&self) -> usize {
        self.at - self.last_page() * COLUMNS
    }
}

static BLANK: Page = [Cell::BLANK; CELLS];

impl Default for Scroll {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    fn rows(scroll: &Scroll) -> Vec<String> {
        rows_of(scroll.page(0))
    }

    fn rows_of(page: &Page) -> Vec<String> {
        let text = |row: &[Cell]| {
            row.iter()
                .map(|cell| char::from(cell.0 as u8))
                .collect::<String>()
        };
        page.chunks(COLUMNS)
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

    #[test]
    fn earlier_pages_are_kept_until_there_is_no_room() {
        let mut scroll = Scroll::new();
        assert!(scroll.has_page(0) && !scroll.has_page(1));
        let line = |scroll: &mut Scroll, number: usize| {
            scroll.write(format!("line {number}\n").as_bytes());
        };
        (0..60).for_each(|number| line(&mut scroll, number));
        let first = |scroll: &Scroll, back| rows_of(scroll.page(back))[0].clone();
        let firsts = [0, 1, 2, 3].map(|back| first(&scroll, back));
        assert_eq!(firsts, ["line 35", "line 10", "line 0", "line 0"]);
        assert!(scroll.has_page(2) && !scroll.has_page(3));
        (60..1000).for_each(|number| line(&mut scroll, number));
        assert_eq!(first(&scroll, 7), "line 800");
        assert!(scroll.has_page(7) && !scroll.has_page(8));
        assert_eq!(first(&scroll, usize::MAX), "line 800");
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
