//! The APICs: in the way of a machine's 8259 pair, or in its place where it has none.
//!
//! Firmware, of the UEFI kind above all, may have left the local APIC's own timer running, its
//! LINT0 pin closed to the 8259s, or I/O APICs that deliver the same lines a second time. Follows
//! APM volume 2, 16.3 to 16.5, and the Intel 82093AA data sheet.

mod io;
mod lines;
mod local;
mod timer;

pub use io::Signal;
pub use lines::{MachineLines, Wiring};
pub use local::{LocalApic, LocalRegisters, SPURIOUS_VECTOR, TIMER_VECTOR};
pub use timer::ApicTimer;

use super::acpi::madt::Madt;
use super::paging::DEVICE_TOP;
use super::registers::Mmio;
use io::IoApic;
use local::Pair;

/// The VMM's way to the APIC of the CPU that runs this.
pub type Local = LocalApic<LocalRegisters>;

/// Lets the 8259 pair interrupt this CPU ("virtual wire"), and no I/O APIC.
///
/// # Safety
/// Runs on the boot CPU with interrupts off. The APICs are nobody else's, and what is mapped
/// below [`DEVICE_TOP`] is mapped one to one, uncached where there are devices.
pub unsafe fn step_aside(local: &mut Local, madt: Option<&Madt>) {
    // SAFETY: by the caller's promise.
    for mut chip in unsafe { io_apics(madt) } {
        chip.mask_all();
    }
    local.set_up(Pair::Open);
}

/// Has the I/O APICs bring a PC's sixteen lines, all masked, to this CPU, and the 8259 pair none.
///
/// # Safety
/// As for [`step_aside`].
pub unsafe fn take_over(mut local: Local, madt: Option<&Madt>) -> MachineLines {
    local.set_up(Pair::Shut);
    let cpu = local.id();
    let wirings = madt.map_or(&[][..], |madt| &madt.wirings);
    // SAFETY: by the caller's promise.
    MachineLines::new(local, cpu, unsafe { io_apics(madt) }, wirings)
}

/// The I/O APICs that ACPI names and that can be reached.
///
/// # Safety
/// As for [`step_aside`].
unsafe fn io_apics(madt: Option<&Madt>) -> impl Iterator<Item = IoApic<Mmio>> {
    let named = madt.map_or(&[][..], |madt| &madt.io_apics);
    let reached = named.iter().filter(|chip| u64::from(chip.at) < DEVICE_TOP);
    reached.map(|chip| {
        // SAFETY: ACPI says that an I/O APIC is there, and the caller that it is mapped.
        IoApic::new(unsafe { Mmio::new(chip.at.into()) }, chip.first_pin)
    })
}
