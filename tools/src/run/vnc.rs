//! Bochs' screen and keyboard, which only VNC viewers reach: this is one (RFC 6143).
//!
//! QUIRK: Debian's Bochs 2.7 listens on all addresses of the host, and cannot be told not to. It
//! serves one viewer at a time, whoever comes first: while this one is there, nobody else types.

mod screen;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::keys::Stroke;
use screen::Screen;

/// How long Bochs may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
const VERSION: &[u8; 12] = b"RFB 003.003\n";
/// The security type that asks for nothing.
const NO_PASSWORD: u32 = 1;
/// Other viewers may stay.
const SHARED: u8 = 1;
/// What a viewer sends to see the screen, and of a key.
const UPDATE_REQUEST: u8 = 3;
const KEY_EVENT: u8 = 4;

/// The way to the screen and the keyboard.
pub struct Viewer {
    /// The process that is Bochs.
    process: u32,
    seat: Option<Seat>,
}

/// The place of the one viewer.
struct Seat {
    line: TcpStream,
    screen: Arc<Screen>,
}

impl Viewer {
    /// A viewer of this Bochs, who is not there yet.
    pub fn new(process: u32) -> Viewer {
        Viewer {
            process,
            seat: None,
        }
    }

    /// Whether there is a place to take.
    pub fn is_awaited(&self) -> bool {
        port(self.process).is_ok()
    }

    /// Takes the viewer's place as soon as there is one: until then Bochs is still starting.
    pub fn come(&mut self) {
        if self.seat.is_none() {
            self.seat = port(self.process).and_then(connect).ok();
        }
    }

    /// Presses and releases keys.
    pub fn press(&mut self, stroke: &Stroke) -> io::Result<()> {
        self.seat()?.line.write_all(&events(stroke))
    }

    /// The picture of Bochs' window, as a PPM file. Bochs draws a few times a second, so it is one
    /// that stays.
    pub fn picture(&mut self) -> io::Result<Vec<u8>> {
        const BETWEEN: Duration = Duration::from_millis(500);
        let end = Instant::now() + PATIENCE;
        let mut before = self.seat()?.picture()?;
        loop {
            std::thread::sleep(BETWEEN);
            let now = self.seat()?.picture()?;
            // What never rests is shown as it is.
            if now == before || Instant::now() >= end {
                return Ok(now);
            }
            before = now;
        }
    }

    fn seat(&mut self) -> io::Result<&mut Seat> {
        Ok(match &mut self.seat {
            Some(seat) => seat,
            none => none.insert(connect(port(self.process)?)?),
        })
    }
}

impl Seat {
    fn picture(&mut self) -> io::Result<Vec<u8>> {
        let Seat { line, screen } = self;
        let (width, height) = screen.size();
        let [right, bottom] = [width, height].map(|edge| (edge as u16).to_be_bytes());
        let request = [[UPDATE_REQUEST, 0], [0; 2], [0; 2], right, bottom].concat();
        screen.picture(|| line.write_all(&request), PATIENCE)
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

/// Becomes the viewer. What Bochs sends of the screen is read from now on, or Bochs would come to wait
/// for that.
fn connect(port: u16) -> io::Result<Seat> {
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
    let mut description = [0; 20];
    line.read_exact(&mut description)?;
    let screen = Arc::new(Screen::of_server(&description)?);
    let mut name_bytes = [0; 4];
    line.read_exact(&mut name_bytes)?;
    let name = (&line).take(u32::from_be_bytes(name_bytes).into());
    io::copy(&mut { name }, &mut io::sink())?;
    line.set_read_timeout(None)?;
    let (sent, shown) = (line.try_clone()?, Arc::clone(&screen));
    std::thread::spawn(move || shown.follow(sent));
    Ok(Seat { line, screen })
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
            line.write_all(&super::screen::tests::SMALL).expect("sent");
            line.write_all(&5u32.to_be_bytes()).expect("sent");
            line.write_all(b"Bochs").expect("sent");
            let mut typed = Vec::new();
            line.read_to_end(&mut typed).expect("keys");
            typed
        });
        let mut viewer = Viewer {
            process: 0,
            seat: Some(connect(port).expect("a viewer")),
        };
        let [h, newline] = &strokes("h\n").expect("keys")[..] else {
            panic!("two keys")
        };
        viewer.press(h).expect("pressed");
        viewer.press(newline).expect("pressed");
        let seat = viewer.seat.take().expect("a seat");
        seat.line.shutdown(std::net::Shutdown::Write).expect("left");
        let typed = server.join().expect("the server");
        assert_eq!(typed, [events(h), events(newline)].concat());
        assert_eq!(typed[20..24], [0, 0, 0xFF, 0x0D]);
    }
}
