//! The keyboard controller of the PC, an 8042 on ports 60h and 64h, with a keyboard and without
//! a mouse port. It drives interrupt line 1.
//!
//! Sources: IBM PS/2 Technical Reference, "Keyboard/Auxiliary Device Controller" and "Keyboard".

mod keyboard;
mod scancode;
#[cfg(test)]
mod tests;

use keyboard::Keyboard;
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
    pub const TIMEOUT: u8 = 1 << 6;
}

/// The command byte, byte 0 of the controller's RAM.
mod command_byte {
    pub const INTERRUPT: u8 = 1 << 0;
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
/// What "test mouse port" answers without one: its clock line is stuck low.
const MOUSE_CLOCK_STUCK: u8 = 0x01;

/// Where the next byte written to port 60h goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Data {
    Keyboard,
    Ram(u8),
    OutputPort,
    /// Back to the output buffer, as if it came from the keyboard.
    Echo,
    Mouse,
}

/// A byte in the output buffer or on its way there.
#[derive(Clone, Copy, Debug)]
struct Output {
    byte: u8,
    /// `status::TIMEOUT` or 0.
    error: u8,
}

/// The controller with its keyboard.
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
    keyboard: Keyboard,
}

impl Default for I8042 {
    fn default() -> Self {
        Self::new()
    }
}

impl I8042 {
    /// As a BIOS leaves it: keyboard scanning, translation and interrupt on.
    pub const fn new() -> Self {
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
            keyboard: Keyboard::new(),
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
            value |= status::OUTPUT_FULL | output.error;
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
                // Speaking to the keyboard also opens its line.
                self.ram[0] &= !command_byte::KEYBOARD_OFF;
                self.keyboard.command(value);
            }
            Data::Ram(0) => self.ram[0] = value | command_byte::MOUSE_OFF,
            Data::Ram(place) => self.ram[usize::from(place & 0x1f)] = value,
            Data::OutputPort => {
                self.output_port = value;
                return value & OUTPUT_PORT_RUN == 0;
            }
            Data::Echo => self.answer(value),
            Data::Mouse => {
                self.answer = Some(Output {
                    byte: 0xfe,
                    error: status::TIMEOUT,
                });
            }
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
            0xa9 => self.answer(MOUSE_CLOCK_STUCK),
            0xaa => {
                self.ram[0] |= command_byte::SYSTEM;
                self.answer(0x55);
            }
            0xab => self.answer(0x00),
            0xad => self.ram[0] |= command_byte::KEYBOARD_OFF,
            0xae => self.ram[0] &= !command_byte::KEYBOARD_OFF,
            0xc0 => self.answer(INPUT_PORT),
            0xd0 => self.answer(self.read_output_port()),
            0xd1 => self.next = Data::OutputPort,
            0xd2 | 0xd3 => self.next = Data::Echo,
            0xd4 => self.next = Data::Mouse,
            // Each low bit pulses an output line; line 0 is the reset.
            0xf0..=0xff => return value & OUTPUT_PORT_RUN == 0,
            // A7h and A8h switch a mouse port that is not there; the others mean nothing.
            _ => {}
        }
        self.fill();
        false
    }

    /// A byte from the physical keyboard, in set 1. False if there is no room: try again later.
    pub fn key(&mut self, set1: u8) -> bool {
        let taken = self.keyboard.key(set1);
        self.fill();
        taken
    }

    /// Scroll, num and caps lock lights in bits 0-2.
    pub const fn leds(&self) -> u8 {
        self.keyboard.leds()
    }

    /// The level of interrupt line 1: a byte waits and its interrupt is on.
    pub const fn irq(&self) -> bool {
        self.output.is_some() && self.ram[0] & command_byte::INTERRUPT != 0
    }

    fn answer(&mut self, byte: u8) {
        self.answer = Some(Output { byte, error: 0 });
    }

    /// The output port shows the output buffer's state in bit 4.
    const fn read_output_port(&self) -> u8 {
        let full = if self.output.is_some() { 1 << 4 } else { 0 };
        self.output_port & !(1 << 4) | full
    }

    /// Fills an empty output buffer: with the controller's answer, else from the keyboard.
    fn fill(&mut self) {
        if self.output.is_none() {
            self.output = self.answer.take();
        }
        while self.output.is_none() && self.ram[0] & command_byte::KEYBOARD_OFF == 0 {
            let Some(byte) = self.keyboard.send() else {
                return;
            };
            self.output = self.translate(byte).map(|byte| Output { byte, error: 0 });
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
