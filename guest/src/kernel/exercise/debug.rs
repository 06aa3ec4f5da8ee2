//! Debug registers, breakpoints, and single-stepping.

use core::sync::atomic::AtomicU32;

use guest::trap::{self, Trap};

use super::{Entry, Finding, Same, Trapped, Wrong, check, entry};
use crate::kernel::exceptions::{attempt, debug_status};

/// DR6 when nothing happened.
const DR6_QUIET: u32 = 0xFFFF_0FF0;
/// DR6: breakpoint 0, breakpoint 1, single step.
const DR6_B0: u32 = 1 << 0;
const DR6_B1: u32 = 1 << 1;
const DR6_BS: u32 = 1 << 14;
/// DR7 with no breakpoint armed.
const DR7_IDLE: u32 = 1 << 10;
/// DR7: breakpoint 0 on execution.
const DR7_EXECUTE_0: u32 = DR7_IDLE | 1 << 1;
/// DR7: breakpoint 1 on writes of four bytes.
const DR7_WRITE_1: u32 = DR7_IDLE | 1 << 3 | 0b01 << 20 | 0b11 << 22;
/// An address to keep in a debug register.
const ADDRESS: u32 = 0x1234_5678;

pub(super) const ENTRIES: &[Entry] = &[
    entry("MOV to DR0, from DR0", Same, |_| {
        keeps(|value| attempt!("mov dr0, {0}", "mov {0}, dr0"; inout(reg) *value))
    }),
    entry("MOV to DR1, from DR1", Same, |_| {
        keeps(|value| attempt!("mov dr1, {0}", "mov {0}, dr1"; inout(reg) *value))
    }),
    entry("MOV to DR2, from DR2", Same, |_| {
        keeps(|value| attempt!("mov dr2, {0}", "mov {0}, dr2"; inout(reg) *value))
    }),
    entry("MOV to DR3, from DR3", Same, |_| {
        keeps(|value| attempt!("mov dr3, {0}", "mov {0}, dr3"; inout(reg) *value))
    }),
    entry("MOV to DR4, from DR4 and DR6", Same, |_| dr4()),
    entry("MOV to DR5, from DR5 and DR7", Same, |_| dr5()),
    entry("MOV to DR6, from DR6", Same, |_| dr6()),
    entry("MOV to DR7, from DR7", Same, |_| dr7()),
    entry("breakpoint on execution", Same, |_| breakpoint()),
    entry("breakpoint on writing", Same, |_| watchpoint()),
    entry("single step", Same, |_| single_step()),
    entry("single step over CPUID", Same, |_| single_step_cpuid()),
    entry("single step over OUT", Same, |_| single_step_out()),
];

/// Whether a debug register keeps an address.
fn keeps(write_and_read: fn(&mut u32) -> Option<Trap>) -> Finding {
    let mut value = ADDRESS;
    let trap = write_and_read(&mut value);
    check(trap, value == ADDRESS, "it did not keep what was written")
}

/// DR4 is DR6, unless CR4.DE takes the name away.
fn dr4() -> Finding {
    let hit = DR6_QUIET | DR6_B0;
    let (value, alias): (u32, u32);
    let trap = attempt!(
        "mov dr4, {value}", "mov {alias}, dr6", "mov {value}, dr4", "mov dr4, {quiet}";
        value = inout(reg) hit => value, alias = out(reg) alias, quiet = in(reg) DR6_QUIET
    );
    check(trap, [value, alias] == [hit; 2], "it is not DR6")
}

/// DR5 is DR7.
fn dr5() -> Finding {
    let (value, alias): (u32, u32);
    let trap = attempt!(
        "mov dr5, {value}", "mov {alias}, dr7", "mov {value}, dr5";
        value = inout(reg) DR7_IDLE => value, alias = out(reg) alias
    );
    check(trap, [value, alias] == [DR7_IDLE; 2], "it is not DR7")
}

fn dr6() -> Finding {
    let value: u32;
    let trap = attempt!("mov dr6, {0}", "mov {0}, dr6"; inout(reg) DR6_QUIET => value);
    check(trap, value == DR6_QUIET, "it did not keep what was written")
}

fn dr7() -> Finding {
    let value: u32;
    let trap = attempt!("mov dr7, {0}", "mov {0}, dr7"; inout(reg) DR7_IDLE => value);
    check(trap, value == DR7_IDLE, "it did not keep what was written")
}

/// Takes every breakpoint away again.
fn disarm() {
    attempt!("mov dr7, {}"; in(reg) DR7_IDLE);
}

/// A #DB, if DR6 names this cause and EIP is the place expected.
fn expect_debug(trap: Option<Trap>, cause: u32, eip: u32) -> Finding {
    match trap {
        Some(trap) if trap.vector != trap::DEBUG => Trapped(trap),
        Some(_) if debug_status() & (DR6_B0 | DR6_B1 | DR6_BS) != cause => {
            Wrong("DR6 names another cause")
        }
        Some(trap) if trap.eip != eip => Wrong("it came at another instruction"),
        Some(trap) => Trapped(trap),
        None => Wrong("it did not come"),
    }
}

fn breakpoint() -> Finding {
    let place: u32;
    let trap = attempt!(
        "lea {place}, [3f]", "mov dr0, {place}", "mov dr7, {arm}", "nop", "3:", "nop";
        place = out(reg) place, arm = in(reg) DR7_EXECUTE_0
    );
    disarm();
    expect_debug(trap, DR6_B0, place)
}

/// What the watchpoint watches.
static WATCHED: AtomicU32 = AtomicU32::new(0);

fn watchpoint() -> Finding {
    let after: u32;
    let trap = attempt!(
        "lea {after}, [3f]", "mov dr1, {watched}", "mov dr7, {arm}",
        "mov dword ptr [{watched}], 1", "3:", "nop";
        after = out(reg) after, watched = in(reg) WATCHED.as_ptr(), arm = in(reg) DR7_WRITE_1
    );
    disarm();
    expect_debug(trap, DR6_B1, after)
}

/// Steps over one instruction; the trap comes after it. Before it stands POPF,
/// which sets the flag but does not trap yet.
macro_rules! step {
    ($($first:literal,)? step $instruction:literal $(=> $last:literal)? $(; $($operand:tt)*)?) => {{
        let after: u32;
        let trap = attempt!(
            "lea {after}, [3f]", $($first,)? "pushfd", "or dword ptr [esp], 0x100", "popfd",
            $instruction, "3:", "nop", "nop" $(=> $last)?;
            after = out(reg) after, $($($operand)*)?
        );
        expect_debug(trap, DR6_BS, after)
    }};
}

fn single_step() -> Finding {
    step!(step "nop")
}

fn single_step_cpuid() -> Finding {
    step!("mov {ebx}, ebx", step "cpuid" => "mov ebx, {ebx}";
        ebx = out(reg) _, inout("eax") 0 => _, out("ecx") _, out("edx") _)
}

fn single_step_out() -> Finding {
    step!(step "out 0x80, al"; in("al") 0_u8)
}
