//! The person's terminal during an interactive run.
//!
//! Keys reach the guest one by one, Ctrl-C included, so the terminal's own
//! line editing and signals are off, and are put back on every way out.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};

use nix::sys::termios::{
    InputFlags, LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};

/// Ctrl-], the first key of what the person says to the tool.
const ATTENTION: u8 = 0x1d;

/// The settings to go back to, for the panic hook as well.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal in raw mode, until this is dropped.
pub struct RawTerminal(());

impl RawTerminal {
    /// Whether a person sits at both ends.
    pub fn is_there() -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// Switches the terminal. Output is left cooked, so that a plain newline
    /// still starts a line.
    pub fn enter() -> io::Result<RawTerminal> {
        let saved = tcgetattr(io::stdin())?;
        let mut raw = saved.clone();
        raw.local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG | LocalFlags::IEXTEN);
        raw.input_flags
            .remove(InputFlags::ICRNL | InputFlags::INLCR | InputFlags::IXON | InputFlags::ISTRIP);
        raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        Ok(RawTerminal(()))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back if it is in raw mode.
pub fn restore() {
    if let Some(saved) = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Nothing is left to try if this fails: the terminal is gone.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &saved);
    }
}

/// Finds what is meant for the tool among the keys: `q` right after Ctrl-]. The
/// machine gets the Ctrl-] at once, since there it may open a console.
#[derive(Debug, Default)]
pub struct Keyboard {
    attention: bool,
}

impl Keyboard {
    /// Takes keys, adds what the machine gets to `passed`; true to quit.
    pub fn feed(&mut self, keys: &[u8], passed: &mut impl Extend<u8>) -> bool {
        for &key in keys {
            if self.attention && key == b'q' {
                return true;
            }
            self.attention = key == ATTENTION;
            passed.extend([key]);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut keyboard = Keyboard::default();
        let mut passed = Vec::new();
        let quit = pieces.iter().any(|piece| keyboard.feed(piece, &mut passed));
        (passed, quit)
    }

    #[test]
    fn control_c_and_a_lone_q_go_to_the_guest() {
        assert_eq!(feed(&[b"q\x03q"]), (b"q\x03q".to_vec(), false));
    }

    #[test]
    fn the_quit_keys_quit_also_when_they_come_apart() {
        assert_eq!(feed(&[b"ab\x1d", b"q"]), (b"ab\x1d".to_vec(), true));
    }

    #[test]
    fn attention_goes_to_the_machine_without_waiting_for_another_key() {
        assert_eq!(feed(&[b"\x1d"]), (b"\x1d".to_vec(), false));
        assert_eq!(feed(&[b"\x1dm", b"q"]), (b"\x1dmq".to_vec(), false));
    }
}
