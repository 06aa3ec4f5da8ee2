//! The ways out of a PC: its power button, power off by ACPI or by the emulators' own port, and
//! the resets.
//!
//! - 600h-603h, the PM1a event registers (ACPI 6.5, 4.8.3.1): the power button is bit 8 of the
//!   status at 600h, which writing 1 clears, and of the enable register at 602h. While it is set in
//!   both, interrupt line 9 is high.
//! - 604h/605h, the PM1a control register (ACPI 6.5, 4.8.3.2.1): SLP_EN with sleep type 0 is off.
//! - 8900h: the letters of `Shutdown`, one by one, are off (Bochs and old QEMU).
//! - 92h bit 0 and CF9h bit 2, each on its rising edge, reset. So does the keyboard controller;
//!   where a VM has none, its command FEh is answered here.

use super::Effect;

const SHUTDOWN: &[u8; 8] = b"Shutdown";

/// Port 92h: bit 0 resets, bit 1 is address line 20, which is always on.
const FAST_RESET: u8 = 1 << 0;
const A20: u8 = 1 << 1;

/// The power button in the high bytes of PM1a's status and enable registers.
const BUTTON: u8 = 1 << 0;
/// What the enable register keeps beside it, so that a kernel finds what it wrote: the global lock
/// in the low byte, sleep button and clock in the high one. None of them ever happens.
const GLOBAL_LOCK: u8 = 1 << 5;
const NEVER: u8 = 1 << 1 | 1 << 2;

/// The first port of PM1a's event registers.
pub const EVENT_PORT: u16 = 0x600;
/// The port of its control register.
pub const CONTROL_PORT: u16 = 0x604;
/// The port of the reset control.
pub const RESET_PORT: u16 = 0xcf9;
/// What resets when it is written there.
pub const RESET_VALUE: u8 = RESET_CPU | 1 << 1;

/// PM1a control.
const SLP_TYP: u16 = 7 << 10;
const SLP_EN: u16 = 1 << 13;

/// Port CF9h: bit 2 resets, bit 1 says how hard.
const RESET_CPU: u8 = 1 << 2;
const RESET_STORED: u8 = 0x0e;

/// The keyboard controller's command that pulses the reset line.
const PULSE_RESET: u8 = 0xfe;

/// Power and reset control.
#[derive(Clone, Debug, Default)]
pub struct Power {
    pm1a: u16,
    /// The power button was pressed.
    pressed: bool,
    /// PM1a's enable register, low byte first.
    enabled: [u8; 2],
    /// Letters of [`SHUTDOWN`] seen so far.
    letters: usize,
    port_92: u8,
    reset_control: u8,
}

impl Power {
    /// The machine runs.
    pub const fn new() -> Self {
        Self {
            pm1a: 0,
            pressed: false,
            enabled: [0; 2],
            letters: 0,
            port_92: A20,
            reset_control: 0,
        }
    }

    /// Somebody presses the power button.
    pub const fn press(&mut self) {
        self.pressed = true;
    }

    /// The level of interrupt line 9.
    pub const fn irq(&self) -> bool {
        self.pressed && self.enabled[1] & BUTTON != 0
    }

    /// Reads one of the ports above; those that cannot be read float.
    pub const fn read(&self, port: u16) -> u8 {
        let [low, high] = self.pm1a.to_le_bytes();
        match port {
            0x92 => self.port_92,
            0x601 if self.pressed => BUTTON,
            0x602 => self.enabled[0],
            0x603 => self.enabled[1],
            0x600 | 0x601 => 0,
            0x604 => low,
            0x605 => high,
            0xcf9 => self.reset_control,
            _ => 0xff,
        }
    }

    /// Writes one of the ports above.
    pub fn write(&mut self, port: u16, value: u8) -> Effect {
        let [low, high] = self.pm1a.to_le_bytes();
        match port {
            0x64 if value == PULSE_RESET => Effect::Reset,
            0x92 => {
                let rose = value & !self.port_92 & FAST_RESET != 0;
                self.port_92 = value | A20;
                if rose { Effect::Reset } else { Effect::None }
            }
            0x601 => {
                self.pressed &= value & BUTTON == 0;
                Effect::None
            }
            0x602 => {
                self.enabled[0] = value & GLOBAL_LOCK;
                Effect::None
            }
            0x603 => {
                self.enabled[1] = value & (BUTTON | NEVER);
                Effect::None
            }
            0x604 => self.control(u16::from_le_bytes([value, high])),
            0x605 => self.control(u16::from_le_bytes([low, value])),
            0xcf9 => {
                let rose = value & !self.reset_control & RESET_CPU != 0;
                self.reset_control = value & RESET_STORED;
                if rose { Effect::Reset } else { Effect::None }
            }
            0x8900 => self.letter(value),
            _ => Effect::None,
        }
    }

    fn control(&mut self, value: u16) -> Effect {
        // SLP_EN is an order, not a state: it reads back as 0.
        self.pm1a = value & !SLP_EN;
        if value & (SLP_EN | SLP_TYP) == SLP_EN {
            Effect::PowerOff
        } else {
            Effect::None
        }
    }

    fn letter(&mut self, letter: u8) -> Effect {
        self.letters = match SHUTDOWN.get(self.letters) {
            Some(&expected) if expected == letter => self.letters + 1,
            _ => usize::from(letter == SHUTDOWN[0]),
        };
        if self.letters == SHUTDOWN.len() {
            self.letters = 0;
            Effect::PowerOff
        } else {
            Effect::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_all(bytes: &[u8]) -> Vec<Effect> {
        let mut power = Power::new();
        bytes.iter().map(|&b| power.write(0x8900, b)).collect()
    }

    #[test]
    fn the_word_shutdown_powers_off_with_its_last_letter() {
        let effects = write_all(b"Shutdown");
        assert_eq!(effects[..7], [Effect::None; 7]);
        assert_eq!(effects[7], Effect::PowerOff);
    }

    #[test]
    fn a_false_start_does_not_hide_the_word() {
        assert_eq!(write_all(b"ShuShutdown").last(), Some(&Effect::PowerOff));
        assert_eq!(write_all(b"Shut down").last(), Some(&Effect::None));
    }

    /// ACPI 6.5, 4.8.3.2.1: SLP_EN is bit 13 and write-only, SLP_TYP bits 10-12.
    #[test]
    fn sleep_enable_with_type_0_powers_off() {
        let mut power = Power::new();
        assert_eq!(power.write(0x604, 0x01), Effect::None);
        assert_eq!(power.write(0x605, 0x20), Effect::PowerOff);
        assert_eq!((power.read(0x604), power.read(0x605)), (0x01, 0x00));
        assert_eq!(power.write(0x605, 0x24), Effect::None, "sleep type 1");
        assert_eq!(power.write(0x605, 0x00), Effect::None);
    }

    /// ACPI 6.5, 4.8.3.1.1 and 4.8.3.1.2: bit 8 of status and enable; 1 clears the status.
    #[test]
    fn the_button_interrupts_once_it_is_enabled_until_the_status_is_cleared() {
        let mut power = Power::new();
        power.press();
        assert_eq!((power.read(0x601), power.irq()), (BUTTON, false));
        assert_eq!(power.write(0x603, 0xff), Effect::None);
        assert_eq!((power.read(0x603), power.irq()), (BUTTON | NEVER, true));
        assert_eq!(power.write(0x601, 0xfe), Effect::None);
        assert!(power.irq(), "other bits clear nothing of it");
        assert_eq!(power.write(0x601, 0x01), Effect::None);
        assert_eq!((power.read(0x601), power.irq()), (0, false));
        assert_eq!((power.read(0x600), power.read(0x602)), (0, 0));
    }

    #[test]
    fn resets_act_on_the_rising_edge() {
        let mut power = Power::new();
        assert_eq!(power.write(0x92, 0x02), Effect::None);
        assert_eq!(power.write(0x92, 0x03), Effect::Reset);
        assert_eq!(power.write(0x92, 0x03), Effect::None);
        assert_eq!(power.write(0xcf9, 0x02), Effect::None);
        assert_eq!(power.write(0xcf9, 0x06), Effect::Reset);
        assert_eq!(power.read(0xcf9), 0x06);
    }

    #[test]
    fn the_reset_pulse_works_without_a_keyboard_controller() {
        let mut power = Power::new();
        assert_eq!(power.write(0x64, 0xfe), Effect::Reset);
        assert_eq!(power.write(0x64, 0xaa), Effect::None);
    }
}
