//! What characters look like in pixels: Spleen, 8 by 16, in the order of code page 437.
//!
//! The font file is in PSF version 1: a header of 4 bytes, then 16 bytes a character, a byte a
//! row, the leftmost pixel in the highest bit.

/// Pixels in a character's row.
pub const WIDTH: usize = 8;
/// Rows of a character.
pub const HEIGHT: usize = 16;

const HEADER: usize = 4;
const FILE: &[u8] = spleen_font::FONT_8X16;

const _: () = {
    let [a, b, _, height, ..] = *FILE else {
        panic!("a header")
    };
    assert!(a == 0x36 && b == 0x04 && height as usize == HEIGHT);
    assert!(FILE.len() >= HEADER + 256 * HEIGHT);
};

/// The rows of `character`, of code page 437, from the top.
pub fn rows(character: u8) -> &'static [u8] {
    let start = HEADER + usize::from(character) * HEIGHT;
    FILE.get(start..start + HEIGHT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_code_page_437() {
        assert_eq!(rows(b' '), [0; HEIGHT]);
        // A full block, its upper half, and two lines that cross.
        assert_eq!(rows(0xDB), [0xFF; HEIGHT]);
        assert_eq!(rows(0xDF)[..8], [0xFF; 8]);
        assert_eq!(rows(0xDF)[8..], [0; 8]);
        assert!(rows(0xC5).contains(&0xFF));
        let ink = |character| {
            rows(character)
                .iter()
                .map(|row| row.count_ones())
                .sum::<u32>()
        };
        assert!(ink(b'.') < ink(b'i') && ink(b'i') < ink(b'M'));
    }
}
