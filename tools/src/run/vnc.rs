//! Bochs' keyboard, which only VNC viewers reach: this is one that never looks (RFC 6143).

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::keys::Stroke;

/// How long Bochs may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const VERSION: &[u8; 12] = b"RFB 003.003\n";
/// The security type that asks for nothing.
const NO_PASSWORD: u32 = 1;
/// Other viewers may stay.
const SHARED: u8 = 1;
/// What a viewer sends of a key.
const KEY_EVENT: u8 = 4;

/// The way to the keyboard.
pub struct Keyboard {
    /// The process that is Bochs.
    process: u32,
    line: Option<TcpStream>,
}

impl Keyboard {
    /// The keyboard of this Bochs. Nothing is done before the first key.
    pub fn new(process: u32) -> Keyboard {
        Keyboard {
            process,
            line: None,
        }
    }

    /// Presses and releases keys.
    pub fn press(&mut self, stroke: &Stroke) -> io::Result<()> {
        let line = match &mut self.line {
            Some(line) => line,
            none => none.insert(connect(port(self.process)?)?),
        };
        line.write_all(&events(stroke))
    }
}

/// The port on which a process waits for connections. Bochs takes the first from 5900 on that is
/// free, and tells nobody; the kernel knows (proc(5)).
fn port(process: u32) -> io::Result<u16> {
    let mut sockets = Vec::new();
    for descriptor in fs::read_dir(format!("/proc/{process}/fd"))?.flatten() {
        // One that is closed meanwhile is no socket either.
        let Ok(target) = fs::read_link(descriptor.path()) else {
            continue;
        };
        let name = target.to_string_lossy();
        let number = name.strip_prefix("socket:[");
        sockets.extend(number.and_then(|number| number.strip_suffix(']')?.parse::<u64>().ok()));
    }
    let table = fs::read_to_string("/proc/net/tcp")?;
    listening(&table, &sockets)
        .ok_or_else(|| io::Error::other("Bochs waits for no viewer; are 50 of them running?"))
}

/// The port of the first of `sockets` that listens, by the kernel's table.
fn listening(table: &str, sockets: &[u64]) -> Option<u16> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        let socket = fields.nth(5)?.parse().ok()?;
        let (_, port) = local.split_once(':')?;
        (state == LISTEN && sockets.contains(&socket))
            .then(|| u16::from_str_radix(port, 16).ok())
            .flatten()
    })
}

/// Becomes a viewer.
fn connect(port: u16) -> io::Result<TcpStream> {
    let mut line = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    line.set_read_timeout(Some(PATIENCE))?;
    line.set_nodelay(true)?;
    line.read_exact(&mut [0; VERSION.len()])?;
    line.write_all(VERSION)?;
    let mut security = [0; 4];
    line.read_exact(&mut security)?;
    if u32::from_be_bytes(security) != NO_PASSWORD {
        return Err(io::Error::other("Bochs wants a password"));
    }
    line.write_all(&[SHARED])?;
    // Width, height and pixel format, and how long the name is that follows.
    let mut screen = [0; 24];
    line.read_exact(&mut screen)?;
    let name = u32::from_be_bytes([screen[20], screen[21], screen[22], screen[23]]);
    io::copy(&mut (&line).take(name.into()), &mut io::sink())?;
    Ok(line)
}

/// The messages of the keys' presses, and of their releases in the other order.
fn events(stroke: &Stroke) -> Vec<u8> {
    let event = |down: bool, keysym: u32| {
        let [a, b, c, d] = keysym.to_be_bytes();
        [KEY_EVENT, down.into(), 0, 0, a, b, c, d]
    };
    let keys = stroke.keysyms();
    let pressed = keys.clone().flat_map(|key| event(true, key));
    pressed
        .chain(keys.rev().flat_map(|key| event(false, key)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::keys::strokes;

    #[test]
    fn the_port_is_that_of_the_process_s_own_listening_socket() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:170C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41 1 0
   1: 0100007F:170D 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 42 1 0
   2: 00000000:170E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 43 1 0
";
        assert_eq!(listening(table, &[42, 43]), Some(5902));
        assert_eq!(listening(table, &[42]), None);
        assert_eq!(listening("", &[42]), None);
    }

    #[test]
    fn shift_is_held_around_its_key() {
        let events = |text| events(&strokes(text).expect("keys")[0]);
        assert_eq!(
            events("a"),
            [4, 1, 0, 0, 0, 0, 0, 97, 4, 0, 0, 0, 0, 0, 0, 97]
        );
        let shifted = events("A");
        assert_eq!(shifted[..8], [4, 1, 0, 0, 0, 0, 0xFF, 0xE1]);
        assert_eq!(shifted[8..24], events("a"));
        assert_eq!(shifted[24..], [4, 0, 0, 0, 0, 0, 0xFF, 0xE1]);
    }

    #[test]
    fn a_viewer_comes_without_a_password_and_types() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = std::thread::spawn(move || {
            let (mut line, _) = listener.accept().expect("a viewer");
            line.write_all(VERSION).expect("sent");
            line.read_exact(&mut [0; 12]).expect("a version");
            line.write_all(&NO_PASSWORD.to_be_bytes()).expect("sent");
            line.read_exact(&mut [0]).expect("a word on sharing");
            line.write_all(&[0; 20]).expect("sent");
            line.write_all(&5u32.to_be_bytes()).expect("sent");
            line.write_all(b"Bochs").expect("sent");
            let mut typed = Vec::new();
            line.read_to_end(&mut typed).expect("keys");
            typed
        });
        let mut keyboard = Keyboard {
            process: 0,
            line: Some(connect(port).expect("a viewer")),
        };
        let [h, newline] = &strokes("h\n").expect("keys")[..] else {
            panic!("two keys")
        };
        keyboard.press(h).expect("pressed");
        keyboard.press(newline).expect("pressed");
        drop(keyboard);
        let typed = server.join().expect("the server");
        assert_eq!(typed, [events(h), events(newline)].concat());
        assert_eq!(typed[20..24], [0, 0, 0xFF, 0x0D]);
    }
}
