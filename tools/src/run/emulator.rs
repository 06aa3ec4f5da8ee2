//! A running emulator: its lines to us, its end.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

use super::keys::Stroke;
use super::qmp::Qmp;
use super::records::{self, Record};
use super::screen;
use super::vnc::Viewer;
use crate::failure::{Doing, Failure, Result};

/// The serial lines, our ends.
pub struct Lines {
    /// What the first sends.
    pub from_com1: File,
    /// What it receives.
    pub to_com1: File,
    /// What the second has sent, from its start.
    pub com2: File,
}

/// How the emulator itself is spoken to.
pub enum Control {
    /// QEMU's control line.
    Qmp {
        /// The line.
        qmp: Qmp,
        /// It draws on this program's terminal.
        has_terminal: bool,
    },
    /// By its screen and keyboard alone. It does not end either when the VMM halts the machine, so
    /// what ends the run is the VMM's last record.
    Records {
        /// Who has screen and keyboard.
        viewer: Viewer,
        /// That record was seen.
        done: bool,
    },
}

/// An emulator, killed when this is dropped.
pub struct Emulator {
    child: Child,
    /// Its serial lines.
    pub lines: Lines,
    control: Control,
}

impl Emulator {
    /// Takes over a child process that was just started.
    pub fn new(child: Child, lines: Lines, control: Control) -> Result<Emulator> {
        // From here on the child is killed whatever happens.
        let emulator = Emulator {
            child,
            lines,
            control,
        };
        for line in [&emulator.lines.from_com1, &emulator.lines.to_com1] {
            fcntl(line, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                .doing(|| "listen to the serial line".to_string())?;
        }
        Ok(emulator)
    }

    /// Presses and releases keys.
    pub fn press(&mut self, stroke: &Stroke) -> io::Result<()> {
        match &mut self.control {
            Control::Qmp { qmp, .. } => qmp.press(stroke),
            Control::Records { viewer, .. } => viewer.press(stroke),
        }
    }

    /// Saves the screen to `file`: as text if its name ends in `.txt`, else as a picture.
    pub fn save_screen(&mut self, file: &Path) -> io::Result<()> {
        if screen::is_text(file) {
            return std::fs::write(file, screen::text(&self.screen_rows()?));
        }
        match &mut self.control {
            Control::Qmp { qmp, .. } => qmp.save_picture(&std::path::absolute(file)?),
            Control::Records { viewer, .. } => std::fs::write(file, viewer.picture()?),
        }
    }

    /// What the screen shows in text mode, row by row.
    pub fn screen_rows(&mut self) -> io::Result<Vec<String>> {
        let Control::Qmp { qmp, .. } = &mut self.control else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let copy = tempfile::NamedTempFile::new()?;
        qmp.save_memory(screen::TEXT_MEMORY, screen::TEXT_BYTES, copy.path())?;
        Ok(screen::rows(&std::fs::read(copy.path())?))
    }

    /// The control line, to wait for.
    pub fn control(&self) -> Option<BorrowedFd<'_>> {
        match &self.control {
            Control::Qmp { qmp, .. } => Some(qmp.as_fd()),
            Control::Records { .. } => None,
        }
    }

    /// Reads what the emulator said on its control line; false once it hung up.
    pub fn read_control(&mut self) -> bool {
        match &mut self.control {
            Control::Qmp { qmp, .. } => qmp.read(),
            Control::Records { .. } => true,
        }
    }

    /// Why the machine stopped, in the emulator's words, if it said so.
    pub fn shutdown(&self) -> Option<&str> {
        match &self.control {
            Control::Qmp { qmp, .. } => qmp.shutdown(),
            Control::Records { .. } => None,
        }
    }

    /// When to ask [`Emulator::is_left_behind`] again; none for an emulator that ends by itself.
    pub fn next_look(&self) -> Option<Duration> {
        match &self.control {
            Control::Qmp { .. } => None,
            Control::Records { done: false, .. } => Some(Duration::from_millis(200)),
            // Time to switch the machine off, which ends the emulator.
            Control::Records { done: true, .. } => Some(Duration::from_secs(1)),
        }
    }

    /// Whether the VMM is done, and has been for a while, but the emulator goes on.
    pub fn is_left_behind(&mut self) -> bool {
        let Control::Records { done, viewer } = &mut self.control else {
            return false;
        };
        viewer.come();
        let mut text = String::new();
        let read = self.lines.com2.rewind();
        let read = read.and_then(|()| self.lines.com2.read_to_string(&mut text));
        let is_last = |record: &Record| matches!(record, Record::Done { .. });
        let seen = read.is_ok() && records::read(&text).iter().any(is_last);
        seen && std::mem::replace(done, true)
    }

    /// Waits a moment for an emulator that shows its screen to viewers; whether it does.
    pub fn shows_its_screen(&mut self) -> bool {
        let Control::Records { viewer, .. } = &self.control else {
            return true;
        };
        let patience = Instant::now() + Duration::from_secs(10);
        while Instant::now() < patience && matches!(self.child.try_wait(), Ok(None)) {
            if viewer.is_awaited() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    /// Waits a moment for an emulator that has closed its lines; none if it hangs.
    pub fn wait_for_end(&mut self) -> Option<ExitStatus> {
        let patience = Instant::now() + Duration::from_secs(10);
        while Instant::now() < patience {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Ok(ended) => return ended,
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Control::Qmp {
            qmp,
            has_terminal: true,
        } = &mut self.control
            && qmp.quit().is_ok()
        {
            // Killed, it would leave the terminal in its own state.
            self.wait_for_end();
        }
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts an emulator, which inherits these descriptors.
pub fn spawn(command: &mut Command, descriptors: Vec<OwnedFd>) -> Result<Child> {
    die_with_us(command, Signal::SIGKILL, descriptors);
    command.spawn().map_err(|error| {
        Failure::bad_input(format!(
            "cannot start the emulator {}: {error}",
            command.get_program().to_string_lossy()
        ))
    })
}

/// Lets the child keep these descriptors, and get this signal when the thread that starts it ends:
/// if this program is killed, nothing else would end the child.
pub fn die_with_us(command: &mut Command, signal: Signal, descriptors: Vec<OwnedFd>) {
    let parent = getpid();
    let in_child = move || {
        prctl::set_pdeathsig(signal)?;
        if getppid() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        for descriptor in &descriptors {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes only the system calls
    // prctl, getppid and fcntl; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(in_child);
    }
}
