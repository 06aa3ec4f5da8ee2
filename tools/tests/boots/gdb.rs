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
        const RAX: usize = 0;
        const RSP: usize = 7;
        const RIP: usize = 16;
        let mut line = self.connect();
        ask(&mut line, &format!("Z1,{address:x},1"));
        ask(&mut line, "c");
        let registers = ask(&mut line, "g");
        let register = |number: usize| little_endian(&registers[number * 16..][..16]);
        assert_eq!(register(RIP), address, "the machine stopped elsewhere");
        let stack = register(RSP);
        let back = little_endian(&ask(&mut line, &format!("m{stack:x},8")));
        let mut returned = registers.clone();
        for (number, value) in [(RAX, value), (RSP, stack + 8), (RIP, back)] {
            let digits = format!("{:016x}", value.swap_bytes());
            returned.replace_range(number * 16..(number + 1) * 16, &digits);
        }
        assert_eq!(ask(&mut line, &format!("G{returned}")), "OK");
        ask(&mut line, &format!("z1,{address:x},1"));
        ask(&mut line, "D");
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
    line.write_all(b"+").expect("an acknowledgement");
    answer
}

/// The value of hexadecimal bytes, the lowest first.
fn little_endian(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16)
        .expect("hexadecimal digits")
        .swap_bytes()
}
