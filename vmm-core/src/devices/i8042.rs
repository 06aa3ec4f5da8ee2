//! The keyboard controller of the PC, an 8042 on ports 60h and 64h. It has a keyboard on its first
//! port or nothing, and on its second port, for the auxiliary device, a mouse or nothing. It drives
//! interrupt lines 1 and 12.
//!
//! Passwords, the dump of its state and polling of the input port are left out: commands A5h, A6h,
//! ACh, C1h and C2h do nothing.
//!
//! Sources: IBM PS/2 Technical Reference, "Keyboard/Auxiliary Device Controller", "Keyboard" and
//! "Mouse".

mod keyboard;
mod mouse;
mod scancode;
#[cfg(test)]
mod tests;

use keyboard::Keyboard;
use mouse::Mouse;
use scancode::{BREAK_PREFIX, to_set1};

/// The status register, port 64h.
mod status {
    pub const OUTPUT_FULL: u8 = 1 << 0;
    /// Self test passed.
    pub const SYSTEM: u8 = 1 << 2;
    /// The last write was to port 64h.
    pub const COMMAND: u8 = 1 << 3;
    /// The key lock is open.
    pub const UNLOCKED: u8 = 1 << 4;
    /// The byte in the output buffer is the mouse's.
    pub const OF_MOUSE: u8 = 1 << 5;
    pub const TIMEOUT: u8 = 1 << 6;
}

/// The command byte, byte 0 of the controller's RAM.
mod command_byte {
    pub const INTERRUPT: u8 = 1 << 0;
    pub const MOUSE_INTERRUPT: u8 = 1 << 1;
    pub const SYSTEM: u8 = 1 << 2;
    pub const KEYBOARD_OFF: u8 = 1 << 4;
    pub const MOUSE_OFF: u8 = 1 << 5;
    pub const TRANSLATE: u8 = 1 << 6;
}

/// The output port: bit 0 low resets the machine, bit 1 is address line 20.
const OUTPUT_PORT_IDLE: u8 = 0xc3;
const OUTPUT_PORT_RUN: u8 = 1 << 0;
/// The input port: keyboard not inhibited.
const INPUT_PORT: u8 = 0x80;
/// What a test of a port answers with a device there, and without: its clock line is stuck low.
const PORT_WORKS: u8 = 0x00;
const CLOCK_STUCK: u8 = 0x01;
/// No password is installed.
const NO_PASSWORD: u8 = 0xf1;
/// What comes instead of the answer of a device that does not speak.
const RESEND: u8 = 0xfe;

/// Where the next byte written to port 60h goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Data {
    Keyboard,
    Ram(u8),
    OutputPort,
    /// Back to the output buffer, as if it came from the keyboard or from the mouse.
    Echo {
        of_mouse: bool,
    },
    Mouse,
}

/// A byte in the output buffer or on its way there.
#[derive(Clone, Copy, Debug)]
struct Output {
    byte: u8,
    /// What the status register says of it, beside `OUTPUT_FULL`.
    status: u8,
}

/// The controller with what is on its ports.
#[derive(Clone, Debug)]
pub struct I8042 {
    ram: [u8; 32],
    output: Option<Output>,
    /// The controller's own answer, which waits until the output buffer is free.
    answer: Option<Output>,
    /// What port 60h shows while the buffer is empty: the byte read last.
    last: u8,
    next: Data,
    last_was_command: bool,
    output_port: u8,
    /// A set-2 break prefix has arrived; translation applies it to the next byte.
    break_follows: bool,
    keyboard: Option<Keyboard>,
    mouse: Option<Mouse>,
}

impl I8042 {
    /// As a BIOS leaves it: keyboard scanning, translation and interrupt on.
    pub fn new(has_keyboard: bool, has_mouse: bool) -> Self {
        let mut ram = [0; 32];
        ram[0] = command_byte::INTERRUPT
            | command_byte::SYSTEM
            | command_byte::MOUSE_OFF
            | command_byte::TRANSLATE;
        Self {
            ram,
            output: None,
            answer: None,
            last: 0,
            next: Data::Keyboard,
            last_was_command: false,
            output_port: OUTPUT_PORT_IDLE,
            break_follows: false,
            keyboard: has_keyboard.then(Keyboard::new),
            mouse: has_mouse.then(Mouse::new),
        }
    }

    /// Reads port 60h: takes the byte from the output buffer.
    pub fn read_data(&mut self) -> u8 {
        if let Some(output) = self.output.take() {
            self.last = output.byte;
            self.fill();
        }
        self.last
    }

    /// Reads port 64h.
    pub fn read_status(&self) -> u8 {
        let mut value = status::UNLOCKED;
        if let Some(output) = self.output {
            value |= status::OUTPUT_FULL | output.status;
        }
        if self.ram[0] & command_byte::SYSTEM != 0 {
            value |= status::SYSTEM;
        }
        if self.last_was_command {
            value |= status::COMMAND;
        }
        value
    }

    /// Writes port 60h. True if that resets the machine.
    pub fn write_data(&mut self, value: u8) -> bool {
        self.last_was_command = false;
        match core::mem::replace(&mut self.next, Data::Keyboard) {
            Data::Keyboard => {
                // Speaking to a device also opens its line.
                self.ram[0] &= !command_byte::KEYBOARD_OFF;
                match &mut self.keyboard {
                    Some(keyboard) => keyboard.command(value),
                    None => self.time_out(),
                }
            }
            Data::Ram(0) => {
                self.ram[0] = value;
                if self.mouse.is_none() {
                    self.ram[0] |= command_byte::MOUSE_OFF;
                }
            }
            Data::Ram(place) => self.ram[usize::from(place & 0x1f)] = value,
            Data::OutputPort => {
                self.output_port = value;
                return value & OUTPUT_PORT_RUN == 0;
            }
            Data::Echo { of_mouse } => {
                let status = if of_mouse && self.mouse.is_some() {
                    status::OF_MOUSE
                } else {
                    0
                };
                self.answer = Some(Output {
                    byte: value,
                    status,
                });
            }
            Data::Mouse => match &mut self.mouse {
                Some(mouse) => {
                    self.ram[0] &= !command_byte::MOUSE_OFF;
                    mouse.command(value);
                }
                None => self.time_out(),
            },
        }
        self.fill();
        false
    }

    /// Writes port 64h, a controller command. True if that resets the machine.
    pub fn write_command(&mut self, value: u8) -> bool {
        self.last_was_command = true;
        self.next = Data::Keyboard;
        match value {
            0x20..=0x3f => self.answer(self.ram[usize::from(value & 0x1f)]),
            0x60..=0x7f => self.next = Data::Ram(value & 0x1f),
            0xa4 => self.answer(NO_PASSWORD),
            0xa7 => self.ram[0] |= command_byte::MOUSE_OFF,
            0xa8 if self.mouse.is_some() => self.ram[0] &= !command_byte::MOUSE_OFF,
            0xa9 => self.answer(test_of(self.mouse.is_some())),
            0xaa => {
                self.ram[0] |= command_byte::SYSTEM;
                self.answer(0x55);
            }
            0xab => self.answer(test_of(self.keyboard.is_some())),
            0xad => self.ram[0] |= command_byte::KEYBOARD_OFF,
            0xae => self.ram[0] &= !command_byte::KEYBOARD_OFF,
            0xc0 => self.answer(INPUT_PORT),
            0xd0 => self.answer(self.read_output_port()),
            0xd1 => self.next = Data::OutputPort,
            0xd2 => self.next = Data::Echo { of_mouse: false },
            0xd3 => self.next = Data::Echo { of_mouse: true },
            0xd4 => self.next = Data::Mouse,
            0xe0 => self.answer(self.read_test_inputs()),
            // Each low bit pulses an output line; line 0 is the reset.
            0xf0..=0xff => return value & OUTPUT_PORT_RUN == 0,
            // A mouse port without a mouse is not switched on; the others mean nothing.
            _ => {}
        }
        self.fill();
        false
    }

    /// A byte from the physical keyboard, in set 1. False if there is no room: try again later.
    pub fn key(&mut self, set1: u8) -> bool {
        let Some(keyboard) = &mut self.keyboard else {
            return true;
        };
        let taken = keyboard.key(set1);
        self.fill();
        taken
    }

    /// Scroll, num and caps lock lights in bits 0-2.
    pub fn leds(&self) -> u8 {
        self.keyboard.as_ref().map_or(0, Keyboard::leds)
    }

    /// The level of interrupt line 1: a byte that is not the mouse's waits, and its interrupt is on.
    pub fn irq(&self) -> bool {
        self.waits(0) && self.ram[0] & command_byte::INTERRUPT != 0
    }

    /// The level of interrupt line 12: a byte of the mouse's waits, and its interrupt is on.
    pub fn mouse_irq(&self) -> bool {
        self.waits(status::OF_MOUSE) && self.ram[0] & command_byte::MOUSE_INTERRUPT != 0
    }

    /// Whether there is a byte in the output buffer, and `OF_MOUSE` is so.
    fn waits(&self, of_mouse: u8) -> bool {
        self.output
            .is_some_and(|output| output.status & status::OF_MOUSE == of_mouse)
    }

    fn answer(&mut self, byte: u8) {
        self.answer = Some(Output { byte, status: 0 });
    }

    /// The device that was spoken to did not answer.
    fn time_out(&mut self) {
        self.answer = Some(Output {
            byte: RESEND,
            status: status::TIMEOUT,
        });
    }

    /// The clock lines of keyboard and mouse, in bits 0 and 1: low where the port is off.
    fn read_test_inputs(&self) -> u8 {
        let on = |off: u8| u8::from(self.ram[0] & off == 0);
        on(command_byte::KEYBOARD_OFF) | on(command_byte::MOUSE_OFF) << 1
    }

    /// The output port shows in bit 4 that a byte of the keyboard's is in the output buffer, and in
    /// bit 5 that one of the mouse's is.
    fn read_output_port(&self) -> u8 {
        let full = u8::from(self.waits(0)) << 4 | u8::from(self.waits(status::OF_MOUSE)) << 5;
        self.output_port & !0x30 | full
    }

    /// Fills an empty output buffer: with the controller's answer, else from the keyboard, else
    /// from the mouse.
    fn fill(&mut self) {
        if self.output.is_none() {
            self.output = self.answer.take();
        }
        while self.output.is_none() && self.ram[0] & command_byte::KEYBOARD_OFF == 0 {
            let Some(byte) = self.keyboard.as_mut().and_then(Keyboard::send) else {
                break;
            };
            self.output = self.translate(byte).map(|byte| Output { byte, status: 0 });
        }
        if self.output.is_none() && self.ram[0] & command_byte::MOUSE_OFF == 0 {
            let byte = self.mouse.as_mut().and_then(Mouse::send);
            let status = status::OF_MOUSE;
            self.output = byte.map(|byte| Output { byte, status });
        }
    }

    /// Translation: set 2 becomes set 1, in which a break is bit 7 and no byte of its own.
    fn translate(&mut self, byte: u8) -> Option<u8> {
        if self.ram[0] & command_byte::TRANSLATE == 0 {
            return Some(byte);
        }
        if byte == BREAK_PREFIX {
            self.break_follows = true;
            return None;
        }
        let break_bit = u8::from(core::mem::take(&mut self.break_follows)) << 7;
        Some(to_set1(byte) | break_bit)
    }
}

/// What a test of a port answers.
const fn test_of(has_device: bool) -> u8 {
    if has_device { PORT_WORKS } else { CLOCK_STUCK }
}
