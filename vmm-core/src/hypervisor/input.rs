//! What a person types, on the keyboard and on COM1, until a guest has room for it.

use heapless::Deque;

use crate::console::{Escape, Typed};
use crate::devices::Devices;
use crate::host::irq::{self, LineSet};
use crate::host::keyboard::Keyboard;
use crate::host::ports::Hardware;
use crate::host::serial::COM1;
use crate::info;

/// Input on its way. What a person types ahead of the room here is lost.
#[derive(Default)]
pub(super) struct Input {
    keys: Deque<u8, 64>,
    typed: Deque<u8, 256>,
    escape: Escape,
    quit: bool,
}

impl Input {
    /// Takes what the devices whose `lines` came have.
    pub fn take(&mut self, lines: LineSet, keyboard: &mut Keyboard<Hardware>) {
        if lines.contains(irq::KEYBOARD) {
            while let Some(byte) = keyboard.read() {
                let _ = self.keys.push_back(byte);
            }
        }
        if lines.contains(irq::COM1) {
            while let Some(byte) = COM1.lock().read() {
                self.type_byte(byte);
            }
        }
    }

    fn type_byte(&mut self, byte: u8) {
        match self.escape.feed(byte) {
            Typed::Guest(byte) => {
                let _ = self.typed.push_back(byte);
            }
            Typed::Quit => self.quit = true,
            Typed::Help => info!("Ctrl-] q ends everything; Ctrl-] twice is one for the guest"),
            Typed::Nothing => {}
        }
    }

    /// Gives a guest as much as it has room for.
    pub fn give(&mut self, devices: &mut Devices) {
        while self.keys.front().is_some_and(|byte| devices.key(*byte)) {
            self.keys.pop_front();
        }
        while self
            .typed
            .front()
            .is_some_and(|byte| devices.serial_input(*byte))
        {
            self.typed.pop_front();
        }
    }

    /// Whether the person wants an end of everything.
    pub fn wants_to_quit(&self) -> bool {
        self.quit
    }
}
