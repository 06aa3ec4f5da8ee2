//! A PC's sixteen lines, brought by I/O APICs in the place of the 8259 pair (ACPI 6.5, 5.2.12.5).

use heapless::Vec;

use super::io::{IoApic, Signal};
use super::local::{LocalApic, LocalRegisters};
use crate::host::isa::{FIRST_VECTOR, IsaLines};
use crate::host::registers::{Mmio, Registers};

const LINES: usize = 16;
const MOST_CHIPS: usize = 16;

/// Where a line is wired to, if not to the pin of its own number as ISA has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// The line.
    pub line: u8,
    /// The pin's number, counted over all I/O APICs.
    pub pin: u32,
    /// How its device speaks.
    pub signal: Signal,
}

/// The lines, as the machine has them.
pub type MachineLines = ApicLines<LocalRegisters, Mmio>;

/// The lines, at a local APIC and I/O APICs.
#[derive(Debug)]
pub struct ApicLines<L, I> {
    local: LocalApic<L>,
    chips: Vec<IoApic<I>, MOST_CHIPS>,
    pins: [Option<Pin>; LINES],
}

/// Where a line ends.
#[derive(Clone, Copy, Debug)]
struct Pin {
    /// The chip.
    chip: usize,
    /// Its number there.
    pin: u32,
    /// Whether the line asks by its level.
    level: bool,
}

impl<L: Registers, I: Registers> ApicLines<L, I> {
    /// Routes the lines to the CPU that `cpu` names, all masked, and masks what else the chips
    /// have. What comes behind the sixteenth chip stays as the firmware left it.
    pub fn new(
        local: LocalApic<L>,
        cpu: u8,
        chips: impl IntoIterator<Item = IoApic<I>>,
        wirings: &[Wiring],
    ) -> Self {
        let mut lines = Self {
            local,
            chips: chips.into_iter().take(MOST_CHIPS).collect(),
            pins: [None; LINES],
        };
        for chip in &mut lines.chips {
            chip.mask_all();
        }
        for (line, place) in (0u8..).zip(&mut lines.pins) {
            let wiring = wirings.iter().find(|wiring| wiring.line == line);
            // A pin that another line is wired to is not this one's.
            let is_taken = || wirings.iter().any(|wiring| wiring.pin == u32::from(line));
            let (number, signal) = match wiring {
                Some(wiring) => (wiring.pin, wiring.signal),
                None if is_taken() => continue,
                None => (line.into(), Signal::default()),
            };
            let level = signal.level;
            *place = (lines.chips.iter_mut().enumerate())
                .find_map(|(chip, of)| of.pin(number).map(|pin| Pin { chip, pin, level }));
            if let Some(Pin { chip, pin, .. }) = *place {
                lines.chips[chip].route(pin, signal, FIRST_VECTOR + line, cpu);
            }
        }
        lines
    }

    fn place(&self, line: u8) -> Option<Pin> {
        self.pins.get(usize::from(line)).copied().flatten()
    }

    fn set_mask(&mut self, line: u8, masked: bool) {
        let Some(Pin { chip, pin, .. }) = self.place(line) else {
            return;
        };
        if let Some(chip) = self.chips.get_mut(chip) {
            chip.set_mask(pin, masked);
        }
    }
}

impl<L: Registers, I: Registers> IsaLines for ApicLines<L, I> {
    fn enable(&mut self, line: u8) {
        self.set_mask(line, false);
    }

    fn disable(&mut self, line: u8) {
        self.set_mask(line, true);
    }

    /// A masked pin forgets an edge, and an edge does not come again by itself.
    fn hold(&mut self, line: u8) {
        if self.place(line).is_some_and(|pin| pin.level) {
            self.disable(line);
        }
    }

    /// An APIC has a vector of its own for those.
    fn is_spurious(&mut self, _: u8) -> bool {
        false
    }

    fn end(&mut self, _: u8) {
        self.local.end();
    }
}

#[cfg(test)]
mod tests {
    use super::super::io::paper::Chip;
    use super::*;
    use crate::host::registers::paper::Memory;

    const LOW_LEVEL: Signal = Signal {
        low: true,
        level: true,
    };

    /// A PC as QEMU has it: line 0 at pin 2, line 9 level-triggered, one chip.
    const PC: [Wiring; 2] = [
        Wiring {
            line: 0,
            pin: 2,
            signal: Signal {
                low: false,
                level: false,
            },
        },
        Wiring {
            line: 9,
            pin: 9,
            signal: LOW_LEVEL,
        },
    ];

    fn lines<'c>(
        chips: &'c mut [Chip],
        local: &'c mut Memory,
        firsts: &[u32],
        wirings: &[Wiring],
    ) -> ApicLines<&'c mut Memory, &'c mut Chip> {
        let chips = chips
            .iter_mut()
            .zip(firsts)
            .map(|(chip, first)| IoApic::new(chip, *first));
        ApicLines::new(LocalApic::new(local), 3, chips, wirings)
    }

    #[test]
    fn lines_go_to_the_pins_that_acpi_names_and_else_to_their_own() {
        let (mut chips, mut local) = ([Chip::new(24)], Memory::default());
        let mut routed = lines(&mut chips, &mut local, &[0], &PC);
        for line in [0, 1, 2, 9] {
            routed.enable(line);
        }
        drop(routed);
        let low = |pin: usize| chips[0].entries[2 * pin];
        assert_eq!(low(0), 0x1_0000, "nobody's pin stays masked");
        assert_eq!(low(1), 0x21);
        assert_eq!(low(2), 0x20, "line 0's, and not line 2's");
        assert_eq!(low(4), 0x1_0024, "not enabled");
        assert_eq!(low(9), 0xA029);
        assert_eq!(chips[0].entries[3], 3 << 24);
    }

    #[test]
    fn lines_may_be_spread_over_chips_or_missing() {
        let (mut chips, mut local) = ([Chip::new(4), Chip::new(8)], Memory::default());
        let mut routed = lines(&mut chips, &mut local, &[0, 4], &[]);
        for line in 0..16 {
            routed.enable(line);
            routed.disable(line);
            routed.enable(line);
        }
        drop(routed);
        assert_eq!(chips[0].entries[2 * 3], 0x23);
        assert_eq!(chips[1].entries[2 * 7], 0x2B);
    }

    #[test]
    fn a_level_is_masked_for_a_while_and_an_edge_would_be_lost_then() {
        let (mut chips, mut local) = ([Chip::new(24)], Memory::default());
        let mut routed = lines(&mut chips, &mut local, &[0], &PC);
        for line in [7, 9] {
            routed.enable(line);
            routed.hold(line);
        }
        drop(routed);
        assert_eq!(chips[0].entries[2 * 7], 0x27);
        assert_eq!(chips[0].entries[2 * 9], 0x1_A029);
    }

    #[test]
    fn an_interrupt_is_ended_at_the_local_apic() {
        let mut local = Memory::default();
        lines(&mut [], &mut local, &[], &[]).end(4);
        assert_eq!(local.writes, [(0xB0, 0)]);
    }
}
