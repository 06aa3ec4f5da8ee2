//! What there is to know about one #VMEXIT (APM 15.7 to 15.14, appendix C).

use crate::{Action, Actions, ExitCode, Feature};

/// One exit: the code, the intercept that causes it, and what can be done about it.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// EXITCODE.
    pub code: ExitCode,
    /// The name in `vm.toml`: `cr3.write`.
    pub name: &'static str,
    /// The manual's name: `VMEXIT_CR3_WRITE`.
    pub apm: &'static str,
    /// What makes the CPU take this exit.
    pub intercept: Intercept,
    /// The CPUID feature without which the exit never happens.
    pub feature: Option<Feature>,
    /// Whether the guest's RIP still points at the instruction.
    pub timing: Timing,
    /// How the guest's RIP gets past the instruction.
    pub advance: Advance,
    /// How `count` lets the event go on as the CPU would have done it.
    pub finish: Finish,
    /// What `deny` does.
    pub denial: Denial,
    /// The actions that fit.
    pub fits: Actions,
    /// The action of a policy that does not mention the exit; `Pass`: not intercepted.
    pub default: Action,
    /// Why the VMM itself needs the exit, if it does.
    pub owner: Owner,
    /// The module of `vmm_core::exits` that holds its handlers.
    pub family: &'static str,
    /// What the guest does to cause it.
    pub trigger: &'static str,
    /// What EXITINFO1 holds.
    pub info1: &'static str,
    /// What EXITINFO2 holds.
    pub info2: &'static str,
    /// The section of the APM that describes it.
    pub section: &'static str,
}

impl Exit {
    /// Whether a policy may ask for `action` here.
    pub const fn accepts(&self, action: Action) -> bool {
        self.fits.contains(action.bit())
    }

    /// Whether the isolation floor demands the intercept: no policy may `pass` it.
    pub const fn is_floor(&self) -> bool {
        matches!(self.owner, Owner::Floor)
    }

    /// Whether shadow paging (`npt = false`) is built on it, whoever else owns it.
    pub const fn is_of_shadow_paging(&self) -> bool {
        self.under_shadow_paging().is_some()
    }

    /// What shadow paging itself does about it. INVPCID is no instruction of the guest's CPU: PCIDs
    /// would need shadow tables of their own.
    pub const fn under_shadow_paging(&self) -> Option<Action> {
        match self.code {
            ExitCode::ExceptionPf
            | ExitCode::Cr0Read
            | ExitCode::Cr3Read
            | ExitCode::Cr4Read
            | ExitCode::Cr0Write
            | ExitCode::Cr3Write
            | ExitCode::Cr4Write
            | ExitCode::Invlpg => Some(Action::Count),
            ExitCode::Invpcid => Some(Action::Deny),
            _ => None,
        }
    }

    /// The action that lets a guest do what the policy denied it; `None` where its CPU has no such
    /// instruction whatever the policy says.
    pub const fn permission(&self, npt: bool) -> Option<Action> {
        let (owned, unasked) = match self.under_shadow_paging() {
            Some(action) if !npt => (true, action),
            _ => (false, self.default),
        };
        if matches!(unasked, Action::Deny) {
            None
        } else if self.accepts(Action::Pass) && !owned {
            Some(Action::Pass)
        } else {
            Some(Action::Count)
        }
    }

    /// The action that lets a guest go on after an exit that came unasked; `None`: there is none.
    pub const fn continuation(&self) -> Option<Action> {
        if self.accepts(Action::Count) {
            Some(Action::Count)
        } else if self.accepts(Action::Emulate) {
            Some(Action::Emulate)
        } else {
            None
        }
    }
}

/// What makes the CPU take an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intercept {
    /// A bit of the VMCB's intercept vectors.
    Bit {
        /// Offset of the 16- or 32-bit word in the VMCB.
        offset: u16,
        /// Bit number in that word, from 0.
        bit: u8,
    },
    /// NP_ENABLE: a nested page fault always exits.
    NestedPaging,
    /// AVIC enabled in the VMCB.
    Avic,
    /// The guest has encrypted state (SEV-ES).
    EncryptedState,
    /// VMRUN itself: no intercept is needed.
    Vmrun,
}

/// When the exit is taken, seen from the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Before the instruction has any effect: RIP points at it.
    Fault,
    /// After the instruction: RIP points behind it.
    Trap,
    /// Between instructions, or while delivering an event.
    Event,
}

/// How the guest's RIP gets past the instruction that exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// nRIP where the CPU saves it, else the opcode has this many bytes after its prefixes.
    Opcode(u8),
    /// nRIP where the CPU saves it, else the instruction's length must be decoded (ModRM, immediate).
    Decode,
    /// EXITINFO2 holds the next RIP.
    ExitInfo2,
    /// RIP stays where it is.
    Stay,
}

/// How `count` finishes an exit so that the guest cannot tell, apart from time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The VMM's own emulation has the same effect.
    Emulate,
    /// The exception is delivered as the CPU would have, double-fault rules included.
    Reflect,
    /// The software interrupt is injected as EVENTINJ type 4.
    SoftwareInterrupt,
    /// The guest executes the instruction itself, single-stepped with this intercept off.
    Step,
    /// There is no method: `count` is an error.
    None,
}

/// The fault an instruction has by nature: what `deny` gives the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// #UD, as if the CPU did not know the instruction.
    Ud,
    /// #GP(0), as if the guest had no right to it.
    Gp,
    /// Reads give all ones, writes are dropped.
    Float,
    /// Nothing fits: `deny` is an error.
    None,
}

/// Why the VMM itself needs an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It does not: the policy alone decides.
    Policy,
    /// The isolation floor: without it a guest could reach past its VM.
    Floor,
    /// The VMM delivers interrupts to the guest by it.
    Vmm,
    /// Nested paging (`npt = true`) is built on it.
    NestedPaging,
    /// Shadow paging (`npt = false`) is built on it.
    ShadowPaging,
}

/// Entries of a table indexed by [`slot`].
pub const SLOTS: usize = 256;

/// The index of an exit code in a dispatch or counter table; distinct for every known code.
///
/// Codes below 100h are their own index. Codes 40xh become F0h-F3h. VMRUN's own, from
/// VMEXIT_INVALID (-1) to VMEXIT_INVALID_PMC (-4), become FFh to FCh, however wide the CPU
/// wrote them: QEMU 7.2 writes -1 as 32 bits, the manual says 64.
#[inline(always)]
pub const fn slot(code: u64) -> u8 {
    if code < 0x100 {
        code as u8
    } else {
        far_slot(code)
    }
}

/// [`slot`] of the codes that are not on the hot path.
#[cold]
const fn far_slot(code: u64) -> u8 {
    code as u8 | 0xf0
}
