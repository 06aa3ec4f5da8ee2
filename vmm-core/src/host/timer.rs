//! The one-shot timer that ends a guest's turn, whichever the machine has.

pub mod pit;

use super::apic::{ApicTimer, LocalRegisters};
use super::ports::Hardware;
use pit::Pit;

/// The timer. When it fires, [`super::irq::TIMER`] is among the lines that came.
#[derive(Debug)]
pub enum Timer {
    /// Channel 0 of the 8254, at the machine's line 0.
    Pit(Pit<Hardware>),
    /// The local APIC's own.
    Apic(ApicTimer<LocalRegisters>),
}

impl Timer {
    /// Interrupts once, `ns` nanoseconds from now or earlier: whoever is woken looks at the
    /// clock. Replaces what was armed before.
    pub fn arm(&mut self, ns: u64) {
        match self {
            Self::Pit(pit) => pit.arm(ns),
            Self::Apic(timer) => timer.arm(ns),
        }
    }
}
