//! The VGA's text memory as text.

use std::path::Path;

/// Where it is in physical memory.
pub const TEXT_MEMORY: u64 = 0xb_8000;
/// Characters in a row.
const COLUMNS: usize = 80;
/// A screen of 25 rows: character and attribute for each place.
pub const TEXT_BYTES: u64 = 2 * 80 * 25;

/// Whether a screen that is saved to this file is saved as text, and not as a picture.
pub fn is_text(file: &Path) -> bool {
    file.extension().is_some_and(|kind| kind == "txt")
}

/// The rows of a screen, 80 characters each. What is not ASCII is a question mark.
pub fn rows(memory: &[u8]) -> Vec<String> {
    let character = |byte: &u8| match byte {
        0 => ' ',
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    let rows = memory.chunks(2 * COLUMNS);
    rows.map(|cells| cells.iter().step_by(2).map(character).collect())
        .collect()
}

/// The rows as lines without the blanks at their ends.
pub fn text(rows: &[String]) -> String {
    rows.iter()
        .map(|row| format!("{}\n", row.trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_without_their_colours_and_the_blanks_at_their_ends() {
        let mut memory = [0x20, 0x07].repeat(160);
        memory[0] = b'h';
        memory[2] = b'i';
        memory[4] = 0;
        memory[6] = 0xdb;
        memory[160 + 2] = b'x';
        assert_eq!(text(&rows(&memory)), "hi ?\n x\n");
    }
}
