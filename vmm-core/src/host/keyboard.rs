//! The machine's PS/2 keyboard: bytes out of the i8042, as scan codes of set 1.
//!
//! Follows the IBM PS/2 Technical Reference, keyboard and auxiliary device controller.

use super::ports::Ports;

const DATA: u16 = 0x60;
const STATUS: u16 = 0x64;
const OUTPUT_FULL: u8 = 1 << 0;
const INPUT_FULL: u8 = 1 << 1;
/// The byte came from the mouse.
const AUXILIARY: u8 = 1 << 5;

const READ_COMMAND_BYTE: u8 = 0x20;
const WRITE_COMMAND_BYTE: u8 = 0x60;
const DISABLE_MOUSE: u8 = 0xA7;
const ENABLE_KEYBOARD: u8 = 0xAE;
const KEYBOARD_INTERRUPT: u8 = 1 << 0;
const MOUSE_INTERRUPT: u8 = 1 << 1;
const KEYBOARD_OFF: u8 = 1 << 4;
/// Scan codes of set 2 come as set 1.
const TRANSLATE: u8 = 1 << 6;

/// Looks at the status before the controller counts as absent; a look takes a microsecond.
const PATIENCE: u32 = 50_000;
/// Bytes that a controller can have waiting, and then some.
const BACKLOG: usize = 64;

/// The keyboard behind its controller.
#[derive(Debug)]
pub struct Keyboard<P> {
    ports: P,
    present: bool,
}

impl<P: Ports> Keyboard<P> {
    /// Looks for the controller and, if it is there, lets the keyboard interrupt.
    pub fn init(ports: P) -> Self {
        let mut keyboard = Self {
            ports,
            present: true,
        };
        // All ones is what an empty port reads.
        keyboard.present = keyboard.ports.read_u8(STATUS) != 0xFF && keyboard.set_up().is_some();
        keyboard
    }

    /// Whether there is a controller.
    pub const fn is_present(&self) -> bool {
        self.present
    }

    /// The next scan-code byte; `None` when there is none. The mouse's bytes are dropped.
    pub fn read(&mut self) -> Option<u8> {
        if !self.present {
            return None;
        }
        for _ in 0..BACKLOG {
            let status = self.ports.read_u8(STATUS);
            if status & OUTPUT_FULL == 0 {
                return None;
            }
            let byte = self.ports.read_u8(DATA);
            if status & AUXILIARY == 0 {
                return Some(byte);
            }
        }
        None
    }

    fn set_up(&mut self) -> Option<()> {
        self.command(DISABLE_MOUSE)?;
        for _ in 0..BACKLOG {
            if self.ports.read_u8(STATUS) & OUTPUT_FULL == 0 {
                break;
            }
            self.ports.read_u8(DATA);
        }
        self.command(READ_COMMAND_BYTE)?;
        self.wait(OUTPUT_FULL, OUTPUT_FULL)?;
        let old = self.ports.read_u8(DATA);
        let new = (old | KEYBOARD_INTERRUPT | TRANSLATE) & !(MOUSE_INTERRUPT | KEYBOARD_OFF);
        self.command(WRITE_COMMAND_BYTE)?;
        self.wait(INPUT_FULL, 0)?;
        self.ports.write_u8(DATA, new);
        self.command(ENABLE_KEYBOARD)
    }

    fn command(&mut self, command: u8) -> Option<()> {
        self.wait(INPUT_FULL, 0)?;
        self.ports.write_u8(STATUS, command);
        Some(())
    }

    /// Waits until the status bits in `mask` read `value`; `None` if they never do.
    fn wait(&mut self, mask: u8, value: u8) -> Option<()> {
        (0..PATIENCE)
            .any(|_| self.ports.read_u8(STATUS) & mask == value)
            .then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ports::paper::{Chip, Nothing};
    use std::collections::VecDeque;

    /// A controller that is busy for a while after each command.
    #[derive(Default)]
    struct Controller {
        output: VecDeque<(u8, bool)>,
        command_byte: u8,
        command: u8,
        busy: u32,
        dead: bool,
    }

    impl Chip for Controller {
        fn read(&mut self, port: u16) -> u8 {
            if port == DATA {
                return self.output.pop_front().map_or(0, |(byte, _)| byte);
            }
            self.busy = self.busy.saturating_sub(1);
            let input = if self.busy > 0 || self.dead {
                INPUT_FULL
            } else {
                0
            };
            let output = self
                .output
                .front()
                .map_or(0, |(_, mouse)| OUTPUT_FULL | u8::from(*mouse) << 5);
            input | output
        }
        fn write(&mut self, port: u16, value: u8) {
            assert_eq!(self.busy, 0, "written to while busy");
            self.busy = 5;
            if port == STATUS {
                self.command = value;
                if value == READ_COMMAND_BYTE {
                    self.output.push_back((self.command_byte, false));
                }
            } else if self.command == WRITE_COMMAND_BYTE {
                self.command_byte = value;
            }
        }
    }

    #[test]
    fn set_up_turns_the_keyboard_on_and_the_mouse_off() {
        let chip = Controller {
            command_byte: KEYBOARD_OFF | MOUSE_INTERRUPT | 4,
            output: VecDeque::from([(0x1C, false); 3]),
            ..Controller::default()
        };
        let keyboard = Keyboard::init(chip);
        assert!(keyboard.is_present());
        assert_eq!(
            keyboard.ports.command_byte,
            KEYBOARD_INTERRUPT | TRANSLATE | 4
        );
    }

    #[test]
    fn the_mouse_is_not_the_keyboard() {
        let mut keyboard = Keyboard::init(Controller::default());
        keyboard.ports.output =
            VecDeque::from([(8, true), (0x1E, false), (9, true), (0x9E, false)]);
        assert_eq!(
            [keyboard.read(), keyboard.read(), keyboard.read()],
            [Some(0x1E), Some(0x9E), None]
        );
    }

    #[test]
    fn an_absent_or_dead_controller_is_given_up() {
        assert!(!Keyboard::init(Nothing::default()).is_present());
        let mut dead = Keyboard::init(Controller {
            dead: true,
            ..Controller::default()
        });
        assert!(!dead.is_present());
        assert_eq!(dead.read(), None);
    }
}
