//! The machine's pair of 8259 interrupt controllers.
//!
//! All state is in the chips: a [`Pic`] is a way to talk to them, and any number may exist on
//! the CPU that takes their interrupts. Follows the Intel 8259A data sheet.

use super::isa::{FIRST_VECTOR, IsaLines};
use super::ports::Ports;

const MASTER: u16 = 0x20;
const SLAVE: u16 = 0xA0;
/// From a chip's command port to its data port, which reads and writes the mask.
const DATA: u16 = 1;
/// The master's line that the slave hangs on.
const CASCADE: u8 = 2;
/// The line that a chip names when the interrupt has gone before it was asked.
const SPURIOUS: u8 = 7;

const ICW1_INIT_WITH_ICW4: u8 = 0x11;
const ICW4_8086: u8 = 0x01;
const OCW2_SPECIFIC_EOI: u8 = 0x60;
const OCW3_READ_ISR: u8 = 0x0B;

/// A mask that reads otherwise where there is no chip.
const PATTERN: u8 = 0xFB;
const ALL: u8 = 0xFF;

/// The pair of controllers, lines 0 to 15.
#[derive(Debug)]
pub struct Pic<P> {
    ports: P,
}

impl<P: Ports> Pic<P> {
    /// The pair behind `ports`, in whatever state it is.
    pub const fn new(ports: P) -> Self {
        Self { ports }
    }

    /// Starts both chips afresh, with vectors from [`FIRST_VECTOR`] on and every line masked.
    /// Returns whether they are there.
    pub fn init(&mut self) -> bool {
        for (chip, vector, wiring) in [
            (MASTER, FIRST_VECTOR, 1 << CASCADE),
            (SLAVE, FIRST_VECTOR + 8, CASCADE),
        ] {
            self.ports.write_u8(chip, ICW1_INIT_WITH_ICW4);
            self.ports.write_u8(chip + DATA, vector);
            self.ports.write_u8(chip + DATA, wiring);
            self.ports.write_u8(chip + DATA, ICW4_8086);
            self.ports.write_u8(chip + DATA, ALL);
        }
        [MASTER, SLAVE].into_iter().all(|chip| {
            [PATTERN, ALL].into_iter().all(|mask| {
                self.ports.write_u8(chip + DATA, mask);
                self.ports.read_u8(chip + DATA) == mask
            })
        })
    }

    fn set_mask(&mut self, chip: u16, bit: u8, masked: bool) {
        let mask = self.ports.read_u8(chip + DATA) & !(1 << bit);
        self.ports
            .write_u8(chip + DATA, mask | u8::from(masked) << bit);
    }

    fn in_service(&mut self, chip: u16) -> u8 {
        self.ports.write_u8(chip, OCW3_READ_ISR);
        self.ports.read_u8(chip)
    }
}

impl<P: Ports> IsaLines for Pic<P> {
    fn enable(&mut self, line: u8) {
        let (chip, bit) = place(line);
        self.set_mask(chip, bit, false);
        if chip == SLAVE {
            self.set_mask(MASTER, CASCADE, false);
        }
    }

    fn disable(&mut self, line: u8) {
        let (chip, bit) = place(line);
        self.set_mask(chip, bit, true);
    }

    /// A masked line's edge stays in the chip's IRR.
    #[inline]
    fn hold(&mut self, line: u8) {
        self.disable(line);
    }

    #[inline]
    fn is_spurious(&mut self, line: u8) -> bool {
        let (chip, bit) = place(line);
        if bit != SPURIOUS || self.in_service(chip) & 1 << SPURIOUS != 0 {
            return false;
        }
        if chip == SLAVE {
            // The master passed it on in good faith, and waits for its end.
            self.ports.write_u8(MASTER, OCW2_SPECIFIC_EOI | CASCADE);
        }
        true
    }

    #[inline]
    fn end(&mut self, line: u8) {
        let (chip, bit) = place(line);
        self.ports.write_u8(chip, OCW2_SPECIFIC_EOI | bit);
        if chip == SLAVE {
            self.ports.write_u8(MASTER, OCW2_SPECIFIC_EOI | CASCADE);
        }
    }
}

/// The chip that has `line`, and the line's bit there.
const fn place(line: u8) -> (u16, u8) {
    if line < 8 {
        (MASTER, line)
    } else {
        (SLAVE, line & 7)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ports::paper::{Chip, Nothing};
    use std::vec::Vec;

    /// Mask, in-service register, and the writes since power-on.
    #[derive(Default)]
    struct Pair {
        mask: [u8; 2],
        isr: [u8; 2],
        writes: Vec<(u16, u8)>,
    }

    impl Chip for Pair {
        fn read(&mut self, port: u16) -> u8 {
            match port {
                0x20 => self.isr[0],
                0xA0 => self.isr[1],
                0x21 => self.mask[0],
                _ => self.mask[1],
            }
        }
        fn write(&mut self, port: u16, value: u8) {
            self.writes.push((port, value));
            match port {
                0x21 => self.mask[0] = value,
                0xA1 => self.mask[1] = value,
                _ => {}
            }
        }
    }

    #[test]
    fn after_init_no_line_interrupts() {
        let mut pic = Pic::new(Pair::default());
        assert!(pic.init());
        assert_eq!(pic.ports.mask, [0xFF, 0xFF]);
        assert_eq!(
            pic.ports.writes[..5],
            [
                (0x20, 0x11),
                (0x21, 0x20),
                (0x21, 4),
                (0x21, 1),
                (0x21, 0xFF)
            ]
        );
        assert_eq!(
            pic.ports.writes[5..10],
            [
                (0xA0, 0x11),
                (0xA1, 0x28),
                (0xA1, 2),
                (0xA1, 1),
                (0xA1, 0xFF)
            ]
        );
    }

    #[test]
    fn an_absent_pair_is_noticed() {
        assert!(!Pic::new(Nothing::default()).init());
    }

    #[test]
    fn a_slave_line_opens_the_cascade() {
        let mut pic = Pic::new(Pair {
            mask: [0xFF, 0xFF],
            ..Pair::default()
        });
        pic.enable(12);
        assert_eq!(pic.ports.mask, [0xFB, 0xEF]);
        pic.enable(1);
        pic.disable(12);
        assert_eq!(pic.ports.mask, [0xF9, 0xFF]);
    }

    #[test]
    fn an_interrupt_is_ended_at_every_chip_it_came_through() {
        let mut pic = Pic::new(Pair::default());
        pic.end(4);
        pic.end(12);
        assert_eq!(pic.ports.writes, [(0x20, 0x64), (0xA0, 0x64), (0x20, 0x62)]);
    }

    #[test]
    fn a_spurious_interrupt_is_not_ended_where_it_never_began() {
        let mut pic = Pic::new(Pair::default());
        assert!(pic.is_spurious(7));
        assert_eq!(pic.ports.writes, [(0x20, 0x0B)]);
        pic.ports.writes.clear();
        assert!(pic.is_spurious(15));
        assert_eq!(pic.ports.writes, [(0xA0, 0x0B), (0x20, 0x62)]);
        pic.ports.isr = [0x80, 0x80];
        assert!(!pic.is_spurious(7));
        assert!(!pic.is_spurious(15));
        assert!(!pic.is_spurious(4));
    }
}
