//! IN, OUT, INS and OUTS, in every width, with and without REP.
//!
//! On registers where it shows whether the access arrived: the interrupt mask,
//! the serial line's scratch register, the screen's cursor. Where no device has
//! such a register of that width, on the port of the diagnostic display.

use super::{Entry, Finding, Same, check, entry};
use crate::kernel::exceptions::attempt;
use crate::kernel::{pic, port, serial, vga};

/// The port of the diagnostic display; reads mean nothing, writes do nothing.
const DIAGNOSTIC: u16 = 0x80;

pub(super) const ENTRIES: &[Entry] = &[
    entry("IN AL, imm8", Same, |_| in_immediate()),
    entry("IN AL, DX", Same, |_| in_byte()),
    entry("IN AX, DX", Same, |_| in_word()),
    entry("IN EAX, DX", Same, |_| {
        attempt!("in eax, dx"; out("eax") _, in("dx") DIAGNOSTIC).into()
    }),
    entry("OUT imm8, AL", Same, |_| {
        attempt!("out 0x80, al"; in("al") 0_u8).into()
    }),
    entry("OUT DX, AL", Same, |_| out_byte()),
    entry("OUT DX, AX", Same, |_| out_word()),
    entry("OUT DX, EAX", Same, |_| {
        attempt!("out dx, eax"; in("eax") 0, in("dx") DIAGNOSTIC).into()
    }),
    entry("INSB", Same, |_| insb()),
    entry("INSW", Same, |_| insw()),
    entry("INSD", Same, |_| insd()),
    entry("REP INSB", Same, |_| rep_insb()),
    entry("REP INSB, downwards", Same, |_| rep_insb_downwards()),
    entry("REP INSB of nothing", Same, |_| rep_insb_of_nothing()),
    entry("OUTSB", Same, |_| outsb()),
    entry("OUTSW", Same, |_| outsw()),
    entry("OUTSD", Same, |_| outsd()),
    entry("REP OUTSB", Same, |_| rep_outsb()),
    entry("REP OUTSW", Same, |_| rep_outsw()),
];

/// The interrupt mask, read the ordinary way.
fn mask() -> u8 {
    port::read(pic::MASTER_DATA)
}

/// Chooses the cursor's register of the screen controller, and says what it holds.
fn cursor_high() -> u16 {
    port::write(vga::CRTC, vga::CURSOR_HIGH);
    u16::from_le_bytes([vga::CURSOR_HIGH, port::read(vga::CRTC + 1)])
}

fn in_immediate() -> Finding {
    let value: u8;
    let trap = attempt!("in al, {port}"; port = const pic::MASTER_DATA, out("al") value);
    check(trap, value == mask(), "it read something else")
}

fn in_byte() -> Finding {
    let value: u8;
    let trap = attempt!("in al, dx"; out("al") value, in("dx") pic::MASTER_DATA);
    check(trap, value == mask(), "it read something else")
}

fn in_word() -> Finding {
    let expected = cursor_high();
    let value: u16;
    let trap = attempt!("in ax, dx"; out("ax") value, in("dx") vga::CRTC);
    check(trap, value == expected, "it is not both registers")
}

fn out_byte() -> Finding {
    let trap = attempt!("out dx, al"; in("al") 0xA5_u8, in("dx") serial::SCRATCH);
    check(
        trap,
        port::read(serial::SCRATCH) == 0xA5,
        "it did not arrive",
    )
}

fn out_word() -> Finding {
    let pair = cursor_high();
    let trap = attempt!("out dx, ax"; in("ax") pair, in("dx") vga::CRTC);
    check(trap, cursor_high() == pair, "it is not both registers")
}

fn insb() -> Finding {
    let mut byte = 0_u8;
    let end: *mut u8;
    let trap = attempt!(
        "insb"; in("dx") pic::MASTER_DATA, inout("edi") &raw mut byte => end
    );
    check(
        trap,
        byte == mask() && end == (&raw mut byte).wrapping_add(1),
        "not that byte, or EDI is off",
    )
}

fn insw() -> Finding {
    let expected = cursor_high();
    let mut word = 0_u16;
    let trap = attempt!("insw"; in("dx") vga::CRTC, inout("edi") &raw mut word => _);
    check(trap, word == expected, "it is not both registers")
}

fn insd() -> Finding {
    let mut long = 0_u32;
    let end: *mut u32;
    let trap = attempt!("insd"; in("dx") DIAGNOSTIC, inout("edi") &raw mut long => end);
    check(trap, end == (&raw mut long).wrapping_add(1), "EDI is off")
}

fn rep_insb() -> Finding {
    let mut bytes = [0_u8; 6];
    let left: u32;
    let trap = attempt!(
        "rep insb"; in("dx") pic::MASTER_DATA, inout("ecx") 4 => left,
        inout("edi") &raw mut bytes => _
    );
    let mask = mask();
    check(
        trap,
        left == 0 && bytes == [mask, mask, mask, mask, 0, 0],
        "not four bytes were read",
    )
}

fn rep_insb_downwards() -> Finding {
    let mut bytes = [0_u8; 6];
    let trap = attempt!(
        "std", "rep insb", "cld"; in("dx") pic::MASTER_DATA, inout("ecx") 4 => _,
        inout("edi") &raw mut bytes[5] => _
    );
    let mask = mask();
    check(
        trap,
        bytes == [0, 0, mask, mask, mask, mask],
        "not the last four bytes were read",
    )
}

fn rep_insb_of_nothing() -> Finding {
    let mut byte = 0_u8;
    let trap = attempt!(
        "rep insb"; in("dx") pic::MASTER_DATA, inout("ecx") 0 => _, inout("edi") &raw mut byte => _
    );
    check(trap, byte == 0, "it read something")
}

fn outsb() -> Finding {
    let byte = 0x5A_u8;
    let trap = attempt!(
        "xchg esi, {source}", "outsb" => "xchg esi, {source}";
        source = inout(reg) &raw const byte => _, in("dx") serial::SCRATCH
    );
    check(
        trap,
        port::read(serial::SCRATCH) == byte,
        "it did not arrive",
    )
}

fn outsw() -> Finding {
    let pair = cursor_high();
    let trap = attempt!(
        "xchg esi, {source}", "outsw" => "xchg esi, {source}";
        source = inout(reg) &raw const pair => _, in("dx") vga::CRTC
    );
    check(trap, cursor_high() == pair, "it is not both registers")
}

fn outsd() -> Finding {
    let long = 0_u32;
    let end: *const u32;
    let trap = attempt!(
        "xchg esi, {source}", "outsd" => "xchg esi, {source}";
        source = inout(reg) &raw const long => end, in("dx") DIAGNOSTIC
    );
    check(trap, end == (&raw const long).wrapping_add(1), "ESI is off")
}

fn rep_outsb() -> Finding {
    let bytes = [1_u8, 2, 3, 4];
    let left: u32;
    let trap = attempt!(
        "xchg esi, {source}", "rep outsb" => "xchg esi, {source}";
        source = inout(reg) &raw const bytes => _,
        in("dx") serial::SCRATCH, inout("ecx") 4 => left
    );
    check(
        trap,
        left == 0 && port::read(serial::SCRATCH) == 4,
        "not four bytes arrived",
    )
}

fn rep_outsw() -> Finding {
    let pair = cursor_high();
    let pairs = [pair ^ 0x100, pair];
    let left: u32;
    let trap = attempt!(
        "xchg esi, {source}", "rep outsw" => "xchg esi, {source}";
        source = inout(reg) &raw const pairs => _,
        in("dx") vga::CRTC, inout("ecx") 2 => left
    );
    check(
        trap,
        left == 0 && cursor_high() == pair,
        "not both words arrived",
    )
}
