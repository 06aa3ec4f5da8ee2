//! The CPU's local APIC (APM volume 2, 16.3 and 16.4): its registers, in memory or as MSRs
//! (x2APIC, 16.9 and 16.11), and what the VMM sets in them.

use core::arch::x86_64::__cpuid;

use x86_64::registers::model_specific::Msr;

use crate::host::paging::DEVICE_TOP;
use crate::host::registers::{Mmio, Registers};

const APIC_BASE: u32 = intercepts::Msr::APIC_BASE.number;
const ENABLED: u64 = 1 << 11;
const X2APIC: u64 = 1 << 10;
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
/// The register at offset 0 as an MSR; those that are 16 bytes apart in memory follow each other.
const FIRST_MSR: u32 = 0x800;

const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const END: u32 = 0xB0;
const SPURIOUS: u32 = 0xF0;
const TIMER: u32 = 0x320;
const LINT0: u32 = 0x350;
const LINT1: u32 = 0x360;
const TIMER_COUNT: u32 = 0x380;
const TIMER_LEFT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3E0;

/// The vector of an interrupt that went away before it was taken: nothing to do, nothing to end.
pub const SPURIOUS_VECTOR: u8 = 0xFF;
/// The vector of the APIC's timer, beyond those of the sixteen lines.
pub const TIMER_VECTOR: u8 = 0x30;

const SOFTWARE_ENABLE: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
/// Delivery modes, of a local vector table entry.
const EXTERNAL: u32 = 7 << 8;
const NMI: u32 = 4 << 8;
/// The timer counts at the speed of its clock.
const DIVIDE_BY_1: u32 = 0b1011;

/// Whether the 8259 pair, which is wired to LINT0, reaches the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// It does.
    Open,
    /// It does not.
    Shut,
}

/// A local APIC.
#[derive(Debug)]
pub struct LocalApic<R>(R);

impl LocalApic<LocalRegisters> {
    /// The APIC of the CPU that runs this, if it has one that is enabled and can be reached.
    ///
    /// # Safety
    /// It is the VMM's own, and what is mapped below [`DEVICE_TOP`] is mapped one to one, uncached
    /// where there are devices.
    pub unsafe fn of_this_cpu() -> Option<Self> {
        const APIC: u32 = 1 << 9;
        if __cpuid(1).edx & APIC == 0 {
            return None;
        }
        // SAFETY: the CPU has an APIC, and so this register.
        let base = unsafe { Msr::new(APIC_BASE).read() };
        let registers = match base & (ENABLED | X2APIC) {
            ENABLED if base & ADDRESS < DEVICE_TOP => {
                // SAFETY: the APIC is enabled, and the caller vouches for the mapping.
                LocalRegisters::Memory(unsafe { Mmio::new(base & ADDRESS) })
            }
            both if both == ENABLED | X2APIC => LocalRegisters::Msrs,
            _ => return None,
        };
        Some(Self(registers))
    }

    /// The number by which an I/O APIC calls the CPU.
    pub fn id(&mut self) -> u8 {
        match &mut self.0 {
            LocalRegisters::Memory(registers) => (registers.read(ID) >> 24) as u8,
            LocalRegisters::Msrs => self.0.read(ID) as u8,
        }
    }
}

impl<R: Registers> LocalApic<R> {
    /// The APIC behind `registers`.
    pub const fn new(registers: R) -> Self {
        Self(registers)
    }

    /// The registers.
    #[cfg(test)]
    pub const fn registers(&self) -> &R {
        &self.0
    }

    /// Takes interrupts of every priority, NMIs by LINT1, and by LINT0 as `pair` says; the timer
    /// stands still.
    pub fn set_up(&mut self, pair: Pair) {
        let lint0 = match pair {
            Pair::Open => EXTERNAL,
            Pair::Shut => EXTERNAL | MASKED,
        };
        for (register, value) in [
            (SPURIOUS, SOFTWARE_ENABLE | u32::from(SPURIOUS_VECTOR)),
            (TASK_PRIORITY, 0),
            (TIMER, MASKED),
            (TIMER_COUNT, 0),
            (LINT0, lint0),
            (LINT1, NMI),
        ] {
            self.0.write(register, value);
        }
    }

    /// Ends the interrupt that is being served.
    pub fn end(&mut self) {
        self.0.write(END, 0);
    }

    /// Lets the timer interrupt by [`TIMER_VECTOR`], once each time it is started.
    pub fn open_timer(&mut self) {
        self.0.write(TIMER_DIVIDE, DIVIDE_BY_1);
        self.0.write(TIMER, TIMER_VECTOR.into());
    }

    /// Starts the timer with `count`, in the place of what it still had to count; 0 stops it.
    pub fn start_timer(&mut self, count: u32) {
        self.0.write(TIMER_COUNT, count);
    }

    /// What the timer still has to count.
    pub fn timer_left(&mut self) -> u32 {
        self.0.read(TIMER_LEFT)
    }
}

/// A local APIC's registers.
#[derive(Debug)]
pub enum LocalRegisters {
    /// In memory.
    Memory(Mmio),
    /// As MSRs.
    Msrs,
}

impl Registers for LocalRegisters {
    fn read(&mut self, offset: u32) -> u32 {
        match self {
            Self::Memory(registers) => registers.read(offset),
            // SAFETY: the APIC is in x2APIC mode, where it has each register that is named here.
            Self::Msrs => unsafe { Msr::new(msr(offset)).read() as u32 },
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        match self {
            Self::Memory(registers) => registers.write(offset, value),
            // SAFETY: as for `read`; the values are legal there.
            Self::Msrs => unsafe { Msr::new(msr(offset)).write(value.into()) },
        }
    }
}

const fn msr(offset: u32) -> u32 {
    FIRST_MSR + offset / 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::registers::paper::Memory;

    #[test]
    fn the_8259s_reach_the_cpu_only_where_they_are_to() {
        for (pair, lint0) in [(Pair::Open, 0x700), (Pair::Shut, 0x1_0700)] {
            let mut apic = Memory::default();
            LocalApic::new(&mut apic).set_up(pair);
            assert_eq!(apic.values[&LINT0], lint0);
            assert_eq!(apic.values[&LINT1], 0x400);
            assert_eq!(apic.values[&SPURIOUS], 0x1FF);
            assert_eq!(apic.values[&TASK_PRIORITY], 0);
        }
    }

    #[test]
    fn the_firmwares_timer_is_stopped_and_the_vmms_has_a_vector_of_its_own() {
        let mut apic = Memory::default();
        LocalApic::new(&mut apic).set_up(Pair::Open);
        assert_eq!(
            (apic.values[&TIMER], apic.values[&TIMER_COUNT]),
            (MASKED, 0)
        );
        LocalApic::new(&mut apic).open_timer();
        assert_eq!(apic.values[&TIMER], 0x30);
    }

    #[test]
    fn as_msrs_the_registers_follow_each_other() {
        assert_eq!(
            [msr(ID), msr(SPURIOUS), msr(TIMER_DIVIDE)],
            [0x802, 0x80F, 0x83E]
        );
    }
}
