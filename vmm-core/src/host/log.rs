//! What the VMM tells people: on COM1, and on its own screen.
//!
//! The macros [`error!`](crate::error), [`warn!`](crate::warn), [`info!`](crate::info) and
//! [`debug!`](crate::debug) write one line each. Not for the way from #VMEXIT to VMRUN: a line
//! costs a millisecond on a real serial port. Not for interrupt gates: the locks may be held.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, Ordering};

use heapless::String;
use spin::Mutex;

use super::lines::{Lines, Speaker};
use super::screen::{COLUMNS, SCREEN};
use super::serial::{COM1, COM2};
use crate::journal;

/// How much a line matters; the order of the log's levels, loudest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something broke.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What happens, for everyone.
    Info,
    /// What happens, for whoever looks for a fault.
    Debug,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static LINES: Mutex<Lines> = Mutex::new(Lines::new());

/// Shows lines of `level` and louder from now on.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether a line of `level` would be shown.
#[inline]
pub fn shows(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Writes a line, if its level is shown. The macros call this.
pub fn line(level: Level, text: fmt::Arguments<'_>) {
    if !shows(level) || journal::is_replay() {
        return;
    }
    let mark = match level {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info => "",
        Level::Debug => "debug: ",
    };
    say(format_args!("{mark}{text}"));
}

/// Writes a line that a person has asked for, whatever the level.
pub fn say(text: fmt::Arguments<'_>) {
    // The writer has no errors, and what `text` shows has its say in what it writes alone.
    let _ = writeln!(Voice, "{text}");
}

/// Writes what the guest of the VM `name` sent over its serial port, as it comes.
pub fn guest(name: &'static str, bytes: &[u8]) {
    if journal::said(bytes) {
        return;
    }
    let mut com1 = COM1.lock();
    LINES
        .lock()
        .say(Speaker::Guest(name), bytes, |part| com1.write(part));
}

/// Turns the log back by a page, on the screen and on COM1, where the page's lines come once more
/// and are marked as such.
pub fn turn_back() {
    let mut screen = SCREEN.lock();
    screen.turn_log_back();
    let (mut com1, mut lines) = (COM1.lock(), LINES.lock());
    let mut say = |text: &[u8]| lines.say(Speaker::Log, text, |part| com1.write(part));
    let (back, rows) = screen.log_rows();
    let mut heading = String::<40>::new();
    // It fits: there are eight pages.
    let _ = match back {
        0 => write!(heading, "the end of the log"),
        pages => write!(heading, "{pages} before the last page"),
    };
    say(heading.as_bytes());
    say(b"\n");
    for row in rows {
        let mut characters = [b' '; COLUMNS];
        for (character, cell) in characters.iter_mut().zip(row) {
            *character = cell.character();
        }
        say(characters.trim_ascii_end());
        say(b"\n");
    }
}

/// The VMM's voice.
struct Voice;

impl Write for Voice {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut com1 = COM1.lock();
        LINES
            .lock()
            .say(Speaker::Vmm, text.as_bytes(), |part| com1.write(part));
        SCREEN.lock().log(text.as_bytes());
        Ok(())
    }
}

/// Opens the locks of the log, the screen and the serial lines, whoever holds them.
///
/// # Safety
/// Whoever holds one never runs again: for a panic's last words alone.
pub unsafe fn break_locks() {
    // SAFETY: the caller vouches that no holder comes back.
    unsafe {
        COM1.force_unlock();
        COM2.force_unlock();
        LINES.force_unlock();
        SCREEN.force_unlock();
    }
}

/// Logs that something broke.
#[macro_export]
macro_rules! error {
    ($($text:tt)*) => { $crate::host::log::line($crate::host::log::Level::Error, format_args!($($text)*)) };
}

/// Logs that something is not as it should be.
#[macro_export]
macro_rules! warn {
    ($($text:tt)*) => { $crate::host::log::line($crate::host::log::Level::Warn, format_args!($($text)*)) };
}

/// Logs what happens, for everyone.
#[macro_export]
macro_rules! info {
    ($($text:tt)*) => { $crate::host::log::line($crate::host::log::Level::Info, format_args!($($text)*)) };
}

/// Logs what happens, for whoever looks for a fault.
#[macro_export]
macro_rules! debug {
    ($($text:tt)*) => { $crate::host::log::line($crate::host::log::Level::Debug, format_args!($($text)*)) };
}
