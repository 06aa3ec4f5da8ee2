//! The APICs, put out of the way: interrupts come from the 8259 pair through them ("virtual wire").
//!
//! Firmware, of the UEFI kind above all, may have left the local APIC's own timer running, its
//! LINT0 pin closed to the 8259s, or I/O APICs that deliver the same lines a second time. Follows
//! APM volume 2, 16.3 to 16.5, and the Intel 82093AA data sheet.

use core::arch::x86_64::__cpuid;

use x86_64::registers::model_specific::Msr;

use super::acpi::madt::Madt;

const APIC_BASE: u32 = 0x1B;
const ENABLED: u64 = 1 << 11;
const X2APIC: u64 = 1 << 10;
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
/// Register 0 of the local APIC as MSRs; each register there is 16 bytes apart in memory.
const FIRST_MSR: u32 = 0x800;

const SPURIOUS: u32 = 0x0F;
const TIMER: u32 = 0x32;
const LINT0: u32 = 0x35;
const LINT1: u32 = 0x36;

/// The vector of an interrupt that went away before it was taken: nothing to do, nothing to end.
pub const SPURIOUS_VECTOR: u8 = 0xFF;
const SOFTWARE_ENABLE: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
/// Delivery modes, of a local vector table entry.
const EXTERNAL: u32 = 7 << 8;
const NMI: u32 = 4 << 8;

/// What is written to the local APIC, by register.
const VIRTUAL_WIRE: [(u32, u32); 4] = [
    (SPURIOUS, SOFTWARE_ENABLE | SPURIOUS_VECTOR as u32),
    (TIMER, MASKED),
    (LINT0, EXTERNAL),
    (LINT1, NMI),
];

/// Lets the 8259 pair, and nothing else, interrupt this CPU.
///
/// # Safety
/// Runs on the boot CPU with interrupts off. The APICs are nobody else's, and what is mapped
/// below `mapped_below` is mapped one to one, uncached where there are devices.
pub unsafe fn step_aside(madt: Option<&Madt>, mapped_below: u64) {
    const APIC: u32 = 1 << 9;
    if __cpuid(1).edx & APIC == 0 {
        return;
    }
    // SAFETY: the CPU has an APIC, and so this register.
    let base = unsafe { Msr::new(APIC_BASE).read() };
    if base & ENABLED == 0 {
        return;
    }
    for &at in madt.map_or(&[][..], |madt| &madt.io_apics) {
        if u64::from(at) < mapped_below {
            // SAFETY: ACPI says that an I/O APIC is there, and the caller that it is mapped.
            unsafe { close_io_apic(at.into()) }
        }
    }
    for (register, value) in VIRTUAL_WIRE {
        let place = (base & ADDRESS) + u64::from(register) * 16;
        // SAFETY: the registers are those of an APIC that is enabled, and the caller vouches for
        // the mapping.
        unsafe {
            if base & X2APIC != 0 {
                Msr::new(FIRST_MSR + register).write(value.into());
            } else if place < mapped_below {
                (place as *mut u32).write_volatile(value);
            }
        }
    }
}

/// Masks every line of the I/O APIC at `at`.
///
/// # Safety
/// There is one, mapped and uncached.
unsafe fn close_io_apic(at: u64) {
    const WINDOW: u64 = 0x10;
    const VERSION: u32 = 1;
    const FIRST_LINE: u32 = 0x10;
    let (select, window) = (at as *mut u32, (at + WINDOW) as *mut u32);
    // SAFETY: the caller vouches for the registers.
    unsafe {
        select.write_volatile(VERSION);
        let last = window.read_volatile() >> 16 & 0xFF;
        for line in 0..=last {
            select.write_volatile(FIRST_LINE + 2 * line);
            let entry = window.read_volatile();
            window.write_volatile(entry | MASKED);
        }
    }
}
