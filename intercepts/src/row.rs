//! How a row of the exit table is written: what kinds of exit have in common, and how a row
//! differs from its kind.

use crate::exit::{Advance, Denial, Exit, Finish, Intercept, Owner, Timing};
use crate::{Action, Actions, ExitCode, Feature};

pub(super) const CR: u16 = 0x000;
pub(super) const DR: u16 = 0x004;
pub(super) const EXCEPTIONS: u16 = 0x008;
pub(super) const MISC1: u16 = 0x00c;
pub(super) const MISC2: u16 = 0x010;
pub(super) const MISC3: u16 = 0x014;

/// What EXITINFO1 and EXITINFO2 hold where the manual does not say (APM 15.6).
pub(super) const UNDEFINED: &str = "undefined";

/// What most actions on an instruction have in common.
const INSTRUCTION: Actions = Actions::PASS
    .union(Actions::COUNT)
    .union(Actions::LOG)
    .union(Actions::INJECT)
    .union(Actions::DENY)
    .union(Actions::STOP);

/// The actions that need a method of [`Finish`].
const FINISHED: Actions = Actions::COUNT.union(Actions::LOG);

/// An event with a bit in the intercept vectors; the rows refine it.
pub(super) const fn event(
    name: &'static str,
    apm: &'static str,
    offset: u16,
    bit: u8,
    family: &'static str,
) -> Exit {
    Exit {
        code: ExitCode::Invalid,
        name,
        apm,
        intercept: Intercept::Bit { offset, bit },
        feature: None,
        timing: Timing::Event,
        advance: Advance::Stay,
        finish: Finish::None,
        denial: Denial::None,
        fits: Actions::EMULATE,
        default: Action::Pass,
        owner: Owner::Policy,
        family,
        trigger: "",
        info1: UNDEFINED,
        info2: UNDEFINED,
        section: "",
    }
}

/// An instruction that the VMM can emulate; `count` uses that emulation.
pub(super) const fn emulated(
    name: &'static str,
    apm: &'static str,
    offset: u16,
    bit: u8,
    family: &'static str,
) -> Exit {
    Exit {
        timing: Timing::Fault,
        advance: Advance::Decode,
        finish: Finish::Emulate,
        denial: Denial::Ud,
        fits: INSTRUCTION.union(Actions::EMULATE),
        ..event(name, apm, offset, bit, family)
    }
}

/// An instruction that `count` lets the guest execute itself, single-stepped.
pub(super) const fn step(name: &'static str, apm: &'static str, offset: u16, bit: u8) -> Exit {
    Exit {
        timing: Timing::Fault,
        advance: Advance::Decode,
        finish: Finish::Step,
        denial: Denial::Ud,
        fits: INSTRUCTION,
        ..event(name, apm, offset, bit, "step")
    }
}

/// An instruction that a guest's CPU, having no SVM, does not know: #UD, and on the floor.
pub(super) const fn svm(name: &'static str, apm: &'static str, offset: u16, bit: u8) -> Exit {
    Exit {
        fits: INSTRUCTION.difference(Actions::PASS),
        ..emulated(name, apm, offset, bit, "svm")
            .opcode(3)
            .floor(Action::Deny)
    }
}

/// An access that a permission map lets through or not: on the floor, and nothing to inject for.
pub(super) const fn mapped(
    name: &'static str,
    apm: &'static str,
    bit: u8,
    family: &'static str,
    denial: Denial,
) -> Exit {
    let exit = emulated(name, apm, MISC1, bit, family).floor(Action::Emulate);
    Exit {
        denial,
        fits: exit.fits.difference(Actions::INJECT),
        ..exit
    }
}

/// INTn.
pub(super) const fn software_interrupt(
    name: &'static str,
    apm: &'static str,
    offset: u16,
    bit: u8,
) -> Exit {
    Exit {
        finish: Finish::SoftwareInterrupt,
        family: "swint",
        ..step(name, apm, offset, bit)
    }
}

/// MOV from a control register: the low half of the word at 000h.
pub(super) const fn cr_read(name: &'static str, apm: &'static str, number: u8) -> Exit {
    Exit {
        trigger: "MOV from the control register (SMSW for CR0)",
        info1: "bits 3:0: the GPR, bit 63: MOV, with decode assists",
        section: "15.8.1",
        ..emulated(name, apm, CR, number, "cr")
    }
}

/// MOV to a control register: the high half of the word at 000h.
pub(super) const fn cr_write(name: &'static str, apm: &'static str, number: u8) -> Exit {
    Exit {
        trigger: "MOV to the control register (LMSW and CLTS for CR0)",
        ..cr_read(name, apm, 16 + number)
    }
}

/// MOV from a debug register: the low half of the word at 004h.
pub(super) const fn dr_read(name: &'static str, apm: &'static str, number: u8) -> Exit {
    Exit {
        trigger: "MOV from the debug register",
        info1: "bits 3:0: the GPR, with decode assists",
        section: "15.8.1",
        ..emulated(name, apm, DR, number, "dr")
    }
}

/// MOV to a debug register: the high half of the word at 004h.
pub(super) const fn dr_write(name: &'static str, apm: &'static str, number: u8) -> Exit {
    Exit {
        trigger: "MOV to the debug register",
        ..dr_read(name, apm, 16 + number)
    }
}

/// An exception vector: the word at 008h.
pub(super) const fn exception(name: &'static str, apm: &'static str, vector: u8) -> Exit {
    Exit {
        finish: Finish::Reflect,
        fits: INSTRUCTION.difference(Actions::DENY),
        trigger: "the exception, before it is delivered",
        info1: "the error code, for the vectors that have one, else undefined",
        section: "15.12",
        ..event(name, apm, EXCEPTIONS, vector, "exception")
    }
}

/// A write that is seen after it happened.
pub(super) const fn write_trap(name: &'static str, apm: &'static str, bit: u8) -> Exit {
    Exit {
        timing: Timing::Trap,
        finish: Finish::Emulate,
        fits: Actions::PASS.union(FINISHED).union(Actions::STOP),
        info1: "the value written",
        section: "15.35.10",
        ..event(name, apm, MISC2, bit, "write_trap").needs(Feature::WRITE_TRAPS)
    }
}

impl Exit {
    pub(super) const fn coded(self, code: ExitCode) -> Exit {
        Exit { code, ..self }
    }

    pub(super) const fn trigger(self, trigger: &'static str) -> Exit {
        Exit { trigger, ..self }
    }

    pub(super) const fn infos(self, info1: &'static str, info2: &'static str) -> Exit {
        Exit {
            info1,
            info2,
            ..self
        }
    }

    pub(super) const fn section(self, section: &'static str) -> Exit {
        Exit { section, ..self }
    }

    pub(super) const fn needs(self, feature: Feature) -> Exit {
        Exit {
            feature: Some(feature),
            ..self
        }
    }

    pub(super) const fn caused_by(self, intercept: Intercept) -> Exit {
        Exit { intercept, ..self }
    }

    pub(super) const fn opcode(self, bytes: u8) -> Exit {
        Exit {
            advance: Advance::Opcode(bytes),
            ..self
        }
    }

    pub(super) const fn next_rip_in_info2(self) -> Exit {
        Exit {
            advance: Advance::ExitInfo2,
            ..self
        }
    }

    pub(super) const fn denies(self, denial: Denial) -> Exit {
        Exit { denial, ..self }
    }

    pub(super) const fn fits(self, fits: Actions) -> Exit {
        Exit { fits, ..self }
    }

    /// Counting has no method: neither `count` nor `log` fits.
    pub(super) const fn no_method(self) -> Exit {
        Exit {
            finish: Finish::None,
            fits: self.fits.difference(FINISHED),
            ..self
        }
    }

    /// On the isolation floor: `pass` does not fit, and `default` is what happens unasked.
    pub(super) const fn floor(self, default: Action) -> Exit {
        Exit {
            owner: Owner::Floor,
            default,
            fits: self.fits.difference(Actions::PASS),
            ..self
        }
    }

    pub(super) const fn owned(self, owner: Owner, default: Action) -> Exit {
        Exit {
            owner,
            default,
            ..self
        }
    }

    pub(super) const fn owned_stop(self) -> Exit {
        self.owned(Owner::Vmm, Action::Stop)
    }

    /// The instruction suspends the guest; `wait` is its emulation.
    pub(super) const fn waits(self) -> Exit {
        Exit {
            fits: self.fits.union(Actions::WAIT).difference(Actions::EMULATE),
            ..self
        }
    }

    pub(super) const fn hypercall(self) -> Exit {
        Exit {
            family: "vmmcall",
            default: Action::Hypercall,
            fits: self.fits.union(Actions::HYPERCALL),
            ..self
        }
    }
}
