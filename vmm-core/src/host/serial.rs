//! The machine's serial ports: COM1 for people, COM2 for machines.
//!
//! A port that is not there swallows its output. Sending waits for the line, receiving never
//! waits. Follows the PC16550D data sheet.

use spin::Mutex;

use super::irq;
use super::ports::{Hardware, Ports};

// SAFETY: the UART at 3F8h is the VMM's; the lock makes its users take turns.
/// The line for people.
pub static COM1: Mutex<Uart<Hardware>> = Mutex::new(Uart::new(unsafe { Hardware::new() }, 0x3F8));
// SAFETY: as for COM1, at 2F8h.
/// The line for machines.
pub static COM2: Mutex<Uart<Hardware>> = Mutex::new(Uart::new(unsafe { Hardware::new() }, 0x2F8));

/// Where else a PC may have the line for people.
const OTHER_PORTS: [u16; 2] = [0x3E8, 0x2E8];

/// Moves the line for people to the firmware's console, should that be another port, or to one
/// that answers, should there be none at its usual port. COM2 stays the machines'.
pub fn settle(console: Option<u16>) {
    let mut com1 = COM1.lock();
    let taken = [com1.base(), COM2.lock().base()];
    let console = console.filter(|port| !taken.contains(port));
    let others = OTHER_PORTS.into_iter().filter(|_| !com1.present);
    let found: heapless::Vec<u16, 3> = console.into_iter().chain(others).collect();
    com1.find(found);
}

/// Receive and transmit buffers; with DLAB, the divisor.
const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

const DLAB: u8 = 0x80;
const EIGHT_BITS: u8 = 0x03;
/// 115200 / 1.
const DIVISOR: u16 = 1;
/// FIFOs on, emptied, receive interrupt after each byte.
const FIFO_ON: u8 = 0x07;
/// Both high when the FIFOs are on and work.
const FIFO_WORKS: u8 = 0xC0;
const FIFO_BYTES: u8 = 16;
/// DTR, RTS, and OUT2, which connects the interrupt line.
const READY: u8 = 0x0B;
const RECEIVE_INTERRUPT: u8 = 0x01;
const DATA_READY: u8 = 0x01;
const TRANSMITTER_EMPTY: u8 = 0x20;
/// Neither the FIFO nor the shift register behind it holds a byte.
const ALL_SENT: u8 = 0x40;

/// Looks at the line status before a byte counts as stuck. At 115200 baud a full FIFO empties
/// in 1.4 ms, and a look takes about a microsecond.
const PATIENCE: u32 = 100_000;

/// A 16550 or one of its kin.
#[derive(Debug)]
pub struct Uart<P> {
    ports: P,
    base: u16,
    present: bool,
    /// Bytes that the transmitter takes when it says it is empty.
    depth: u8,
    /// How many of them it has not been given since it last said so.
    room: u8,
}

impl<P: Ports> Uart<P> {
    /// The UART at `base`, taken to be absent until [`Self::init`] finds it.
    pub const fn new(ports: P, base: u16) -> Self {
        Self {
            ports,
            base,
            present: false,
            depth: 1,
            room: 0,
        }
    }

    /// Looks for the UART and, if it is there, sets it to 115200 baud, 8N1, with FIFOs and,
    /// if `receive_interrupt`, an interrupt for received bytes. Returns whether it is there.
    pub fn init(&mut self, receive_interrupt: bool) -> bool {
        self.present = [0x5A, 0xA5].iter().all(|&pattern| {
            self.write_register(SCRATCH, pattern);
            self.read_register(SCRATCH) == pattern
        });
        if !self.present {
            return false;
        }
        self.write_register(INTERRUPT_ENABLE, 0);
        self.write_register(LINE_CONTROL, DLAB | EIGHT_BITS);
        let [low, high] = DIVISOR.to_le_bytes();
        self.write_register(DATA, low);
        self.write_register(INTERRUPT_ENABLE, high);
        self.write_register(LINE_CONTROL, EIGHT_BITS);
        self.write_register(FIFO_CONTROL, FIFO_ON);
        let works = self.read_register(FIFO_CONTROL) & FIFO_WORKS == FIFO_WORKS;
        self.depth = if works { FIFO_BYTES } else { 1 };
        self.room = 0;
        self.write_register(MODEM_CONTROL, READY);
        self.write_register(
            INTERRUPT_ENABLE,
            if receive_interrupt {
                RECEIVE_INTERRUPT
            } else {
                0
            },
        );
        true
    }

    /// The port of its first register.
    pub const fn base(&self) -> u16 {
        self.base
    }

    /// The interrupt line of a UART there, as a PC has them: two ports share one.
    pub const fn line(&self) -> u8 {
        match self.base & 0xF00 {
            0x200 => irq::COM2,
            _ => irq::COM1,
        }
    }

    /// Speaks from now on to the first UART that is found at one of `bases`, with interrupts for
    /// received bytes. If none is found, everything stays as it was.
    pub fn find(&mut self, bases: impl IntoIterator<Item = u16>) {
        let old = (self.base, self.present);
        for base in bases {
            self.base = base;
            if self.init(true) {
                return;
            }
        }
        (self.base, self.present) = old;
    }

    /// Sends `bytes`, waiting for the line. If it does not move at all, the UART counts as
    /// absent from then on.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.room == 0 {
                self.present = self.present && self.wait_for(TRANSMITTER_EMPTY);
                self.room = self.depth;
            }
            if !self.present {
                return;
            }
            self.room -= 1;
            self.write_register(DATA, byte);
        }
    }

    /// Waits until the last byte has left: a machine that is switched off sends no more.
    pub fn drain(&mut self) {
        self.present = self.present && self.wait_for(ALL_SENT);
    }

    /// The next byte received; `None` when there is none.
    pub fn read(&mut self) -> Option<u8> {
        let ready = self.present && self.read_register(LINE_STATUS) & DATA_READY != 0;
        ready.then(|| self.read_register(DATA))
    }

    fn wait_for(&mut self, status: u8) -> bool {
        (0..PATIENCE).any(|_| self.read_register(LINE_STATUS) & status != 0)
    }

    fn read_register(&mut self, register: u16) -> u8 {
        self.ports.read_u8(self.base + register)
    }

    fn write_register(&mut self, register: u16, value: u8) {
        self.ports.write_u8(self.base + register, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ports::paper::{Chip, Nothing};
    use std::collections::VecDeque;
    use std::vec::Vec;

    /// A UART that sends a byte each third look at it, and complains about an overrun.
    #[derive(Default)]
    struct Paper {
        registers: [u8; 8],
        fifo: bool,
        stuck: bool,
        looks: u32,
        queue: VecDeque<u8>,
        sent: Vec<u8>,
        received: VecDeque<u8>,
    }

    impl Chip for Paper {
        fn read(&mut self, port: u16) -> u8 {
            match port - 0x3F8 {
                DATA => self.received.pop_front().unwrap_or(0),
                FIFO_CONTROL if self.fifo => 0xC1,
                FIFO_CONTROL => 0x01,
                LINE_STATUS => {
                    self.looks += 1;
                    if self.looks.is_multiple_of(3) && !self.stuck {
                        self.sent.extend(self.queue.pop_front());
                    }
                    let empty = if self.queue.is_empty() {
                        TRANSMITTER_EMPTY | ALL_SENT
                    } else {
                        0
                    };
                    empty | u8::from(!self.received.is_empty())
                }
                register => self.registers[register as usize],
            }
        }
        fn write(&mut self, port: u16, value: u8) {
            let register = port - 0x3F8;
            if register == DATA && self.registers[LINE_CONTROL as usize] & DLAB == 0 {
                self.queue.push_back(value);
                let depth = if self.fifo { 16 } else { 1 };
                assert!(self.queue.len() <= depth, "overrun");
            } else {
                self.registers[register as usize] = value;
            }
        }
    }

    fn uart(paper: Paper) -> Uart<Paper> {
        let mut uart = Uart::new(paper, 0x3F8);
        assert!(uart.init(true));
        uart
    }

    #[test]
    fn every_byte_arrives_with_and_without_a_fifo() {
        let text: Vec<u8> = (0..100).collect();
        for fifo in [false, true] {
            let mut uart = uart(Paper {
                fifo,
                ..Paper::default()
            });
            uart.write(&text);
            uart.drain();
            assert_eq!(uart.ports.sent, text);
        }
    }

    #[test]
    fn an_absent_port_swallows_output() {
        let mut uart = Uart::new(Nothing::default(), 0x3F8);
        assert!(!uart.init(true));
        let probes = uart.ports.0.len();
        uart.write(b"text");
        assert_eq!(uart.ports.0.len(), probes);
        assert_eq!(uart.read(), None);
    }

    #[test]
    fn a_line_moves_only_to_a_port_that_answers() {
        let mut uart = uart(Paper::default());
        uart.find([]);
        uart.write(b"a");
        assert_eq!((uart.base(), uart.present), (0x3F8, true));
        let mut absent = Uart::new(Nothing::default(), 0x3F8);
        absent.find([0x3E8, 0x2E8]);
        assert_eq!((absent.base(), absent.present), (0x3F8, false));
    }

    #[test]
    fn two_ports_share_a_line() {
        for (base, line) in [(0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3)] {
            assert_eq!(Uart::new(Nothing::default(), base).line(), line);
        }
    }

    #[test]
    fn a_stuck_line_is_given_up_once() {
        let mut uart = uart(Paper {
            stuck: true,
            ..Paper::default()
        });
        uart.write(b"abc");
        let looks = uart.ports.looks;
        uart.write(b"def");
        assert_eq!(uart.ports.looks, looks);
    }

    #[test]
    fn received_bytes_come_in_order() {
        let mut uart = uart(Paper {
            received: VecDeque::from([7, 8]),
            ..Paper::default()
        });
        assert_eq!(
            [uart.read(), uart.read(), uart.read()],
            [Some(7), Some(8), None]
        );
        assert_eq!(
            uart.ports.registers[INTERRUPT_ENABLE as usize],
            RECEIVE_INTERRUPT
        );
        assert_eq!(uart.ports.registers[LINE_CONTROL as usize], EIGHT_BITS);
    }
}
