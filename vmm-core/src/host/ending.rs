//! The VMM's last words, and its status: what a run of it came to.

use core::fmt::Display;
use core::sync::atomic::{AtomicBool, Ordering};

use super::backtrace::Backtrace;
use super::keyboard::Keyboard;
use super::ports::Hardware;
use super::screen::SCREEN;
use super::serial::{COM1, COM2};
use super::{log, power, record, tsc};
use crate::error;

/// What a run came to, for whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Every VM ended well.
    Good = 0,
    /// A VM crashed, or the policy stopped one.
    Bad = 1,
    /// The machine lacks what the policy needs.
    Refused = 3,
    /// The VMM itself broke.
    Panicked = 4,
}

/// Ends after the last VM: the last record, then power off.
pub fn done(status: Status) -> ! {
    last_record(status);
    // SAFETY: no VM is left, and nothing follows.
    unsafe { power::off(status as u8) }
}

/// Ends because this machine cannot run the policy: `reason` says what it lacks.
pub fn refused(reason: impl Display) -> ! {
    error!("{reason}");
    record::send("refused", |record| record.text("reason", &reason));
    last_record(Status::Refused);
    turn_pages(Status::Refused)
}

/// Ends because the VMM broke. `report` is one line for the record, and with `{:#}` all there is
/// to tell a person.
pub fn panicked(report: impl Display) -> ! {
    static ENDING: AtomicBool = AtomicBool::new(false);
    if !ENDING.swap(true, Ordering::Relaxed) {
        // SAFETY: whoever holds a lock was interrupted by this, and does not run again.
        unsafe { log::break_locks() }
        SCREEN.lock().show_log();
        error!("the VMM broke: {report:#}{}", Backtrace);
        record::send("panic", |record| record.text("message", &report));
        last_record(Status::Panicked);
    }
    turn_pages(Status::Panicked)
}

/// Stays, with the log on the screen, for people to read: each key that is pressed shows a page
/// before, and Esc starts the machine again. Ends where an emulator waits for the status.
fn turn_pages(status: Status) -> ! {
    const RELEASED: u8 = 1 << 7;
    const ESC: u8 = 1;
    // SAFETY: nothing follows, whatever the VMs did.
    unsafe { power::tell_emulator(status as u8) }
    // SAFETY: the keyboard's other driver does not run again.
    let mut keyboard = Keyboard::init(unsafe { Hardware::new() });
    loop {
        match keyboard.read() {
            // SAFETY: as above.
            Some(ESC) => unsafe { power::reset() },
            Some(code) if code & RELEASED == 0 => SCREEN.lock().turn_log_back(),
            _ => {}
        }
        core::hint::spin_loop();
    }
}

fn last_record(status: Status) {
    record::send("done", |record| {
        record.number("status", status as u64);
        record.number("ticks", tsc::since_entry());
    });
    for port in [&COM1, &COM2] {
        port.lock().drain();
    }
}
