//! As much of gdb's remote protocol as it takes to answer for a function of the VMM.

use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

/// QEMU's gdb stub on a socket in a folder of its own.
pub struct Stub {
    folder: TempDir,
}

impl Stub {
    /// A socket that QEMU has yet to open.
    pub fn new() -> Stub {
        Stub {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("gdb")
    }

    /// What comes after QEMU's `-gdb`.
    pub fn argument(&self) -> String {
        format!("unix:{},server=on,wait=off", self.socket().display())
    }

    /// Lets the stopped machine run until it calls the function at `address`, makes the call
    /// return `value` at once, and lets go.
    pub fn return_from(&self, address: u64, value: u64) {
        let mut line = self.connect();
        let registers = stop_at(&mut line, address);
        let stack = register(&registers, RSP);
        let back = little_endian(&ask(&mut line, &format!("m{stack:x},8")));
        let mut returned = registers.clone();
        for (number, value) in [(RAX, value), (RSP, stack + 8), (RIP, back)] {
            let digits = format!("{:016x}", value.swap_bytes());
            returned.replace_range(number * 16..(number + 1) * 16, &digits);
        }
        assert_eq!(ask(&mut line, &format!("G{returned}")), "OK");
        let_go(&mut line, address);
    }

    /// Lets the stopped machine run until it calls the function at `address`, puts `bytes` into
    /// what this argument of it points at, `offset` bytes from its start, and lets go.
    pub fn write_into(&self, argument: Argument, address: u64, offset: u64, bytes: &[u8]) {
        let mut line = self.connect();
        let registers = stop_at(&mut line, address);
        let at = register(&registers, argument as usize) + offset;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let packet = format!("M{at:x},{:x}:{digits}", bytes.len());
        assert_eq!(ask(&mut line, &packet), "OK");
        let_go(&mut line, address);
    }

    /// Lets the stopped machine run until it calls the function at `address`, reads so many bytes
    /// of what this argument of it points at, and turns the machine off.
    pub fn read_from(&self, argument: Argument, address: u64, bytes: u64) -> Vec<u8> {
        /// What one packet has room for.
        const PIECE: u64 = 1024;
        let mut line = self.connect();
        let registers = stop_at(&mut line, address);
        let start = register(&registers, argument as usize);
        let digits: String = (0..bytes)
            .step_by(PIECE as usize)
            .map(|at| {
                let piece = PIECE.min(bytes - at);
                ask(&mut line, &format!("m{:x},{piece:x}", start + at))
            })
            .collect();
        line.write_all(b"$k#6b").expect("a packet to the stub");
        digits
            .as_bytes()
            .chunks(2)
            .map(|pair| {
                let digits = std::str::from_utf8(pair).expect("ASCII");
                u8::from_str_radix(digits, 16).expect("hexadecimal digits")
            })
            .collect()
    }

    /// QEMU opens the socket as soon as it starts, which may take the build of a VMM.
    fn connect(&self) -> UnixStream {
        for _ in 0..3000 {
            if let Ok(line) = UnixStream::connect(self.socket()) {
                return line;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("QEMU did not open its gdb stub");
    }
}

/// A pointer that a function is given, by the number of gdb's for the register that it is in.
#[derive(Clone, Copy, Debug)]
pub enum Argument {
    /// RSI: the first one of a function that returns a structure.
    Second = 4,
    /// RDI.
    First = 5,
}

/// Registers by gdb's numbers.
const RAX: usize = 0;
const RSP: usize = 7;
const RIP: usize = 16;

/// Runs to the function at `address`; the registers there.
fn stop_at(line: &mut UnixStream, address: u64) -> String {
    ask(line, &format!("Z1,{address:x},1"));
    ask(line, "c");
    let registers = ask(line, "g");
    assert_eq!(
        register(&registers, RIP),
        address,
        "the machine stopped elsewhere"
    );
    registers
}

fn let_go(line: &mut UnixStream, address: u64) {
    ask(line, &format!("z1,{address:x},1"));
    ask(line, "D");
}

fn register(registers: &str, number: usize) -> u64 {
    little_endian(&registers[number * 16..][..16])
}

/// Sends a packet; the packet that answers it.
fn ask(line: &mut UnixStream, packet: &str) -> String {
    let sum = packet.bytes().fold(0u8, u8::wrapping_add);
    line.write_all(format!("${packet}#{sum:02x}").as_bytes())
        .expect("a packet to the stub");
    let mut answer = String::new();
    let mut bytes = BufReader::new(&*line)
        .bytes()
        .map(|byte| byte.expect("an answer of the stub"));
    // `+` acknowledges ours; `$` begins the answer, `#` and two digits end it.
    for byte in bytes.by_ref().skip_while(|byte| *byte != b'$').skip(1) {
        if byte == b'#' {
            break;
        }
        answer.push(byte.into());
    }
    bytes.nth(1);
    // A machine that was let go may have ended, and QEMU with it, before this is written.
    let _ = line.write_all(b"+");
    answer
}

/// The value of hexadecimal bytes, the lowest first.
fn little_endian(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16)
        .expect("hexadecimal digits")
        .swap_bytes()
}
