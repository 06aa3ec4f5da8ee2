//! One run, from the emulator's start to its end: the event loop.
//!
//! Everything that can happen is a file descriptor or a deadline: serial
//! output, the control line, the person's keys, a signal, the next key of the script, the
//! time-out. So one thread does it all and nothing races.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::emulator::Emulator;
use super::outcome::Ending;
use super::qmp;
use super::script::{Action, Player};
use super::signals::Signals;
use super::terminal::{Keyboard, RawTerminal};
use super::text::Watch;

/// How the run is watched and steered.
pub struct Plan {
    /// What is typed.
    pub player: Player,
    /// The text that ends the run.
    pub until: Option<Watch>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Whether serial output goes to standard output.
    pub relay: bool,
    /// Whether a person's keys go to the serial port.
    pub interactive: bool,
    /// Whether a VMM runs, which on `Ctrl-] q` tells its counts and ends.
    pub vmm: bool,
}

/// A run under way.
pub struct Session {
    emulator: Emulator,
    plan: Plan,
    signals: Signals,
    keyboard: Keyboard,
    /// Bytes for the serial port that it did not take yet.
    to_com1: VecDeque<u8>,
    deadline: Option<Instant>,
    /// When the script may go on, if it has to wait for that: what is due must be seen to be due,
    /// and not only what is to come.
    next_key: Option<Instant>,
    /// When to see whether the VMM has left the emulator behind.
    next_look: Option<Instant>,
    /// Whether the last serial byte ended a line.
    at_line_start: bool,
}

impl Session {
    /// Takes over an emulator that was just started. `signals` must be older than
    /// it, so that none is missed.
    pub fn new(emulator: Emulator, plan: Plan, signals: Signals) -> Session {
        let now = Instant::now();
        Session {
            next_look: emulator.next_look().map(|pause| now + pause),
            emulator,
            signals,
            keyboard: Keyboard::default(),
            to_com1: VecDeque::new(),
            deadline: plan.timeout.and_then(|time| now.checked_add(time)),
            next_key: None,
            at_line_start: true,
            plan,
        }
    }

    /// Runs to the end. The emulator is gone when this returns, its COM2 file is not.
    pub fn run(mut self) -> io::Result<(Ending, std::fs::File)> {
        let terminal = self.plan.interactive.then(RawTerminal::enter).transpose()?;
        let mut keys_open = self.plan.interactive;
        let ending = loop {
            if let Some(ending) = self.play()? {
                break ending;
            }
            let ready = self.wait(keys_open)?;
            // A signal first: the end of the emulator may be its consequence.
            if let Some(number) = self.signals.take() {
                break Ending::Signal { number };
            }
            if ready.reader_gone {
                break Ending::OutputClosed;
            }
            if ready.keys {
                match self.read_keys()? {
                    Keys::Quit => break Ending::Quit,
                    Keys::Open => {}
                    Keys::Closed => keys_open = false,
                }
            }
            if ready.com1
                && let Some(ending) = self.read_com1()?
            {
                break ending;
            }
            if ready.control && !self.emulator.read_control() {
                // QEMU closes all its lines when it exits. What it sent on the
                // serial one before that is still to be read.
                break self.read_com1()?.unwrap_or_else(|| self.end_of_emulator());
            }
            if self.next_look.is_some_and(|look| Instant::now() >= look) {
                if self.emulator.is_left_behind() {
                    break self.read_com1()?.unwrap_or_else(left_behind);
                }
                self.next_look = self
                    .emulator
                    .next_look()
                    .map(|pause| Instant::now() + pause);
            }
            if self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
            {
                break Ending::Timeout;
            }
        };
        drop(terminal);
        if self.plan.vmm && !matches!(ending, Ending::Emulator { .. }) {
            self.take_leave();
        }
        if !self.at_line_start && self.plan.relay {
            let _ = writeln!(io::stdout());
        }
        let com2 = self.emulator.lines.com2.try_clone()?;
        Ok((ending, com2))
    }

    /// Does what the script has to do now.
    fn play(&mut self) -> io::Result<Option<Ending>> {
        while self.next_key.is_none_or(|next| Instant::now() >= next) {
            self.next_key = None;
            let Some(action) = self.plan.player.take_action() else {
                break;
            };
            match action {
                Action::Send(bytes) => self.to_com1.extend(bytes),
                Action::Look(text) => {
                    const PAUSE: Duration = Duration::from_millis(50);
                    let is_shown = |row: &String| row.contains(&text);
                    match self.emulator.screen_rows() {
                        Ok(rows) if rows.iter().any(is_shown) => self.plan.player.saw(),
                        Ok(_) => self.next_key = Some(Instant::now() + PAUSE),
                        Err(_) => return Ok(Some(self.end_of_emulator())),
                    }
                }
                Action::Save(file) => self.emulator.save_screen(&file)?,
                Action::Press(stroke) => {
                    if self.emulator.press(&stroke).is_err() {
                        return Ok(Some(self.end_of_emulator()));
                    }
                    // QEMU holds the key and then lets go for as long; faster
                    // than that its queue would overflow.
                    self.next_key = Some(Instant::now() + Duration::from_millis(2 * qmp::HOLD_MS));
                }
            }
        }
        let (bytes, _) = self.to_com1.as_slices();
        if !bytes.is_empty() {
            match self.emulator.lines.to_com1.write(bytes) {
                Ok(count) => drop(self.to_com1.drain(..count)),
                Err(error) if is_transient(&error) => {}
                // It has hung up; the read side notices.
                Err(_) => self.to_com1.clear(),
            }
        }
        Ok(None)
    }

    /// Waits until something happens or is due.
    fn wait(&self, keys_open: bool) -> io::Result<Ready> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        // A descriptor that is watched for nothing still tells that the other
        // end was closed; so those of no interest are left out.
        let mut lines = vec![
            (self.signals.as_fd(), PollFlags::POLLIN),
            (self.emulator.lines.from_com1.as_fd(), PollFlags::POLLIN),
        ];
        let mut also = |wanted: bool, descriptor, flags| {
            wanted.then(|| {
                lines.push((descriptor, flags));
                lines.len() - 1
            })
        };
        let control = self
            .emulator
            .control()
            .and_then(|line| also(true, line, PollFlags::POLLIN));
        let keys = also(keys_open, stdin.as_fd(), PollFlags::POLLIN);
        let reader = also(self.plan.relay, stdout.as_fd(), PollFlags::empty());
        also(
            !self.to_com1.is_empty(),
            self.emulator.lines.to_com1.as_fd(),
            PollFlags::POLLOUT,
        );

        let mut lines: Vec<_> = lines
            .into_iter()
            .map(|(line, flags)| PollFd::new(line, flags))
            .collect();
        match poll(&mut lines, self.patience()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let something = |place: usize| lines[place].any().unwrap_or(false);
        Ok(Ready {
            com1: something(1),
            control: control.is_some_and(something),
            keys: keys.is_some_and(something),
            reader_gone: reader.is_some_and(something),
        })
    }

    /// Until the next deadline, rounded up so as not to wake before it.
    fn patience(&self) -> PollTimeout {
        let now = Instant::now();
        let Some(next) = self
            .next_key
            .into_iter()
            .chain(self.deadline)
            .chain(self.next_look)
            .min()
        else {
            return PollTimeout::NONE;
        };
        let milliseconds = next.saturating_duration_since(now).as_millis() + 1;
        PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
    }

    /// Passes on what the serial port sent; an ending if that ends the run.
    fn read_com1(&mut self) -> io::Result<Option<Ending>> {
        let mut piece = [0; 4096];
        loop {
            let count = match self.emulator.lines.from_com1.read(&mut piece) {
                Ok(0) => return Ok(Some(self.end_of_emulator())),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(_) => return Ok(Some(self.end_of_emulator())),
            };
            let plain: Vec<u8> = piece[..count]
                .iter()
                .copied()
                .filter(|byte| *byte != b'\r')
                .collect();
            // A terminal gets every byte, a file or a pipe gets lines.
            let shown = if self.plan.interactive {
                &piece[..count]
            } else {
                &plain
            };
            if self.plan.relay && show(shown).is_err() {
                return Ok(Some(Ending::OutputClosed));
            }
            if let Some(last) = plain.last() {
                self.at_line_start = *last == b'\n';
            }
            self.plan.player.hear(&plain);
            if self
                .plan
                .until
                .as_mut()
                .is_some_and(|until| until.feed(&plain))
            {
                return Ok(Some(Ending::Until));
            }
        }
    }

    /// Asks the VMM for its last records, and waits until they are there. A VMM that does not
    /// answer is left to its fate: it is about to be killed.
    fn take_leave(&mut self) {
        const FAREWELL: &[u8] = b"\x1dq";
        const PATIENCE: Duration = Duration::from_secs(2);
        if self.emulator.lines.to_com1.write_all(FAREWELL).is_err() {
            return;
        }
        let mut line = &self.emulator.lines.from_com1;
        let mut end = Instant::now() + PATIENCE;
        let mut unread = [0; 4096];
        let com2 = &self.emulator.lines.com2;
        let sent = || com2.metadata().map_or(0, |data| data.len());
        let mut known = sent();
        loop {
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                // A trace takes its time.
                if sent() == known {
                    return;
                }
                (end, known) = (Instant::now() + PATIENCE, sent());
                continue;
            };
            let patience = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::ZERO);
            let mut lines = [PollFd::new(line.as_fd(), PollFlags::POLLIN)];
            if poll(&mut lines, patience).is_ok_and(|ready| ready > 0) {
                match line.read(&mut unread) {
                    Ok(0) => return,
                    // A terminal's line hangs up with an error.
                    Err(error) if !is_transient(&error) => return,
                    _ => {}
                }
            }
        }
    }

    fn read_keys(&mut self) -> io::Result<Keys> {
        let mut keys = [0; 256];
        // Not through `io::stdin`: its buffer would hide keys from `poll`.
        match nix::unistd::read(io::stdin(), &mut keys) {
            Ok(0) | Err(Errno::EIO) => Ok(Keys::Closed),
            Ok(count) if self.keyboard.feed(&keys[..count], &mut self.to_com1) => Ok(Keys::Quit),
            Ok(_) | Err(Errno::EINTR | Errno::EAGAIN) => Ok(Keys::Open),
            Err(error) => Err(error.into()),
        }
    }

    /// The emulator has hung up: learns why.
    fn end_of_emulator(&mut self) -> Ending {
        let process = self.emulator.wait_for_end();
        self.emulator.read_control();
        // Ctrl-C in its own terminal reaches both.
        if let Some(number) = self.signals.take() {
            return Ending::Signal { number };
        }
        Ending::Emulator {
            shutdown: self.emulator.shutdown().map(str::to_string),
            process: process.map_or("it hangs".into(), |status| status.to_string()),
        }
    }
}

fn left_behind() -> Ending {
    Ending::Emulator {
        shutdown: None,
        process: "ended from outside when the VMM was done".into(),
    }
}

struct Ready {
    com1: bool,
    control: bool,
    keys: bool,
    reader_gone: bool,
}

enum Keys {
    Open,
    Closed,
    Quit,
}

fn show(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
