//! The pair of 8259A interrupt controllers: lines 0-15 arrive as vectors 32-47.

use guest::trap::FIRST_INTERRUPT;

use super::port;

/// Interrupt lines of the pair.
pub const LINES: u32 = 16;

const MASTER_COMMAND: u16 = 0x20;
/// The master's data port; its interrupt mask, once it is initialised.
pub const MASTER_DATA: u16 = 0x21;
const SLAVE_COMMAND: u16 = 0xA0;
const SLAVE_DATA: u16 = 0xA1;

/// The master's line that the slave is on.
const CASCADE: u8 = 2;
/// ICW1: initialise, ICW4 will follow, cascaded, edges.
const INITIALISE: u8 = 0x11;
/// ICW4: 8086 mode.
const MODE_8086: u8 = 0x01;
/// OCW2: end of the interrupt in service.
const END: u8 = 0x20;
/// OCW3: the next read of the command port is the in-service register.
const READ_IN_SERVICE: u8 = 0x0B;

/// Initialises both, and opens only the `lines` given (and the slave's).
pub fn install(lines: &[u32]) {
    let vector = FIRST_INTERRUPT;
    for (command, data, first, cascade) in [
        (MASTER_COMMAND, MASTER_DATA, vector, 1 << CASCADE),
        (SLAVE_COMMAND, SLAVE_DATA, vector + 8, CASCADE),
    ] {
        port::write(command, INITIALISE);
        port::write(data, first);
        port::write(data, cascade);
        port::write(data, MODE_8086);
    }
    let open = lines
        .iter()
        .fold(1u16 << CASCADE, |open, line| open | 1 << line);
    let [master, slave] = (!open).to_le_bytes();
    port::write(MASTER_DATA, master);
    port::write(SLAVE_DATA, slave);
}

/// Whether the interrupt of a line is in service. On the lowest line of each
/// controller one may be spurious: the request went away before it was taken.
pub fn is_real(line: u32) -> bool {
    let in_service = |command| {
        port::write(command, READ_IN_SERVICE);
        port::read(command) & 1 << 7 != 0
    };
    match line {
        7 => in_service(MASTER_COMMAND),
        15 => {
            let real = in_service(SLAVE_COMMAND);
            if !real {
                // For the master the slave's request was real.
                port::write(MASTER_COMMAND, END);
            }
            real
        }
        _ => true,
    }
}

/// Tells the controllers that the interrupt of a line is handled.
pub fn end_of_interrupt(line: u32) {
    if line >= 8 {
        port::write(SLAVE_COMMAND, END);
    }
    port::write(MASTER_COMMAND, END);
}
