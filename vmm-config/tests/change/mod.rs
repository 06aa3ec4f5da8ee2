//! Good policies, and ways to spoil them.

use proptest::prelude::*;

/// Policies without a finding, as long as there is a handler `quiet`.
pub const GOOD: [&str; 4] = [
    include_str!("../../../vm.toml"),
    r#"
[target]
machine = "zen4"
features = ["sev-es", "avic"]
[set.a]
cpuid = "emulate"
exception.de = "count"
exception.pf = { action = "count", log = true }
rdtsc = { action = "inject", vector = "gp", error = 0 }
pause = { handler = "quiet", filter = 3000, threshold = 128 }
[set.b]
extends = ["a"]
mwait = "wait"
"mwait.armed" = "wait"
cr4.write-trap = "count"
avic.noaccel = "stop"
vmgexit = "stop"
[[vm]]
name = "one"
memory = "64 MiB"
asid = 2
cpu = "host"
image = "debian:linux-686"
initrd = "./initrd.img"
intercepts = "b"
[[vm.io]]
ports = "0x300-0x30f"
action = "pass"
[[vm.msr]]
msr = "tsc_aux"
read = "pass"
"#,
    r#"
[[vm]]
name = "two"
image = "./k.elf"
protocol = "multiboot"
modules = ["./a.mod one two", "debian:grub three"]
memory = "8 MiB"
npt = true
devices = ["pic", "pit"]
halted = "crash"
restart = "on-crash"
restart_limit = 7
weight = 30
counters = "details"
ticks = "drop"
trace = 100
tsc_offset = -5
intercepts = { hlt = "stop" }
[irq]
1 = "vmm"
5 = { vm = "two", ports = "0x220" }
12 = "focus"
"#,
    r#"
[target]
machine = "bochs-ryzen"
[set.a]
cpuid = { limit = 9, then = "pass", when = [
    { leaf = 1, cpl = 3, action = "inject", vector = "gp", error = 0 },
    { subleaf = "1-0xff", rip = 0x1000, handler = "quiet" },
    { action = "count", log = true },
] }
ioio = { when = [{ port = "0x60-0x64", write = true, action = "log" }, { action = "emulate" }] }
msr = { when = [{ msr = "efer", write = false, action = "stop" }, { action = "emulate" }] }
rdtsc = { action = "count", limit = 1000 }
vmmcall = { when = [{ number = 0, action = "stop" }, { action = "hypercall" }] }
exception.pf = { when = [{ address = "0-0xfff", error_code = "4-7", action = "stop" }, { action = "count" }] }
[[vm]]
name = "three"
memory = "8 MiB"
tlb = "asid"
intercepts = "a"
[vm.cpuid]
hide = ["sse3", "0x80000008"]
show = ["aes", "hypervisor", "7.1"]
set = { "0x40000000" = { eax = 1, edx = 0xffffffff } }
[[vm.msr]]
msr = "hwcr"
read = "ignore"
"#,
];

/// Pieces that a policy is made of, and some that it is not.
const PIECES: [&str; 46] = [
    "\"",
    "'''",
    "=",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    ".",
    ",",
    "#",
    "\n",
    "\r\n",
    "\0",
    "ü",
    "0x",
    "-1",
    "99999999999999999999",
    "1e9",
    "true",
    "nan",
    "1979-05-27",
    "\"pass\"",
    "\"count\"",
    "\"stop\"",
    "\"inject\"",
    "\"64 MiB\"",
    "\"1 KiB\"",
    "\"vmm\"",
    "extends",
    "when",
    "limit",
    "then",
    "[vm.cpuid]",
    "port = 1",
    "\"sse3\"",
    "npt",
    "asid",
    "cr3.write",
    "exception.pf",
    "npf",
    "shutdown",
    "[set.x]",
    "[[vm]]",
    "\\u0000",
];

/// What is done to a text, at a place given in thousandths of its length.
#[derive(Clone, Debug)]
pub enum Change {
    Cut(usize, usize),
    Insert(usize, &'static str),
    Copy(usize, usize, usize),
    Byte(usize, u8),
}

/// Any change.
pub fn change() -> impl Strategy<Value = Change> {
    let place = 0..1000_usize;
    prop_oneof![
        (place.clone(), 0..20_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        (place.clone(), prop::sample::select(&PIECES[..]))
            .prop_map(|(at, piece)| Change::Insert(at, piece)),
        (place.clone(), 0..40_usize, place.clone())
            .prop_map(|(from, length, to)| Change::Copy(from, length, to)),
        (place, any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
    ]
}

/// Makes a change.
pub fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let place = |thousandths: usize| bytes.len() * thousandths / 1000;
    match *change {
        Change::Cut(at, length) => {
            let start = place(at);
            let end = (start + length).min(bytes.len());
            bytes.drain(start..end);
        }
        Change::Insert(at, piece) => {
            let at = place(at);
            bytes.splice(at..at, piece.bytes());
        }
        Change::Copy(from, length, to) => {
            let (from, to) = (place(from), place(to));
            let end = (from + length).min(bytes.len());
            let piece = bytes[from..end].to_vec();
            bytes.splice(to..to, piece);
        }
        Change::Byte(at, byte) => {
            let at = place(at);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
    }
}
