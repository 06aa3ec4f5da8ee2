//! Which chips bring the machine's interrupts and time its turns: those of a PC of old, or APICs
//! where they are gone.

use super::InitError;
use super::acpi::Acpi;
use super::apic::{self, ApicTimer, LocalApic};
use super::irq::{self, Controller};
use super::isa::IsaLines;
use super::pic::Pic;
use super::ports::Hardware;
use super::serial::COM1;
use super::timer::Timer;
use super::timer::pit::Pit;
use super::tsc::{self, Tsc};

/// What can bring a PC's lines to the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bringer {
    Pair,
    Apics,
}

/// Which of the two does, where ACPI denies that there are 8259s or not, they answer or not, and
/// the CPU has a local APIC or not.
fn choose(denied: bool, answers: bool, has_apic: bool) -> Result<Bringer, InitError> {
    match (answers && !denied, has_apic) {
        (true, _) => Ok(Bringer::Pair),
        (false, true) => Ok(Bringer::Apics),
        (false, false) if answers => Ok(Bringer::Pair),
        (false, false) => Err(InitError::NoInterrupts),
    }
}

/// Lets timer, keyboard and the serial line for people interrupt, by what the machine has for that. `pit_counts`: it
/// has an interval timer.
///
/// # Safety
/// This is the boot CPU, with interrupts off; the devices are the VMM's, and those below
/// [`DEVICE_TOP`] mapped one to one and uncached.
pub(super) unsafe fn open(pit_counts: bool, acpi: &Acpi, tsc: &Tsc) -> Result<Timer, InitError> {
    // SAFETY: each of the devices has one driver.
    let [pair, pit] = [(); 2].map(|()| unsafe { Hardware::new() });
    let (mut pair, mut pit) = (Pic::new(pair), Pit::new(pit));
    pit.disarm();
    // Where they are not used, this masks them.
    let answers = pair.init();
    // SAFETY: the APIC is the VMM's, and the caller vouches for the mapping.
    let local = || unsafe { LocalApic::of_this_cpu() };
    let madt = acpi.madt.as_ref();
    let bringer = choose(acpi.denies_8259(), answers, local().is_some())?;
    let mut controller = match (bringer, local()) {
        (Bringer::Apics, Some(local)) => {
            if madt.is_none_or(|madt| madt.io_apics.is_empty()) {
                crate::warn!(
                    "ACPI names no I/O APIC, and there is no pair of 8259s: nobody can type"
                );
            }
            // SAFETY: by the caller's promise.
            Controller::Apics(unsafe { apic::take_over(local, madt) })
        }
        (_, Some(mut local)) => {
            // SAFETY: by the caller's promise.
            unsafe { apic::step_aside(&mut local, madt) }
            Controller::Pair(pair)
        }
        (_, None) => Controller::Pair(pair),
    };
    let timer = if pit_counts && bringer == Bringer::Pair {
        controller.enable(irq::TIMER);
        Timer::Pit(pit)
    } else {
        let timer = local().and_then(|local| ApicTimer::new(local, tsc, tsc::now));
        Timer::Apic(timer.ok_or(InitError::NoTimer)?)
    };
    for line in [irq::KEYBOARD, COM1.lock().line()] {
        controller.enable(line);
    }
    *irq::controller() = controller;
    Ok(timer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_8259s_are_used_unless_acpi_or_they_themselves_deny_it() {
        for has_apic in [false, true] {
            assert_eq!(choose(false, true, has_apic), Ok(Bringer::Pair));
        }
        for (denied, answers) in [(true, true), (true, false), (false, false)] {
            assert_eq!(choose(denied, answers, true), Ok(Bringer::Apics));
        }
        // Better than nothing.
        assert_eq!(choose(true, true, false), Ok(Bringer::Pair));
        for denied in [false, true] {
            assert_eq!(choose(denied, false, false), Err(InitError::NoInterrupts));
        }
    }
}
