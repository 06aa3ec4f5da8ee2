//! A mouse at the controller's second port: commands and their answers (IBM PS/2 Technical
//! Reference, "Mouse"). Nobody moves it, since the VMM has no pointer of its own to move it by.

use heapless::Vec;

const ACKNOWLEDGE: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;
/// A mouse with two or three buttons and no wheel.
const ID: u8 = 0x00;
/// No button is down, and nothing has moved.
const AT_REST: [u8; 3] = [0x08, 0, 0];

/// An answer is an acknowledgement and three bytes at most.
const ANSWER: usize = 4;

/// The first byte of a status request's answer.
mod status {
    pub const REMOTE: u8 = 1 << 6;
    pub const ENABLED: u8 = 1 << 5;
    pub const DOUBLE_SCALING: u8 = 1 << 4;
}

/// A command that waits for its parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Parameter {
    Resolution,
    SampleRate,
}

/// The mouse.
#[derive(Clone, Debug)]
pub(super) struct Mouse {
    /// The bits of [`status`].
    mode: u8,
    /// It sends back all that it gets.
    wraps: bool,
    /// 2^n counts per millimetre.
    resolution: u8,
    /// Reports a second.
    rate: u8,
    parameter: Option<Parameter>,
    /// The answer given last; it is kept for the command to give it again.
    answer: Vec<u8, ANSWER>,
    /// As much of it is on the wire.
    sent: usize,
}

impl Mouse {
    /// As after power-on.
    pub const fn new() -> Self {
        Self {
            mode: 0,
            wraps: false,
            resolution: 2,
            rate: 100,
            parameter: None,
            answer: Vec::new(),
            sent: 0,
        }
    }

    /// The next byte on the wire to the controller.
    pub fn send(&mut self) -> Option<u8> {
        let byte = *self.answer.get(self.sent)?;
        self.sent += 1;
        Some(byte)
    }

    /// A byte from the controller: a command or its parameter. What was not sent yet of the
    /// answer before is forgotten.
    pub fn command(&mut self, byte: u8) {
        match self.parameter.take() {
            Some(parameter) if byte < 0xe6 => self.set(parameter, byte),
            _ if self.wraps && !matches!(byte, 0xec | 0xff) => self.answer(byte, &[]),
            _ => self.start(byte),
        }
    }

    fn set(&mut self, parameter: Parameter, value: u8) {
        match (parameter, value) {
            (Parameter::Resolution, 0..=3) => self.resolution = value,
            (Parameter::SampleRate, 10 | 20 | 40 | 60 | 80 | 100 | 200) => self.rate = value,
            _ => return self.answer(RESEND, &[]),
        }
        self.acknowledge(&[]);
    }

    fn start(&mut self, command: u8) {
        match command {
            0xe6 => self.mode &= !status::DOUBLE_SCALING,
            0xe7 => self.mode |= status::DOUBLE_SCALING,
            0xe8 => self.parameter = Some(Parameter::Resolution),
            0xe9 => return self.acknowledge(&[self.mode, self.resolution, self.rate]),
            0xea => self.mode &= !status::REMOTE,
            0xeb => return self.acknowledge(&AT_REST),
            0xec => self.wraps = false,
            0xee => self.wraps = true,
            0xf0 => self.mode |= status::REMOTE,
            0xf2 => return self.acknowledge(&[ID]),
            0xf3 => self.parameter = Some(Parameter::SampleRate),
            0xf4 => self.mode |= status::ENABLED,
            0xf5 => self.mode &= !status::ENABLED,
            0xf6 => *self = Self::new(),
            0xfe => return self.sent = 0,
            0xff => {
                *self = Self::new();
                return self.acknowledge(&[SELF_TEST_PASSED, ID]);
            }
            _ => return self.answer(RESEND, &[]),
        }
        self.acknowledge(&[]);
    }

    fn acknowledge(&mut self, more: &[u8]) {
        self.answer(ACKNOWLEDGE, more);
    }

    fn answer(&mut self, first: u8, more: &[u8]) {
        self.answer.clear();
        // There is room for the longest.
        self.answer
            .extend([first].into_iter().chain(more.iter().copied()).take(ANSWER));
        self.sent = 0;
    }
}
