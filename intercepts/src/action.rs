//! What a policy may say about an exit: the closed list of actions.

use bitflags::bitflags;

/// What happens when the guest does what an exit stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Not intercepted: the guest does it by itself.
    Pass,
    /// The VMM does it for the guest, by its own model of the machine.
    Emulate,
    /// Count it, then do what the CPU would have done, and resume.
    Count,
    /// As [`Action::Count`], and say so on the log.
    Log,
    /// Deliver an exception to the guest in its place.
    Inject,
    /// Refuse it with the fault it has by nature ([`crate::Denial`]).
    Deny,
    /// End the VM.
    Stop,
    /// Suspend the guest until its next interrupt (HLT, MWAIT).
    Wait,
    /// Answer a call to the VMM (VMMCALL).
    Hypercall,
}

impl Action {
    /// Every action, in the order that documentation lists them.
    pub const ALL: [Action; 9] = [
        Action::Pass,
        Action::Emulate,
        Action::Count,
        Action::Log,
        Action::Inject,
        Action::Deny,
        Action::Stop,
        Action::Wait,
        Action::Hypercall,
    ];

    /// The word in `vm.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Pass => "pass",
            Action::Emulate => "emulate",
            Action::Count => "count",
            Action::Log => "log",
            Action::Inject => "inject",
            Action::Deny => "deny",
            Action::Stop => "stop",
            Action::Wait => "wait",
            Action::Hypercall => "hypercall",
        }
    }

    /// One line on what the action does, for error texts and documentation.
    pub const fn meaning(self) -> &'static str {
        match self {
            Action::Pass => "not intercepted: the guest does it by itself",
            Action::Emulate => "the VMM does it for the guest, by its model of the machine",
            Action::Count => "counted, then done as the CPU would have done it",
            Action::Log => "counted and logged, then done as the CPU would have done it",
            Action::Inject => "the guest gets the exception `vector` in its place",
            Action::Deny => "refused with the fault that it has by nature",
            Action::Stop => "ends the VM",
            Action::Wait => "suspends the guest until its next interrupt",
            Action::Hypercall => "a call to the VMM: number in EAX, result in EAX",
        }
    }

    /// The action of that name.
    pub fn by_name(name: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.name() == name)
    }

    /// The set that holds this action alone.
    pub const fn bit(self) -> Actions {
        Actions::from_bits_truncate(1 << self as u16)
    }
}

bitflags! {
    /// A set of actions: those that fit an exit.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Actions: u16 {
        /// [`Action::Pass`].
        const PASS = 1 << Action::Pass as u16;
        /// [`Action::Emulate`].
        const EMULATE = 1 << Action::Emulate as u16;
        /// [`Action::Count`].
        const COUNT = 1 << Action::Count as u16;
        /// [`Action::Log`].
        const LOG = 1 << Action::Log as u16;
        /// [`Action::Inject`].
        const INJECT = 1 << Action::Inject as u16;
        /// [`Action::Deny`].
        const DENY = 1 << Action::Deny as u16;
        /// [`Action::Stop`].
        const STOP = 1 << Action::Stop as u16;
        /// [`Action::Wait`].
        const WAIT = 1 << Action::Wait as u16;
        /// [`Action::Hypercall`].
        const HYPERCALL = 1 << Action::Hypercall as u16;
    }
}
