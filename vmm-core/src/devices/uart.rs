//! The serial port COM1: a PC16550D on ports 3F8h-3FFh with interrupt line 4.
//!
//! The line behind it has no speed: a byte written is sent at once, and a byte received stands
//! alone, so that what is below the FIFO's trigger level counts as timed out. Somebody is always
//! connected (CTS, DSR and DCD are on). Section names are those of National's PC16550D data sheet.

#[cfg(test)]
mod tests;

use heapless::Deque;

/// Bytes in the receiver FIFO.
const FIFO: usize = 16;

/// Interrupt Enable Register.
mod ier {
    pub const RECEIVED: u8 = 1 << 0;
    pub const TRANSMITTER_EMPTY: u8 = 1 << 1;
    pub const LINE_STATUS: u8 = 1 << 2;
    pub const MODEM_STATUS: u8 = 1 << 3;
    pub const ALL: u8 = 0x0f;
}

/// Interrupt Identification Register, bits 3-0, by falling priority.
mod iir {
    pub const LINE_STATUS: u8 = 0x6;
    pub const RECEIVED: u8 = 0x4;
    pub const TIMEOUT: u8 = 0xc;
    pub const TRANSMITTER_EMPTY: u8 = 0x2;
    pub const MODEM_STATUS: u8 = 0x0;
    pub const NONE: u8 = 0x1;
    pub const FIFOS: u8 = 0xc0;
}

/// FIFO Control Register.
mod fcr {
    pub const ENABLE: u8 = 1 << 0;
    pub const CLEAR_RECEIVER: u8 = 1 << 1;
}

/// Line Control Register.
mod lcr {
    pub const BREAK: u8 = 1 << 6;
    pub const DLAB: u8 = 1 << 7;
}

/// Modem Control Register.
mod mcr {
    pub const DTR: u8 = 1 << 0;
    pub const RTS: u8 = 1 << 1;
    pub const OUT1: u8 = 1 << 2;
    /// On a PC this pin connects the interrupt to line 4.
    pub const OUT2: u8 = 1 << 3;
    pub const LOOP: u8 = 1 << 4;
    pub const ALL: u8 = 0x1f;
}

/// Line Status Register.
mod lsr {
    pub const DATA_READY: u8 = 1 << 0;
    pub const OVERRUN: u8 = 1 << 1;
    pub const FRAMING: u8 = 1 << 3;
    pub const BREAK: u8 = 1 << 4;
    /// Transmitter holding register and transmitter empty: always.
    pub const EMPTY: u8 = 0x60;
    pub const ERROR_IN_FIFO: u8 = 1 << 7;
}

/// Modem Status Register.
mod msr {
    pub const RING_ENDED: u8 = 1 << 2;
    pub const CTS: u8 = 1 << 4;
    pub const DSR: u8 = 1 << 5;
    pub const RING: u8 = 1 << 6;
    pub const DCD: u8 = 1 << 7;
}

/// A character in the receiver and the errors that came with it.
#[derive(Clone, Copy, Debug)]
struct Received {
    byte: u8,
    errors: u8,
}

/// The 16550A.
#[derive(Clone, Debug)]
pub struct Uart {
    divisor: u16,
    ier: u8,
    fifo_enabled: bool,
    /// Characters in the FIFO from which on it interrupts: 1, 4, 8 or 14.
    trigger: u8,
    lcr: u8,
    mcr: u8,
    scratch: u8,
    received: Deque<Received, FIFO>,
    /// The character read last; an empty receiver repeats it.
    last: u8,
    /// Overrun, and the errors of the character at the front once it got there.
    line_errors: u8,
    modem: u8,
    /// The transmitter's interrupt condition: raised when it empties, taken by reading IIR.
    transmitter_emptied: bool,
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl Uart {
    /// "Reset": as after the master reset pin, at 9600 baud.
    pub const fn new() -> Self {
        Self {
            divisor: 12,
            ier: 0,
            fifo_enabled: false,
            trigger: 1,
            lcr: 0,
            mcr: 0,
            scratch: 0,
            received: Deque::new(),
            last: 0,
            line_errors: 0,
            modem: msr::CTS | msr::DSR | msr::DCD,
            transmitter_emptied: false,
        }
    }

    /// Reads register 0-7.
    pub fn read(&mut self, register: u8) -> u8 {
        let [low, high] = self.divisor.to_le_bytes();
        match (register & 7, self.lcr & lcr::DLAB != 0) {
            (0, true) => low,
            (1, true) => high,
            (0, false) => self.read_received(),
            (1, false) => self.ier,
            (2, _) => self.read_iir(),
            (3, _) => self.lcr,
            (4, _) => self.mcr,
            (5, _) => self.read_lsr(),
            (6, _) => {
                let status = self.modem;
                self.modem &= 0xf0;
                status
            }
            _ => self.scratch,
        }
    }

    /// Writes register 0-7. Returns the byte that goes out on the line, if one does.
    pub fn write(&mut self, register: u8, value: u8) -> Option<u8> {
        let [low, high] = self.divisor.to_le_bytes();
        match (register & 7, self.lcr & lcr::DLAB != 0) {
            (0, true) => self.divisor = u16::from_le_bytes([value, high]),
            (1, true) => self.divisor = u16::from_le_bytes([low, value]),
            (0, false) => return self.transmit(value),
            (1, false) => {
                // "Interrupt Enable Register": the transmitter is empty, so enabling interrupts.
                self.transmitter_emptied = value & ier::TRANSMITTER_EMPTY != 0
                    && (self.transmitter_emptied || self.ier & ier::TRANSMITTER_EMPTY == 0);
                self.ier = value & ier::ALL;
            }
            (2, _) => self.write_fcr(value),
            (3, _) => self.write_lcr(value),
            (4, _) => {
                self.mcr = value & mcr::ALL;
                self.update_modem();
            }
            (7, _) => self.scratch = value,
            // LSR and MSR are for reading; writing them is a factory test.
            _ => {}
        }
        None
    }

    /// A byte from the line. False if it does not fit now: try again later.
    pub fn receive(&mut self, byte: u8) -> bool {
        let room = !self.looped() && self.received.len() < self.capacity();
        if room {
            self.push(Received { byte, errors: 0 });
        }
        room
    }

    /// A break from the line: a zero byte with break and framing error. False as for
    /// [`receive`](Self::receive).
    pub fn receive_break(&mut self) -> bool {
        let room = !self.looped() && self.received.len() < self.capacity();
        if room {
            self.push(BREAK);
        }
        room
    }

    /// The level of interrupt line 4.
    pub fn irq(&self) -> bool {
        // In loopback the output pins are inactive, and with them the PC's interrupt gate.
        self.mcr & (mcr::OUT2 | mcr::LOOP) == mcr::OUT2 && self.cause() != iir::NONE
    }

    const fn looped(&self) -> bool {
        self.mcr & mcr::LOOP != 0
    }

    const fn capacity(&self) -> usize {
        if self.fifo_enabled { FIFO } else { 1 }
    }

    /// "Interrupt Identification Register": the cause with the highest priority.
    fn cause(&self) -> u8 {
        let waiting = self.received.len();
        if self.ier & ier::LINE_STATUS != 0 && self.line_errors != 0 {
            iir::LINE_STATUS
        } else if self.ier & ier::RECEIVED != 0 && waiting >= usize::from(self.trigger) {
            iir::RECEIVED
        } else if self.ier & ier::RECEIVED != 0 && waiting > 0 {
            iir::TIMEOUT
        } else if self.ier & ier::TRANSMITTER_EMPTY != 0 && self.transmitter_emptied {
            iir::TRANSMITTER_EMPTY
        } else if self.ier & ier::MODEM_STATUS != 0 && self.modem & 0x0f != 0 {
            iir::MODEM_STATUS
        } else {
            iir::NONE
        }
    }

    fn read_iir(&mut self) -> u8 {
        let cause = self.cause();
        if cause == iir::TRANSMITTER_EMPTY {
            self.transmitter_emptied = false;
        }
        cause | if self.fifo_enabled { iir::FIFOS } else { 0 }
    }

    fn read_lsr(&mut self) -> u8 {
        let mut status = lsr::EMPTY | self.line_errors;
        if !self.received.is_empty() {
            status |= lsr::DATA_READY;
        }
        if self.fifo_enabled && self.received.iter().any(|received| received.errors != 0) {
            status |= lsr::ERROR_IN_FIFO;
        }
        self.line_errors = 0;
        if let Some(front) = self.received.front_mut() {
            front.errors = 0;
        }
        status
    }

    fn read_received(&mut self) -> u8 {
        if let Some(received) = self.received.pop_front() {
            self.last = received.byte;
            self.reveal_front();
        }
        self.last
    }

    /// "Line Status Register": a character's errors show when it is the next to be read.
    fn reveal_front(&mut self) {
        if let Some(front) = self.received.front() {
            self.line_errors |= front.errors;
        }
    }

    /// A character has been shifted in, room or no room.
    fn push(&mut self, received: Received) {
        if self.received.len() >= self.capacity() {
            self.line_errors |= lsr::OVERRUN;
            if self.fifo_enabled {
                // The FIFO keeps what it has; the new character is lost.
                return;
            }
            self.received.clear();
        }
        // Cannot fail: there is room for one at least.
        let _ = self.received.push_back(received);
        self.reveal_front();
    }

    fn transmit(&mut self, byte: u8) -> Option<u8> {
        self.transmitter_emptied = true;
        if self.looped() {
            self.push(Received { byte, errors: 0 });
            None
        } else {
            Some(byte)
        }
    }

    /// "FIFO Control Register": other bits count only together with the enable bit.
    fn write_fcr(&mut self, value: u8) {
        let enable = value & fcr::ENABLE != 0;
        if enable != self.fifo_enabled || (enable && value & fcr::CLEAR_RECEIVER != 0) {
            self.received.clear();
        }
        self.fifo_enabled = enable;
        self.trigger = match (enable, value >> 6) {
            (false, _) | (_, 0) => 1,
            (_, 1) => 4,
            (_, 2) => 8,
            _ => 14,
        };
    }

    fn write_lcr(&mut self, value: u8) {
        let break_begins = value & !self.lcr & lcr::BREAK != 0;
        self.lcr = value;
        if break_begins && self.looped() {
            self.push(BREAK);
        }
    }

    /// "Modem Control Register" bit 4: in loopback the outputs are the inputs. "Modem Status
    /// Register": each change is remembered, RI's only when it ends.
    fn update_modem(&mut self) {
        let inputs = if self.looped() {
            [
                (mcr::RTS, msr::CTS),
                (mcr::DTR, msr::DSR),
                (mcr::OUT1, msr::RING),
                (mcr::OUT2, msr::DCD),
            ]
            .into_iter()
            .filter(|(output, _)| self.mcr & output != 0)
            .fold(0, |inputs, (_, input)| inputs | input)
        } else {
            msr::CTS | msr::DSR | msr::DCD
        };
        let mut changed = (self.modem ^ inputs) >> 4;
        if inputs & msr::RING != 0 {
            changed &= !msr::RING_ENDED;
        }
        self.modem = inputs | self.modem & 0x0f | changed;
    }
}

/// What the receiver makes of a break.
const BREAK: Received = Received {
    byte: 0,
    errors: lsr::BREAK | lsr::FRAMING,
};
