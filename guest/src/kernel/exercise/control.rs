//! Control registers, and what goes with paging.

use guest::bitmap::FRAME_BYTES;

use super::{Entry, Finding, May, Same, Wrong, check, entry};
use crate::kernel::Kernel;
use crate::kernel::cpu::{self, CR0_TS, CR0_WP};
use crate::kernel::exceptions::attempt;

/// CR0 and its lower half: protected mode.
const CR0_PE: u32 = 1 << 0;
/// CR4: RDTSC faults outside ring 0.
const CR4_TSD: u32 = 1 << 2;
/// A page that nothing is mapped at.
const PAGE: u32 = 0x4040_0000;
/// An address to write to CR2.
const ADDRESS: u32 = 0x1234_5678;

pub(super) const ENTRIES: &[Entry] = &[
    entry("MOV from CR0", Same, |_| mov_from_cr0()),
    entry("MOV to CR0, WP off and on", Same, |_| toggle_wp()),
    entry("MOV to CR2, from CR2", Same, |_| mov_cr2()),
    entry("MOV from CR3", Same, |kernel| mov_from_cr3(kernel)),
    entry("MOV to CR3", Same, |kernel| mov_to_cr3(kernel)),
    entry("MOV from CR4", Same, |_| {
        attempt!("mov {0}, cr4"; out(reg) _).into()
    }),
    entry("MOV to CR4, TSD on and off", Same, |_| toggle_tsd()),
    entry("LOCK MOV CR0: MOV to CR8, from CR8", May, |_| mov_cr8()),
    entry("SMSW", Same, |_| smsw()),
    entry("LMSW, CLTS", Same, |_| lmsw_clts()),
    entry("INVLPG", Same, invlpg),
    // INVPCID: of all, with a descriptor of zeroes.
    entry("INVPCID", May, |_| {
        attempt!(
            ".byte 0x66, 0x0f, 0x38, 0x82, 0x01"; in("eax") 2, in("ecx") &[0_u32; 4]
        )
        .into()
    }),
    entry("INVLPGB", May, |_| {
        attempt!(".byte 0x0f, 0x01, 0xfe"; in("eax") 0, in("ecx") 0, in("edx") 0).into()
    }),
    entry("TLBSYNC", May, |_| {
        attempt!(".byte 0x0f, 0x01, 0xff").into()
    }),
];

fn mov_from_cr0() -> Finding {
    let value: u32;
    let trap = attempt!("mov {}, cr0"; out(reg) value);
    check(
        trap,
        value & (CR0_PE | CR0_WP) == CR0_PE | CR0_WP,
        "it is not as the kernel set it",
    )
}

/// Clears CR0.WP and sets it again.
fn toggle_wp() -> Finding {
    let before = cpu::cr0();
    let within: u32;
    let trap = attempt!(
        "mov cr0, {off}", "mov {within}, cr0", "mov cr0, {on}";
        off = in(reg) before & !CR0_WP, on = in(reg) before, within = out(reg) within
    );
    check(
        trap,
        within & CR0_WP == 0 && cpu::cr0() == before,
        "the bit did not follow",
    )
}

fn mov_cr2() -> Finding {
    let value: u32;
    let trap = attempt!("mov cr2, {0}", "mov {0}, cr2"; inout(reg) ADDRESS => value);
    check(trap, value == ADDRESS, "it did not keep what was written")
}

fn mov_from_cr3(kernel: &Kernel) -> Finding {
    let value: u32;
    let trap = attempt!("mov {}, cr3"; out(reg) value);
    check(
        trap,
        value == kernel.space.directory(),
        "it is not the kernel's directory",
    )
}

fn mov_to_cr3(kernel: &Kernel) -> Finding {
    let directory = kernel.space.directory();
    let trap = attempt!("mov cr3, {}"; in(reg) directory);
    check(
        trap,
        cpu::cr3() == directory,
        "it did not keep what was written",
    )
}

/// Sets CR4.TSD and clears it again.
fn toggle_tsd() -> Finding {
    let (within, after): (u32, u32);
    let trap = attempt!(
        "mov {after}, cr4", "mov {within}, {after}", "or {within}, {tsd}", "mov cr4, {within}",
        "mov {within}, cr4", "mov cr4, {after}", "mov {after}, cr4";
        within = out(reg) within, after = out(reg) after, tsd = const CR4_TSD
    );
    check(trap, within & !after == CR4_TSD, "the bit did not follow")
}

/// CR8 in 32-bit code, on processors of AMD's: nothing is masked before, nor after.
fn mov_cr8() -> Finding {
    let value: u32;
    let trap = attempt!(
        ".byte 0xf0, 0x0f, 0x22, 0xc0", ".byte 0xf0, 0x0f, 0x20, 0xc0"; inout("eax") 0 => value
    );
    check(trap, value == 0, "it did not keep what was written")
}

fn smsw() -> Finding {
    let value: u32;
    let trap = attempt!("smsw {:e}"; out(reg) value);
    check(
        trap,
        value as u16 == cpu::cr0() as u16,
        "it is not the lower half of CR0",
    )
}

/// Sets CR0.TS by LMSW, clears it by CLTS.
fn lmsw_clts() -> Finding {
    let (set, cleared): (u32, u32);
    let trap = attempt!(
        "lmsw {word:x}", "mov {set}, cr0", "clts", "mov {cleared}, cr0";
        word = in(reg) (cpu::cr0() | CR0_TS) as u16, set = out(reg) set, cleared = out(reg) cleared
    );
    check(
        trap,
        set & CR0_TS != 0 && cleared & CR0_TS == 0,
        "the bit did not follow",
    )
}

/// Shows two frames through one page, in turn; a stale translation would mix them up.
fn invlpg(kernel: &mut Kernel) -> Finding {
    let Kernel { memory, space, .. } = kernel;
    let frames = &mut memory.frames;
    let (Some(first), Some(second)) = (frames.take(), frames.take()) else {
        return Wrong("there are no two frames");
    };
    let both = [first, second];
    for frame in both {
        // SAFETY: the pointer is aligned and mapped, to a frame taken for this.
        let write = |word: *mut u32| unsafe { word.write_volatile(frame) };
        if space.look(frame * FRAME_BYTES, frames, write).is_err() {
            return Wrong("there is no memory for a page table");
        }
    }
    // SAFETY: as above.
    let read = |word: *mut u32| unsafe { word.read_volatile() };
    let seen = both.map(|frame| space.look(frame * FRAME_BYTES, frames, read));
    frames.give_back(first);
    frames.give_back(second);
    let trap = attempt!("invlpg [{}]"; in(reg) PAGE);
    check(
        trap,
        seen == both.map(Ok),
        "a page showed the frame it had before",
    )
}
