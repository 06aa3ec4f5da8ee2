//! The keyboard at the controller's far end: scan codes and commands (IBM PS/2 Technical
//! Reference, "Keyboard").

use super::scancode::{BREAK_PREFIX, to_set2};
use heapless::Deque;

const ACKNOWLEDGE: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;
const ECHO: u8 = 0xee;

/// Bytes a keyboard buffers.
const BUFFER: usize = 16;
/// Replies that may wait: two commands' worth, of three bytes at most.
const REPLIES: usize = 8;

/// A command that waits for its parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Parameter {
    Leds,
    ScanCodeSet,
    TypematicRate,
}

/// An MF2 keyboard with scan code sets 1 and 2.
#[derive(Clone, Debug)]
pub(super) struct Keyboard {
    scanning: bool,
    set: u8,
    leds: u8,
    parameter: Option<Parameter>,
    keys: Deque<u8, BUFFER>,
    replies: Deque<u8, REPLIES>,
    /// The byte sent last, for the command to send it again.
    sent: u8,
}

impl Keyboard {
    pub const fn new() -> Self {
        Self {
            scanning: true,
            set: 2,
            leds: 0,
            parameter: None,
            keys: Deque::new(),
            replies: Deque::new(),
            sent: 0,
        }
    }

    /// Scroll, num and caps lock lights in bits 0-2.
    pub const fn leds(&self) -> u8 {
        self.leds
    }

    /// A byte of a key's set-1 code. False if the buffer has no room for it.
    pub fn key(&mut self, set1: u8) -> bool {
        if !self.scanning {
            return true;
        }
        if self.keys.len() + 2 > BUFFER {
            return false;
        }
        match set1 {
            0xe0 | 0xe1 => self.store(set1),
            _ if self.set == 1 => self.store(set1),
            _ => {
                if set1 & 0x80 != 0 {
                    self.store(BREAK_PREFIX);
                }
                self.store(to_set2(set1 & 0x7f));
            }
        }
        true
    }

    fn store(&mut self, byte: u8) {
        // Cannot fail: `key` made sure of the room.
        let _ = self.keys.push_back(byte);
    }

    fn reply(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            // A guest that never reads loses what comes after the eighth byte.
            let _ = self.replies.push_back(byte);
        }
    }

    /// The next byte on the wire to the controller.
    pub fn send(&mut self) -> Option<u8> {
        let byte = self.replies.pop_front().or_else(|| self.keys.pop_front())?;
        self.sent = byte;
        Some(byte)
    }

    /// A byte from the controller: a command or its parameter.
    pub fn command(&mut self, byte: u8) {
        match self.parameter.take() {
            Some(parameter) if byte < 0xed => self.set_parameter(parameter, byte),
            _ => self.start(byte),
        }
    }

    fn set_parameter(&mut self, parameter: Parameter, value: u8) {
        match (parameter, value) {
            (Parameter::Leds, _) => self.leds = value & 7,
            (Parameter::TypematicRate, _) => {}
            (Parameter::ScanCodeSet, 0) => return self.reply(&[ACKNOWLEDGE, self.set]),
            (Parameter::ScanCodeSet, 1 | 2) => self.set = value,
            (Parameter::ScanCodeSet, _) => return self.reply(&[RESEND]),
        }
        self.reply(&[ACKNOWLEDGE]);
    }

    fn start(&mut self, command: u8) {
        match command {
            0xed => self.expect(Parameter::Leds),
            0xee => self.reply(&[ECHO]),
            0xf0 => self.expect(Parameter::ScanCodeSet),
            0xf2 => self.reply(&[ACKNOWLEDGE, 0xab, 0x83]),
            0xf3 => self.expect(Parameter::TypematicRate),
            0xf4 => self.enable(),
            0xf5 => self.set_default(false),
            0xf6 => self.set_default(self.scanning),
            // Which keys repeat: meant for set 3, acknowledged in any.
            0xf7..=0xfa => self.reply(&[ACKNOWLEDGE]),
            0xfe => {
                let sent = self.sent;
                self.reply(&[sent]);
            }
            0xff => {
                *self = Self::new();
                self.reply(&[ACKNOWLEDGE, SELF_TEST_PASSED]);
            }
            _ => self.reply(&[RESEND]),
        }
    }

    fn expect(&mut self, parameter: Parameter) {
        self.parameter = Some(parameter);
        self.reply(&[ACKNOWLEDGE]);
    }

    fn enable(&mut self) {
        self.scanning = true;
        self.keys.clear();
        self.reply(&[ACKNOWLEDGE]);
    }

    /// "Set Default" and "Default Disable": as after power-on, lights apart.
    fn set_default(&mut self, scanning: bool) {
        self.scanning = scanning;
        self.set = 2;
        self.keys.clear();
        self.reply(&[ACKNOWLEDGE]);
    }
}
