//! A clock that a kernel need not measure: two structures in its memory that say what the TSC counts
//! and what date it is, by KVM's interface (Linux, Documentation/virt/kvm/x86/msr.rst and cpuid.rst).
//!
//! A kernel that finds no such thing polls the interval timer to learn the rate of the TSC, and each
//! look is an exit. Kernels know the interface by KVM's name, which leaf 4000_0000h bears for its
//! sake alone: no other feature of KVM is shown.

use crate::addr::Gpa;
use crate::devices::UnixTime;
use crate::host::tsc::{self, Tsc};
use crate::vm::{Vcpu, Vm};

/// `MSR_KVM_WALL_CLOCK_NEW`: where the date is to be written, once.
pub const WALL_CLOCK: u32 = 0x4b56_4d00;
/// `MSR_KVM_SYSTEM_TIME_NEW`: where the time is to be kept; bit 0 switches it on.
pub const SYSTEM_TIME: u32 = 0x4b56_4d01;

const ENABLED: u64 = 1 << 0;
/// The TSC is one clock for all of the guest's CPUs.
const TSC_STABLE: u8 = 1 << 0;

/// The clock of one VM.
#[derive(Clone, Copy, Debug)]
pub struct Pvclock {
    /// The date at guest time 0.
    started: UnixTime,
    wall_clock: u64,
    system_time: u64,
    /// Even while the structure in memory is whole.
    version: u32,
}

impl Pvclock {
    /// A clock that the guest has not asked for yet, in a VM that starts at this date.
    pub const fn new(started: UnixTime) -> Pvclock {
        Pvclock {
            started,
            wall_clock: 0,
            system_time: 0,
            version: 0,
        }
    }

    /// What one of its MSRs holds.
    pub const fn register(&self, msr: u32) -> u64 {
        if msr == WALL_CLOCK {
            self.wall_clock
        } else {
            self.system_time
        }
    }
}

/// Writes one of its MSRs; `None`: the VM has no such clock.
pub fn write(vcpu: &Vcpu, vm: &mut Vm, msr: u32, value: u64) -> Option<()> {
    let clock = vm.pvclock.as_mut()?;
    if msr == SYSTEM_TIME {
        clock.system_time = value;
        publish(vcpu, vm);
    } else {
        const VERSION: u32 = 2;
        clock.wall_clock = value;
        let mut date = [0; 12];
        date[..4].copy_from_slice(&VERSION.to_le_bytes());
        date[4..8].copy_from_slice(&(clock.started.0 as u32).to_le_bytes());
        // A guest that names no memory of its own gets no date.
        let _ = vm.memory.write(Gpa(value), &date);
    }
    Some(())
}

/// Brings the time in the guest's memory up to date, if it wants it there: its TSC has jumped
/// against its time.
pub fn publish(vcpu: &Vcpu, vm: &mut Vm) {
    let Some(clock) = &mut vm.pvclock else { return };
    if clock.system_time & ENABLED == 0 {
        return;
    }
    clock.version = clock.version.wrapping_add(2);
    let now = tsc::now();
    let (factor, shift) = scale(vm.clock.tsc());
    let mut time = [0; 32];
    time[..4].copy_from_slice(&clock.version.to_le_bytes());
    let guest_tsc = now.wrapping_add(vcpu.control().tsc_offset);
    time[8..16].copy_from_slice(&guest_tsc.to_le_bytes());
    time[16..24].copy_from_slice(&vm.clock.at(now).0.to_le_bytes());
    time[24..28].copy_from_slice(&factor.to_le_bytes());
    time[28] = shift as u8;
    time[29] = TSC_STABLE;
    let _ = vm.memory.write(Gpa(clock.system_time & !ENABLED), &time);
}

/// Nanoseconds are `(ticks << shift) * factor >> 32`; with a negative shift, to the right.
fn scale(tsc: Tsc) -> (u32, i8) {
    const NS: u64 = 1_000_000_000;
    let (mut hz, mut shift) = (tsc.hz(), 0);
    while hz > 2 * NS {
        hz >>= 1;
        shift -= 1;
    }
    while hz <= NS {
        hz <<= 1;
        shift += 1;
    }
    (((NS << 32) / hz) as u32, shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// As a kernel computes, of any TSC that the VMM takes.
        #[test]
        fn ticks_become_the_nanoseconds_that_they_last(hz in 1_000_000u64..1_000_000_000_000, ticks in 0u64..1 << 40) {
            let (factor, shift) = scale(Tsc::new(hz).unwrap());
            let shifted = if shift < 0 { ticks >> -shift } else { ticks << shift };
            let ns = (u128::from(shifted) * u128::from(factor)) >> 32;
            let exact = u128::from(ticks) * 1_000_000_000 / u128::from(hz);
            // Both the rate and the factor are cut off below 2^-29 of them.
            prop_assert!(ns.abs_diff(exact) <= (exact >> 28) + 1000, "{ns} {exact}");
        }
    }
}
