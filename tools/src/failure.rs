//! Why a command failed: the text for the person, and the exit status.
//!
//! The statuses are the command line's contract; the README lists them.

use std::fmt;
use std::process::ExitCode;

/// The exit status of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Every VM ended well, or `--until` matched (0).
    Good,
    /// A VM crashed, or the policy stopped it, or a test failed (1).
    GuestFailed,
    /// The command line or vm.toml is wrong (2).
    BadInput,
    /// Set-up or a build failed, or the machine lacks what the policy needs (3).
    Unavailable,
    /// The VMM panicked, or the emulator died (4).
    HostFailed,
    /// All VMs ended before `--until` matched (5).
    UntilUnmatched,
    /// `--timeout` passed (124).
    TimedOut,
    /// Ended from outside by this signal (128 + its number; Ctrl-C is 130).
    Signalled(u8),
}

impl Status {
    /// Ended by a person: Ctrl-C, or `Ctrl-] q` on a terminal.
    pub const INTERRUPTED: Status = Status::Signalled(2);

    /// The number that the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Status::Good => 0,
            Status::GuestFailed => 1,
            Status::BadInput => 2,
            Status::Unavailable => 3,
            Status::HostFailed => 4,
            Status::UntilUnmatched => 5,
            Status::TimedOut => 124,
            Status::Signalled(signal) => 128 | signal,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(status.code())
    }
}

/// A failure: `message` says what is wrong, where, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    /// What the process exits with.
    pub status: Status,
    /// The text after `error: `; may have several lines.
    pub message: String,
}

impl Failure {
    /// The person's input is wrong (exit status 2).
    pub fn bad_input(message: impl Into<String>) -> Failure {
        Failure {
            status: Status::BadInput,
            message: message.into(),
        }
    }

    /// Something that the command needs cannot be had (exit status 3).
    pub fn unavailable(message: impl Into<String>) -> Failure {
        Failure {
            status: Status::Unavailable,
            message: message.into(),
        }
    }

    /// The emulator failed (exit status 4).
    pub fn host(message: impl Into<String>) -> Failure {
        Failure {
            status: Status::HostFailed,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Failure>;

/// Says what was being done when the system refused.
pub trait Doing<T> {
    /// Turns a system error into a [`Failure`] with exit status 3.
    /// `what` completes "cannot ...".
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::unavailable(format!("cannot {}: {error}", what())))
    }
}
