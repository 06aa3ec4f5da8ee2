//! Instructions that ask, wait, or move flags.

use core::sync::atomic::AtomicU32;

use super::{Entry, Finding, May, NotOffered, Same, check, entry};
use crate::kernel::exceptions::attempt;
use crate::kernel::{cpu, cpuid, pit};

/// EFLAGS: carry, and the bit that is always set.
const CARRY: u32 = 1 << 0;
const ALWAYS_SET: u32 = 1 << 1;
/// CR4: XGETBV and XSETBV are allowed.
const CR4_OSXSAVE: u32 = 1 << 18;
/// How often an entry sleeps at most before it gives a tick up.
const SLEEPS: usize = 1000;

pub(super) const ENTRIES: &[Entry] = &[
    entry("CPUID", Same, |_| cpuid_leaf()),
    entry("HLT", Same, |_| hlt()),
    entry("PAUSE", Same, |_| attempt!("pause").into()),
    entry("RDTSC", Same, |_| rdtsc()),
    entry("RDTSCP", May, |_| {
        attempt!("rdtscp"; out("eax") _, out("ecx") _, out("edx") _).into()
    }),
    entry("RDPMC", May, |_| {
        attempt!("rdpmc"; out("eax") _, in("ecx") 0, out("edx") _).into()
    }),
    entry("RDPRU", May, |_| {
        attempt!(".byte 0x0f, 0x01, 0xfd"; out("eax") _, in("ecx") 0, out("edx") _).into()
    }),
    entry("MONITOR", May, |_| monitor()),
    entry("MWAIT", May, |_| mwait()),
    entry("PUSHF, POPF", Same, |_| pushf_popf()),
    entry("PUSHFW, POPFW", Same, |_| {
        attempt!("pushfw", "popfw").into()
    }),
    entry("IRET", Same, |_| iret()),
    entry("INVD", Same, |_| attempt!("invd").into()),
    entry("WBINVD", Same, |_| attempt!("wbinvd").into()),
    entry("XGETBV", May, |_| xgetbv()),
    entry("XSETBV", May, |_| xsetbv()),
    entry("MCOMMIT", May, |_| {
        attempt!(".byte 0xf3, 0x0f, 0x01, 0xfa").into()
    }),
];

fn cpuid_leaf() -> Finding {
    let highest: u32;
    let trap = attempt!(
        "mov {ebx}, ebx", "cpuid" => "mov ebx, {ebx}";
        ebx = out(reg) _, inout("eax") 0 => highest, out("ecx") _, out("edx") _
    );
    check(trap, highest >= 1, "there is no leaf 1")
}

/// Sleeps until the timer ticks.
fn hlt() -> Finding {
    let before = pit::ticks();
    for _ in 0..SLEEPS {
        let trap = attempt!("sti", "hlt");
        if trap.is_some() || pit::ticks() != before {
            return trap.into();
        }
    }
    check(None, false, "no tick came")
}

fn rdtsc() -> Finding {
    let first = cpu::tsc();
    let (low, high): (u32, u32);
    let trap = attempt!("rdtsc"; out("eax") low, out("edx") high);
    check(
        trap,
        u64::from(high) << 32 | u64::from(low) >= first,
        "it runs backwards",
    )
}

/// What MONITOR watches.
static WATCHED: AtomicU32 = AtomicU32::new(0);

fn monitor() -> Finding {
    attempt!("monitor"; in("eax") WATCHED.as_ptr(), in("ecx") 0, in("edx") 0).into()
}

/// Waits for a write that never comes; the timer's tick ends it too.
fn mwait() -> Finding {
    attempt!(
        "monitor", "xor eax, eax", "mwait";
        inout("eax") WATCHED.as_ptr() => _, in("ecx") 0, in("edx") 0
    )
    .into()
}

/// Sets the carry flag through the stack, and reads it back.
fn pushf_popf() -> Finding {
    let flags: u32;
    let trap = attempt!(
        "clc", "pushfd", "or dword ptr [esp], 1", "popfd", "pushfd", "pop {flags}";
        flags = out(reg) flags
    );
    check(
        trap,
        flags & (CARRY | ALWAYS_SET) == CARRY | ALWAYS_SET,
        "the flag did not stay",
    )
}

/// Returns to the next instruction, with a frame made by hand that sets the carry flag.
fn iret() -> Finding {
    let flags: u32;
    let trap = attempt!(
        "clc", "pushfd", "or dword ptr [esp], 1", "mov {flags:e}, cs", "push {flags}",
        "lea {flags}, [3f]", "push {flags}",
        "iretd", "3:", "pushfd", "pop {flags}";
        flags = out(reg) flags
    );
    check(trap, flags & CARRY != 0, "it did not load the flags")
}

/// Runs `action` with CR4.OSXSAVE set.
fn with_xsave(action: fn() -> Finding) -> Finding {
    if !cpuid::has_xsave() {
        return NotOffered;
    }
    let cr4: u32;
    let trap = attempt!(
        "mov {cr4}, cr4", "mov {set}, {cr4}", "or {set}, {bit}", "mov cr4, {set}";
        cr4 = out(reg) cr4, set = out(reg) _, bit = const CR4_OSXSAVE
    );
    if trap.is_some() {
        return trap.into();
    }
    let finding = action();
    let trap = attempt!("mov cr4, {cr4}"; cr4 = in(reg) cr4);
    if trap.is_some() { trap.into() } else { finding }
}

fn xgetbv() -> Finding {
    with_xsave(|| attempt!("xgetbv"; out("eax") _, in("ecx") 0, out("edx") _).into())
}

fn xsetbv() -> Finding {
    with_xsave(|| attempt!("xgetbv", "xsetbv"; out("eax") _, in("ecx") 0, out("edx") _).into())
}
