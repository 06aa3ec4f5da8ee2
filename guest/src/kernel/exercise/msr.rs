//! RDMSR and WRMSR.

use guest::trap::Trap;

use super::{Entry, Finding, May, Same, check, entry};
use crate::kernel::exceptions::attempt;

const TSC: u32 = 0x10;
const SYSENTER_CS: u32 = 0x174;
const SYSENTER_ESP: u32 = 0x175;
const SYSENTER_EIP: u32 = 0x176;
const EFER: u32 = 0xC000_0080;
/// A number that no processor has a register for.
const UNKNOWN: u32 = 0x0BAD_0BAD;

pub(super) const ENTRIES: &[Entry] = &[
    entry("RDMSR TSC", Same, |_| read_tsc()),
    entry("RDMSR EFER", Same, |_| read(EFER).1.into()),
    entry("WRMSR EFER, unchanged", Same, |_| write_back(EFER)),
    entry("RDMSR, WRMSR SYSENTER_CS", Same, |_| {
        keeps(SYSENTER_CS, 0x08)
    }),
    entry("RDMSR, WRMSR SYSENTER_ESP", Same, |_| {
        keeps(SYSENTER_ESP, 0x0010_2030)
    }),
    entry("RDMSR, WRMSR SYSENTER_EIP", Same, |_| {
        keeps(SYSENTER_EIP, 0x0040_5060)
    }),
    entry("RDMSR of no register", May, |_| read(UNKNOWN).1.into()),
    entry("WRMSR of no register", May, |_| write(UNKNOWN, 0).into()),
];

/// The register's value, meaningless if there was a trap, and the trap.
fn read(register: u32) -> (u64, Option<Trap>) {
    let (low, high): (u32, u32);
    let trap = attempt!("rdmsr"; out("eax") low, in("ecx") register, out("edx") high);
    (u64::from(high) << 32 | u64::from(low), trap)
}

fn write(register: u32, value: u64) -> Option<Trap> {
    let (low, high) = (value as u32, (value >> 32) as u32);
    attempt!("wrmsr"; in("eax") low, in("ecx") register, in("edx") high)
}

fn read_tsc() -> Finding {
    let ((first, _), (second, trap)) = (read(TSC), read(TSC));
    check(trap, second >= first, "it runs backwards")
}

/// Writes a register's own value to it.
fn write_back(register: u32) -> Finding {
    let (value, trap) = read(register);
    trap.or_else(|| write(register, value)).into()
}

/// Writes a value, reads it back, and restores the one before.
fn keeps(register: u32, value: u64) -> Finding {
    let (before, trap) = read(register);
    if trap.is_some() {
        return trap.into();
    }
    let trap = write(register, value);
    let (kept, _) = read(register);
    let trap = trap.or_else(|| write(register, before));
    check(trap, kept == value, "it did not keep what was written")
}
