//! The machine's screen: 80 by 25 characters, shown on whatever surface there is.
//!
//! A VM's text page and the VMM's own log are both [`Page`]s. A [`Painter`] knows what the
//! surface shows and draws what changed. The surface is the VGA's text memory ([`vga_text`]), or
//! pixels ([`framebuffer`]), or there is none.

mod font;
pub mod framebuffer;
pub mod vga_text;

use spin::Mutex;

use super::scroll::Scroll;
use framebuffer::Framebuffer;
use vga_text::VgaText;

/// Characters in a row.
pub const COLUMNS: usize = 80;
/// Rows on the screen.
pub const ROWS: usize = 25;
/// Characters on the screen.
pub const CELLS: usize = COLUMNS * ROWS;

/// A character and its colours, as the VGA's text memory has them: code page 437 in the low
/// byte, attribute (blink, background, foreground) in the high byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Cell(pub u16);

impl Cell {
    /// A blank in light grey on black.
    pub const BLANK: Self = Self::new(b' ', 0x07);

    /// `character` in the colours of `attribute`.
    pub const fn new(character: u8, attribute: u8) -> Self {
        Self(u16::from_le_bytes([character, attribute]))
    }

    /// Its character, in code page 437.
    pub const fn character(self) -> u8 {
        self.0 as u8
    }
}

/// A screenful of characters, row by row.
pub type Page = [Cell; CELLS];

/// What can show characters.
pub trait Surface {
    /// Shows `cell` at place `index`, below [`CELLS`].
    fn draw(&mut self, index: usize, cell: Cell);
    /// Shows the cursor at place `at`, below [`CELLS`], or nowhere.
    fn place_cursor(&mut self, at: Option<usize>);
}

/// A surface and what it shows.
#[derive(Debug)]
pub struct Painter<S> {
    surface: S,
    shown: Option<Page>,
    cursor: Option<usize>,
}

impl<S: Surface> Painter<S> {
    /// A painter who does not know yet what `surface` shows.
    pub const fn new(surface: S) -> Self {
        Self {
            surface,
            shown: None,
            cursor: None,
        }
    }

    /// Makes the surface show `page`, and the cursor at place `cursor`; a cursor off the page is
    /// none.
    pub fn paint(&mut self, page: &Page, cursor: Option<usize>) {
        let cursor = cursor.filter(|at| *at < CELLS);
        let fresh = self.shown.is_none();
        let shown = self.shown.get_or_insert(*page);
        for (index, (new, old)) in page.iter().zip(shown).enumerate() {
            if fresh || *new != *old {
                self.surface.draw(index, *new);
                *old = *new;
            }
        }
        if fresh || self.cursor != cursor {
            self.surface.place_cursor(cursor);
            self.cursor = cursor;
        }
    }
}

/// What the machine shows characters on.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, in a static, and nowhere to put a part of it"
)]
pub enum Output {
    /// The VGA in text mode.
    Text(VgaText),
    /// Pixels.
    Pixels(Framebuffer),
}

impl Surface for Output {
    fn draw(&mut self, index: usize, cell: Cell) {
        match self {
            Self::Text(text) => text.draw(index, cell),
            Self::Pixels(pixels) => pixels.draw(index, cell),
        }
    }

    fn place_cursor(&mut self, at: Option<usize>) {
        match self {
            Self::Text(text) => text.place_cursor(at),
            Self::Pixels(pixels) => pixels.place_cursor(at),
        }
    }
}

/// The screen of the machine that the VMM runs on.
pub static SCREEN: Mutex<Screen<Output>> = Mutex::new(Screen::new());

/// What the screen is used for: the VMM's log, or a VM's page.
#[derive(Debug)]
pub struct Screen<S> {
    painter: Option<Painter<S>>,
    log: Scroll,
    /// How many pages before its end the log is shown.
    back: usize,
    lent: bool,
}

impl<S: Surface> Screen<S> {
    /// No screen: the log is kept, and shown once a surface is attached.
    pub const fn new() -> Self {
        Self {
            painter: None,
            log: Scroll::new(),
            back: 0,
            lent: false,
        }
    }

    /// Shows everything on `surface` from now on.
    pub fn attach(&mut self, surface: S) {
        self.painter = Some(Painter::new(surface));
        self.show_log();
    }

    /// Shows a VM's page. From now on the log is kept, but not shown.
    pub fn show_page(&mut self, page: &Page, cursor: Option<usize>) {
        self.lent = true;
        if let Some(painter) = &mut self.painter {
            painter.paint(page, cursor);
        }
    }

    /// Shows the end of the log, from now on.
    pub fn show_log(&mut self) {
        self.lent = false;
        self.back = 0;
        if let Some(painter) = &mut self.painter {
            painter.paint(self.log.page(0), Some(self.log.cursor()));
        }
    }

    /// Shows the log a page further back than it is shown, and after its first page its end again.
    pub fn turn_log_back(&mut self) {
        if self.lent || !self.log.has_page(self.back + 1) {
            self.show_log();
            return;
        }
        self.back += 1;
        if let Some(painter) = &mut self.painter {
            painter.paint(self.log.page(self.back), None);
        }
    }

    /// The rows of the log that are shown, as far as there is text in them, and how many pages
    /// before its end they are.
    pub fn log_rows(&self) -> (usize, impl Iterator<Item = &[Cell]>) {
        let page = self.log.page(self.back);
        let is_text = |cell: &Cell| *cell != Cell::BLANK;
        let end = page.iter().rposition(is_text).map_or(0, |last| last + 1);
        (self.back, page[..end].chunks(COLUMNS))
    }

    /// Adds text to the log. It appears once its line is complete.
    pub(super) fn log(&mut self, text: &[u8]) {
        self.log.write(text);
        if !self.lent && text.ends_with(b"\n") {
            self.show_log();
        }
    }
}

impl<S: Surface> Default for Screen<S> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    struct Paper {
        page: Page,
        cursor: Option<usize>,
        drawn: usize,
    }

    impl Default for Paper {
        fn default() -> Self {
            Self {
                page: [Cell(0xDEAD); CELLS],
                cursor: Some(77),
                drawn: 0,
            }
        }
    }

    impl Surface for Paper {
        fn draw(&mut self, index: usize, cell: Cell) {
            self.page[index] = cell;
            self.drawn += 1;
        }
        fn place_cursor(&mut self, at: Option<usize>) {
            self.cursor = at;
        }
    }

    #[test]
    fn the_first_page_is_drawn_whole_and_then_only_changes() {
        let mut painter = Painter::new(Paper::default());
        let mut page = [Cell::BLANK; CELLS];
        painter.paint(&page, None);
        assert_eq!(
            (painter.surface.drawn, painter.surface.cursor),
            (CELLS, None)
        );
        page[1999] = Cell::new(b'x', 0x4F);
        painter.paint(&page, Some(CELLS));
        assert_eq!(
            (painter.surface.drawn, painter.surface.cursor),
            (CELLS + 1, None)
        );
        painter.paint(&page, Some(3));
        assert_eq!(
            (painter.surface.drawn, painter.surface.cursor),
            (CELLS + 1, Some(3))
        );
    }

    proptest! {
        #[test]
        fn the_surface_shows_the_last_page(edits in prop::collection::vec((0..CELLS, any::<u16>(), any::<bool>()), 0..40)) {
            let mut painter = Painter::new(Paper::default());
            let mut page = [Cell::BLANK; CELLS];
            painter.paint(&page, Some(0));
            for (index, cell, paint) in edits {
                page[index] = Cell(cell);
                if paint {
                    painter.paint(&page, Some(index));
                    prop_assert!(painter.surface.page == page);
                    prop_assert_eq!(painter.surface.cursor, Some(index));
                }
            }
        }
    }

    #[test]
    fn a_lent_screen_shows_the_log_only_when_it_comes_back() {
        let mut screen = Screen::new();
        screen.log(b"early\n");
        screen.attach(Paper::default());
        let first = |screen: &Screen<Paper>, row: usize| -> Vec<u8> {
            let page = &screen.painter.as_ref().unwrap().surface.page;
            page[row * COLUMNS..][..5]
                .iter()
                .map(|cell| cell.0 as u8)
                .collect()
        };
        assert_eq!(first(&screen, 0), b"early");
        screen.show_page(&[Cell::new(b'V', 7); CELLS], None);
        screen.log(b"later\n");
        assert_eq!(first(&screen, 1), b"VVVVV");
        screen.show_log();
        assert_eq!(first(&screen, 1), b"later");
    }

    #[test]
    fn the_whole_log_can_be_seen_page_by_page() {
        let mut screen = Screen::new();
        screen.attach(Paper::default());
        for number in 0..50 {
            screen.log(format!("{number:02}\n").as_bytes());
        }
        let mut firsts = Vec::new();
        for _ in 0..3 {
            let page = &screen.painter.as_ref().unwrap().surface.page;
            firsts.push([page[0].0 as u8, page[1].0 as u8]);
            screen.turn_log_back();
        }
        assert_eq!(firsts, [*b"25", *b"00", *b"25"]);
        let (back, rows) = screen.log_rows();
        assert_eq!(
            (back, rows.map(|row| row[1].0 as u8).collect()),
            (1, b"0123456789012345678901234".to_vec())
        );
        screen.turn_log_back();
        screen.log(b"new\n");
        assert_eq!(screen.back, 0, "what is new is shown");
    }
}
