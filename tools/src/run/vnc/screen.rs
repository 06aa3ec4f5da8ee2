//! What a VNC server shows, kept up to date: it sends changes whether they are asked for or not.

use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a server sends of the screen; of all else it says, Bochs says nothing.
const FRAMEBUFFER_UPDATE: u8 = 0;
/// The pixels as they are, the encoding that needs no agreement.
const RAW: u32 = 0;

/// The screen as it was last sent.
pub struct Screen {
    width: usize,
    height: usize,
    colours: [Colour; 3],
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// Where a primary colour is in a pixel, and what its most is.
#[derive(Clone, Copy)]
struct Colour {
    most: u8,
    shift: u8,
}

struct Seen {
    pixels: Vec<u8>,
    /// How often all of it came at once.
    wholes: u64,
    /// No more will come.
    is_over: bool,
}

impl Screen {
    /// The screen that a server describes before all else: width, height and pixel format.
    ///
    /// # Errors
    /// It is one of more than 8 bits a pixel, which Bochs' never is.
    pub fn of_server(description: &[u8; 20]) -> io::Result<Screen> {
        let word = |at: usize| u16::from_be_bytes([description[at], description[at + 1]]);
        let [bits, shifts @ ..] = [4, 14, 15, 16].map(|at: usize| description[at]);
        let mosts = [8, 10, 12].map(word);
        if bits != 8 || mosts.iter().any(|most| !(1..256).contains(most)) {
            return Err(io::Error::other("Bochs shows pixels of other than 8 bits"));
        }
        let (width, height) = (word(0).into(), word(2).into());
        let colour = |index: usize| Colour {
            most: mosts[index] as u8,
            shift: shifts[index] & 7,
        };
        Ok(Screen {
            width,
            height,
            colours: [0, 1, 2].map(colour),
            seen: Mutex::new(Seen {
                pixels: vec![0; width * height],
                wholes: 0,
                is_over: false,
            }),
            changed: Condvar::new(),
        })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Follows what the server sends, until it ends or says what is not understood.
    pub fn follow(&self, line: impl Read) {
        // Why it ended is of no use: whoever wants a picture learns that there is none.
        let _ = self.read_on(io::BufReader::new(line));
        self.seen().is_over = true;
        self.changed.notify_all();
    }

    fn read_on(&self, mut line: impl Read) -> io::Result<()> {
        loop {
            let [kind, _, count @ ..] = array::<4>(&mut line)?;
            if kind != FRAMEBUFFER_UPDATE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            for _ in 0..u16::from_be_bytes(count) {
                self.read_rectangle(&mut line)?;
            }
        }
    }

    fn read_rectangle(&self, line: &mut impl Read) -> io::Result<()> {
        let head = array::<12>(line)?;
        let [x, y, width, height] =
            [0, 2, 4, 6].map(|at| usize::from(u16::from_be_bytes([head[at], head[at + 1]])));
        let encoding = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let fits = x + width <= self.width && y + height <= self.height;
        if encoding != RAW || !fits {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut new = vec![0; width * height];
        line.read_exact(&mut new)?;
        let mut seen = self.seen();
        for (row, line) in new.chunks_exact(width.max(1)).enumerate() {
            let start = (y + row) * self.width + x;
            seen.pixels[start..start + width].copy_from_slice(line);
        }
        if (width, height) == self.size() {
            seen.wholes += 1;
        }
        self.changed.notify_all();
        Ok(())
    }

    /// The picture (a PPM file), as soon as `ask` was answered with all of the screen.
    pub fn picture(
        &self,
        ask: impl FnOnce() -> io::Result<()>,
        patience: Duration,
    ) -> io::Result<Vec<u8>> {
        let end = Instant::now() + patience;
        let before = self.seen().wholes;
        ask()?;
        let mut seen = self.seen();
        while seen.wholes == before {
            let left = end.saturating_duration_since(Instant::now());
            if seen.is_over || left.is_zero() {
                return Err(io::Error::other("Bochs does not show its screen"));
            }
            let waited = self.changed.wait_timeout(seen, left);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut file = format!("P6\n{} {}\n255\n", self.width, self.height).into_bytes();
        file.extend(seen.pixels.iter().flat_map(|pixel| {
            self.colours.map(|Colour { most, shift }| {
                let part = u16::from(pixel >> shift & most);
                (part * 255 / u16::from(most)) as u8
            })
        }));
        Ok(file)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn array<const N: usize>(line: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    line.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Two pixels in a row, in Bochs' colours.
    pub const SMALL: [u8; 20] = [0, 2, 0, 1, 8, 8, 1, 1, 0, 7, 0, 7, 0, 3, 0, 3, 6, 0, 0, 0];

    fn update(x: u8, pixels: &[u8]) -> Vec<u8> {
        let mut message = vec![FRAMEBUFFER_UPDATE, 0, 0, 1, 0, x, 0, 0];
        message.extend([0, pixels.len() as u8, 0, 1, 0, 0, 0, 0]);
        message.extend(pixels);
        message
    }

    fn shown(messages: &[u8]) -> io::Result<Vec<u8>> {
        let screen = Screen::of_server(&SMALL)?;
        let answer = || {
            screen.follow(messages);
            Ok(())
        };
        screen.picture(answer, Duration::from_secs(10))
    }

    #[test]
    fn the_picture_is_what_was_sent_last() {
        let messages = [update(0, &[0x07, 0x38]), update(1, &[0xC0])].concat();
        let picture = shown(&messages).expect("a picture");
        assert_eq!(picture, b"P6\n2 1\n255\n\xff\x00\x00\x00\x00\xff");
    }

    #[test]
    fn a_part_is_no_answer_and_what_is_not_understood_ends_it() {
        for messages in [update(1, &[0]), update(1, &[0, 0]), vec![9; 40], vec![]] {
            assert!(shown(&messages).is_err(), "{messages:?}");
        }
    }

    #[test]
    fn other_pixels_than_bochs_are_refused() {
        let mut wide = SMALL;
        wide[4] = 32;
        assert!(Screen::of_server(&wide).is_err());
        let mut without_blue = SMALL;
        without_blue[13] = 0;
        assert!(Screen::of_server(&without_blue).is_err());
    }
}
