//! The signals that end a run, as something to wait for.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Ctrl-C, `kill`, a terminal that goes away, Ctrl-\.
const ENDING: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// While this lives, the calling thread takes these signals here instead of
/// dying of them. A child process starts with none of them held back.
pub struct Signals {
    held_back: SigSet,
    waiting: SignalFd,
}

impl Signals {
    /// Starts to hold them back.
    pub fn hold_back() -> nix::Result<Signals> {
        let held_back: SigSet = ENDING.into_iter().collect();
        let waiting =
            SignalFd::with_flags(&held_back, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        held_back.thread_block()?;
        Ok(Signals { held_back, waiting })
    }

    /// The number of a signal that came.
    pub fn take(&self) -> Option<u8> {
        let signal = self.waiting.read_signal().ok()??;
        u8::try_from(signal.ssi_signo).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waiting.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Cannot fail: the set is valid.
        let _ = self.held_back.thread_unblock();
    }
}
