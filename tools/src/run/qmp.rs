//! QEMU's control line (QMP): keys go in, the reason of the end comes out.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use super::keys::Stroke;

/// How long a key is held down.
pub const HOLD_MS: u64 = 20;

/// The client's end of the line.
pub struct Qmp {
    stream: UnixStream,
    received: Vec<u8>,
    shutdown: Option<String>,
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
        })
    }

    /// Presses and releases a key.
    pub fn press(&mut self, stroke: Stroke) -> io::Result<()> {
        let shift = stroke.shift.then_some("shift");
        let keys: Vec<Value> = shift
            .into_iter()
            .chain([stroke.qcode])
            .map(|qcode| json!({"type": "qcode", "data": qcode}))
            .collect();
        let arguments = json!({"keys": keys, "hold-time": HOLD_MS});
        send(
            &mut self.stream,
            &json!({"execute": "send-key", "arguments": arguments}),
        )
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
