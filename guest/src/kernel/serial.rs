//! COM1: text out by polling, input by interrupt.

use guest::ring::Ring;

use super::port;

/// The interrupt line of COM1.
pub const LINE: u32 = 4;

const BASE: u16 = 0x3F8;
const DATA: u16 = BASE;
const INTERRUPT_ENABLE: u16 = BASE + 1;
const FIFO_CONTROL: u16 = BASE + 2;
const LINE_CONTROL: u16 = BASE + 3;
const MODEM_CONTROL: u16 = BASE + 4;
const LINE_STATUS: u16 = BASE + 5;
/// A register that only stores.
pub const SCRATCH: u16 = BASE + 7;

/// Line status: a received byte waits.
const RECEIVED: u8 = 1 << 0;
/// Line status: the transmitter's FIFO is empty.
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// Bytes that an empty transmitter takes.
const FIFO_BYTES: usize = 16;
/// How often the transmitter is looked at before its bytes are given up.
const PATIENCE: usize = 1_000_000;

static RECEIVED_BYTES: Ring = Ring::new();

/// 115200 baud, eight bits, no parity, FIFOs on; an interrupt for each byte received.
pub fn install() {
    for (register, value) in [
        (INTERRUPT_ENABLE, 0x00),
        (LINE_CONTROL, 0x80),     // the next two set the divisor
        (DATA, 0x01),             // 115200 baud
        (INTERRUPT_ENABLE, 0x00), // its high byte
        (LINE_CONTROL, 0x03),     // 8N1
        (FIFO_CONTROL, 0x07),     // on, both emptied, interrupt at the first byte
        (MODEM_CONTROL, 0x0B),    // DTR, RTS, and OUT2, which lets the interrupt out
        (INTERRUPT_ENABLE, 0x01), // received data
    ] {
        port::write(register, value);
    }
}

/// Sends text; a newline goes out as carriage return and newline.
pub fn write(text: &str) {
    let mut room = 0;
    for byte in text.bytes() {
        if byte == b'\n' {
            send(b'\r', &mut room);
        }
        send(byte, &mut room);
    }
}

/// Queues the bytes that wait; called by the interrupt. All are read, even when
/// the queue is full: only an empty FIFO lets the next one interrupt again.
pub fn receive() {
    while port::read(LINE_STATUS) & RECEIVED != 0 {
        RECEIVED_BYTES.put(port::read(DATA));
    }
}

/// The oldest byte received that nobody has taken yet.
pub fn take() -> Option<u8> {
    RECEIVED_BYTES.take()
}

/// Sends a byte; `room` is how many more the transmitter is known to take.
fn send(byte: u8, room: &mut usize) {
    if *room == 0 {
        let empty = (0..PATIENCE).any(|_| port::read(LINE_STATUS) & TRANSMITTER_EMPTY != 0);
        if !empty {
            return;
        }
        *room = FIFO_BYTES;
    }
    port::write(DATA, byte);
    *room -= 1;
}
