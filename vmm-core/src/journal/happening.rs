//! What can happen to a VM: nothing else changes it once it is made.

use core::fmt;

use crate::devices::UnixTime;
use crate::exits::{Outcome, dispatch, interrupt};
use crate::journal;
use crate::vm::Instance;

/// Something that happens to a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A #VMEXIT.
    Exit,
    /// It has a turn.
    Turn,
    /// Time has passed.
    Now,
    /// It has run for so many ticks of the TSC in all: does the line that it has begun rest?
    Rest {
        /// Ticks that it has run.
        run: u64,
        /// Ticks after which a line rests.
        patience: u64,
    },
    /// A byte comes from the keyboard, if it is wanted.
    Key(u8),
    /// A byte comes over the serial line, if it is wanted.
    Typed(u8),
    /// A physical interrupt line that it owns has come.
    Line(u8),
    /// Has it ended the interrupt of that line?
    Over(u8),
    /// Whether the end of an interrupt is news to the VMM.
    Awaits(bool),
    /// Its power button is pressed.
    Button,
    /// A person has it pause, or go on.
    Pause(bool),
    /// The last so many ticks of the TSC are none of its time.
    LeaveOut(u64),
}

/// What a VM is made with, beside its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// The CPU saves the next RIP.
    pub nrip: bool,
    /// The CPU has decode assists.
    pub decode_assists: bool,
    /// The CPU can flush one ASID, and may.
    pub flush_by_asid: bool,
    /// The CPU has clean bits.
    pub clean_bits: bool,
    /// Its interrupts go by V_IRQ.
    pub interrupts_by_v_irq: bool,
    /// Its exits are counted.
    pub is_counted: bool,
    /// Ticks of the TSC in a second.
    pub tsc_hz: u64,
    /// The date.
    pub wall: UnixTime,
}

impl Instance {
    /// Has it happen. Returns whether it was wanted, or is so, where that is a question.
    #[inline(always)]
    pub fn happens(&mut self, what: Happening) -> bool {
        if what == Happening::Exit {
            // The dispatch writes itself down: the world switch calls it as well.
            return self.meets(what);
        }
        journal::call(what, self, |instance| instance.meets(what))
    }

    #[inline(always)]
    fn meets(&mut self, what: Happening) -> bool {
        let Instance { vcpu, vm } = self;
        match what {
            Happening::Exit => return dispatch::<true>(self) == Outcome::Leave,
            Happening::Turn => {
                vm.retry_soon = false;
                vcpu.forget_code_page();
                interrupt::offer(vcpu, vm);
            }
            Happening::Now => vm.bring_up_to_date(),
            Happening::Rest { run, patience } => {
                vm.stats.run_cycles = run;
                vm.send_resting_line(patience);
            }
            Happening::Key(byte) => return vm.devices.key(byte),
            Happening::Typed(byte) => return vm.devices.serial_input(byte),
            Happening::Line(line) => vm.devices.raise_routed(line),
            Happening::Over(line) => return vm.devices.is_done_with(line),
            Happening::Awaits(end) => vm.awaits_end_of_interrupt = end,
            Happening::Button => return vm.devices.press_power_button(),
            Happening::Pause(paused) => vm.paused = paused,
            Happening::LeaveOut(ticks) => {
                vm.clock.leave_out(ticks);
                let control = vcpu.control_mut();
                control.tsc_offset = control.tsc_offset.wrapping_sub(ticks);
            }
        }
        true
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Happening::Exit => f.write_str("exit"),
            Happening::Turn => f.write_str("turn"),
            Happening::Now => f.write_str("now"),
            Happening::Rest { run, patience } => write!(f, "rest {run:x} {patience:x}"),
            Happening::Key(byte) => write!(f, "key {byte:x}"),
            Happening::Typed(byte) => write!(f, "typed {byte:x}"),
            Happening::Line(line) => write!(f, "line {line:x}"),
            Happening::Over(line) => write!(f, "over {line:x}"),
            Happening::Awaits(end) => write!(f, "awaits {:x}", u8::from(end)),
            Happening::Button => f.write_str("button"),
            Happening::Pause(paused) => write!(f, "pause {:x}", u8::from(paused)),
            Happening::LeaveOut(ticks) => write!(f, "leave-out {ticks:x}"),
        }
    }
}

impl Happening {
    /// What these words of a journal say; `None`: nothing that can happen.
    pub fn read(text: &str) -> Option<Happening> {
        let mut words = text.split(' ');
        let name = words.next()?;
        let mut numbers = words.map(|word| u64::from_str_radix(word, 16).ok());
        let mut number = || numbers.next().flatten();
        let happening = match name {
            "exit" => Happening::Exit,
            "turn" => Happening::Turn,
            "now" => Happening::Now,
            "rest" => Happening::Rest {
                run: number()?,
                patience: number()?,
            },
            "key" => Happening::Key(number()?.try_into().ok()?),
            "typed" => Happening::Typed(number()?.try_into().ok()?),
            "line" => Happening::Line(line(number()?)?),
            "over" => Happening::Over(line(number()?)?),
            "awaits" => Happening::Awaits(number()? != 0),
            "button" => Happening::Button,
            "pause" => Happening::Pause(number()? != 0),
            "leave-out" => Happening::LeaveOut(number()?),
            _ => return None,
        };
        numbers.next().is_none().then_some(happening)
    }
}

fn line(number: u64) -> Option<u8> {
    u8::try_from(number).ok().filter(|line| *line < 16)
}

impl fmt::Display for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "born {:x} {:x} {:x} {:x} {:x} {:x} {:x} {:x}",
            u8::from(self.nrip),
            u8::from(self.decode_assists),
            u8::from(self.flush_by_asid),
            u8::from(self.clean_bits),
            self.tsc_hz,
            self.wall.0,
            u8::from(self.is_counted),
            u8::from(self.interrupts_by_v_irq),
        )
    }
}

impl Birth {
    /// What these words of a journal say; `None`: no birth.
    pub fn read(text: &str) -> Option<Birth> {
        let mut numbers = [0; 8];
        let mut words = text.strip_prefix("born ")?.split(' ');
        for number in &mut numbers {
            *number = u64::from_str_radix(words.next()?, 16).ok()?;
        }
        let [nrip, assists, flush, clean, tsc_hz, wall, counted, v_irq] = numbers;
        words.next().is_none().then_some(Birth {
            nrip: nrip != 0,
            decode_assists: assists != 0,
            flush_by_asid: flush != 0,
            clean_bits: clean != 0,
            interrupts_by_v_irq: v_irq != 0,
            is_counted: counted != 0,
            tsc_hz,
            wall: UnixTime(wall),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_happens_is_read_as_it_was_written(a: u64, b: u64, byte: u8, flag: bool) {
            for what in [
                Happening::Exit,
                Happening::Turn,
                Happening::Now,
                Happening::Rest {
                    run: a,
                    patience: b,
                },
                Happening::Key(byte),
                Happening::Typed(byte),
                Happening::Line(byte & 15),
                Happening::Over(byte & 15),
                Happening::Awaits(flag),
                Happening::Button,
                Happening::Pause(flag),
                Happening::LeaveOut(a),
            ] {
                prop_assert_eq!(Happening::read(&what.to_string()), Some(what));
            }
            let birth = Birth {
                nrip: flag,
                decode_assists: !flag,
                flush_by_asid: !flag,
                clean_bits: flag,
                interrupts_by_v_irq: !flag,
                is_counted: !flag,
                tsc_hz: a,
                wall: UnixTime(b),
            };
            prop_assert_eq!(Birth::read(&birth.to_string()), Some(birth));
        }

        #[test]
        fn no_words_bring_the_reader_down(text in "\\PC*") {
            let _ = (Happening::read(&text), Birth::read(&text));
        }
    }
}
