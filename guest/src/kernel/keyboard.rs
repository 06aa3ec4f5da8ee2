//! The PS/2 keyboard behind its i8042 controller.
//!
//! The interrupt queues scancodes; what they mean is worked out by whoever reads.

use guest::ring::Ring;

use super::port;

/// The keyboard's interrupt line.
pub const LINE: u32 = 1;

const DATA: u16 = 0x60;
/// Reads as the status, takes commands.
const STATUS: u16 = 0x64;
/// Status: a byte waits in the data port.
const OUTPUT_FULL: u8 = 1 << 0;
/// Status: the controller has not yet taken the byte written last.
const INPUT_FULL: u8 = 1 << 1;
/// What the status port of a machine without a controller reads as.
const NOTHING_THERE: u8 = 0xFF;
/// Controller: read, write its configuration byte.
const READ_CONFIGURATION: u8 = 0x20;
const WRITE_CONFIGURATION: u8 = 0x60;
/// Configuration: interrupt on line 1; keyboard off; translate to set 1.
const INTERRUPT: u8 = 1 << 0;
const KEYBOARD_OFF: u8 = 1 << 4;
const TRANSLATE: u8 = 1 << 6;
/// Keyboard: send keys; and its answer.
const ENABLE_SCANNING: u8 = 0xF4;
const ACKNOWLEDGED: u8 = 0xFA;

/// How often a status bit is looked at before giving up.
const PATIENCE: usize = 10_000;

static SCANCODES: Ring = Ring::new();

/// Makes the keyboard send scancodes of set 1, each with an interrupt. False if
/// none answers. To be called with interrupts off.
pub fn install() -> bool {
    if port::read(STATUS) == NOTHING_THERE {
        return false;
    }
    drain();
    let Some(configuration) = command(READ_CONFIGURATION).then(receive_byte).flatten() else {
        return false;
    };
    command(WRITE_CONFIGURATION);
    send((configuration | INTERRUPT | TRANSLATE) & !KEYBOARD_OFF);
    send(ENABLE_SCANNING);
    let answered = receive_byte() == Some(ACKNOWLEDGED);
    drain();
    answered
}

/// Queues the scancode that waits, if one does; called by the interrupt.
pub fn receive() {
    if port::read(STATUS) & OUTPUT_FULL != 0 {
        SCANCODES.put(port::read(DATA));
    }
}

/// The oldest scancode that nobody has taken yet.
pub fn take() -> Option<u8> {
    SCANCODES.take()
}

/// Throws away what waits in the controller.
fn drain() {
    for _ in 0..PATIENCE {
        if port::read(STATUS) & OUTPUT_FULL == 0 {
            return;
        }
        port::read(DATA);
    }
}

fn command(byte: u8) -> bool {
    let ready = wait(INPUT_FULL, 0);
    port::write(STATUS, byte);
    ready
}

fn send(byte: u8) {
    wait(INPUT_FULL, 0);
    port::write(DATA, byte);
}

fn receive_byte() -> Option<u8> {
    wait(OUTPUT_FULL, OUTPUT_FULL).then(|| port::read(DATA))
}

/// Waits for the status bits `mask` to be `value`; false if they do not get there.
fn wait(mask: u8, value: u8) -> bool {
    (0..PATIENCE).any(|_| port::read(STATUS) & mask == value)
}
