//! QEMU's control line (QMP): keys go in, pictures and the reason of the end come out.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use super::keys::Stroke;

/// How long a key is held down.
pub const HOLD_MS: u64 = 20;

/// The client's end of the line.
pub struct Qmp {
    stream: UnixStream,
    received: Vec<u8>,
    shutdown: Option<String>,
    /// The number of the last question, and its answer once that is here.
    asked: u64,
    answer: Option<Value>,
}

impl Qmp {
    /// Opens the conversation. The answers are read later, by [`Qmp::read`].
    pub fn new(mut stream: UnixStream) -> io::Result<Qmp> {
        send(&mut stream, &json!({"execute": "qmp_capabilities"}))?;
        stream.set_nonblocking(true)?;
        Ok(Qmp {
            stream,
            received: Vec::new(),
            shutdown: None,
            asked: 0,
            answer: None,
        })
    }

    /// Presses and releases a key.
    pub fn press(&mut self, stroke: &Stroke) -> io::Result<()> {
        let keys: Vec<Value> = stroke
            .0
            .iter()
            .map(|qcode| json!({"type": "qcode", "data": qcode}))
            .collect();
        let arguments = json!({"keys": keys, "hold-time": HOLD_MS});
        send(
            &mut self.stream,
            &json!({"execute": "send-key", "arguments": arguments}),
        )
    }

    /// Saves the screen as a picture: in PPM if its name ends so, else in PNG.
    pub fn save_picture(&mut self, file: &Path) -> io::Result<()> {
        let is_ppm = file.extension().is_some_and(|kind| kind == "ppm");
        let format = if is_ppm { "ppm" } else { "png" };
        let arguments = json!({"filename": file, "format": format});
        self.ask("screendump", &arguments)
    }

    /// Saves `bytes` bytes of physical memory from `start` on to `file`.
    pub fn save_memory(&mut self, start: u64, bytes: u64, file: &Path) -> io::Result<()> {
        let arguments = json!({"val": start, "size": bytes, "filename": file});
        self.ask("pmemsave", &arguments)
    }

    /// Has QEMU do something, and waits until it is done.
    fn ask(&mut self, what: &str, arguments: &Value) -> io::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(60);
        self.asked += 1;
        let question = json!({"execute": what, "arguments": arguments, "id": self.asked});
        send(&mut self.stream, &question)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let is_open = self.read();
            if let Some(answer) = self.answer.take() {
                return match answer["error"]["desc"].as_str() {
                    None => Ok(()),
                    Some(why) => Err(io::Error::other(format!("QEMU: {what}: {why}"))),
                };
            }
            let left = end.saturating_duration_since(Instant::now());
            if !is_open || left.is_zero() {
                return Err(io::Error::other(format!("QEMU: {what}: no answer")));
            }
            let patience = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            let mut lines = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
            match poll(&mut lines, patience) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks QEMU to end.
    pub fn quit(&mut self) -> io::Result<()> {
        send(&mut self.stream, &json!({"execute": "quit"}))
    }

    /// Reads what QEMU said meanwhile; false once QEMU hung up.
    pub fn read(&mut self) -> bool {
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return false,
                Ok(count) => self.received.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.take_messages();
                    return error.kind() == ErrorKind::WouldBlock;
                }
            }
            self.take_messages();
        }
    }

    /// Why the machine stopped, in QEMU's words (`guest-shutdown`,
    /// `guest-reset`, `host-ui` ...), once it did.
    pub fn shutdown(&self) -> Option<&str> {
        self.shutdown.as_deref()
    }

    fn take_messages(&mut self) {
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            let Ok(message) = serde_json::from_slice::<Value>(&line) else {
                continue;
            };
            if message["event"] == "SHUTDOWN" {
                self.shutdown = message["data"]["reason"].as_str().map(str::to_string);
            }
            if message["id"] == self.asked {
                self.answer = Some(message);
            }
        }
    }
}

impl AsFd for Qmp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn send(stream: &mut UnixStream, message: &Value) -> io::Result<()> {
    stream.write_all(format!("{message}\n").as_bytes())
}
