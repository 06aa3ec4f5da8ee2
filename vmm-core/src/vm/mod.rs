//! One guest: its memory, its vCPU, its devices, and how its life goes.

pub mod assists;
pub mod clock;
pub mod cpuid;
pub mod create;
pub mod denials;
pub mod fault;
pub mod line;
pub mod linear;
pub mod loader;
pub mod marker;
pub mod memory;
pub mod operand;
pub mod pvclock;
pub mod refusal;
pub mod stats;
pub mod vcpu;
pub mod walk;

use core::fmt::{self, Write};

use heapless::String;

use crate::devices::Devices;
use crate::exits::Outcome;
use crate::host::log;
use crate::info;
use crate::journal::Seen;
use crate::policy::{Dispatch, VmPolicy};
use crate::svm::shadow::Shadow;
use clock::GuestClock;
use cpuid::CpuidModel;
use denials::Denials;
use line::Line;
use marker::Marker;
use memory::GuestMemory;
use pvclock::Pvclock;
use stats::Stats;

pub use vcpu::Vcpu;

/// A vCPU and its VM: what the world switch runs. The vCPU comes first, since the switch
/// finds the GPRs through the same pointer.
#[repr(C)]
pub struct Instance {
    /// The virtual CPU.
    pub vcpu: Vcpu,
    /// Everything else.
    pub vm: Vm,
}

/// A guest without its CPU.
pub struct Vm {
    /// What `vm.toml` says of it.
    pub policy: &'static VmPolicy,
    /// The handler of each exit: the policy's, within reach of the hot path.
    pub dispatch: &'static Dispatch,
    /// The same without shadow paging, which has its turn first where there is any.
    pub behind: &'static Dispatch,
    /// Its shadow page tables, without nested paging.
    pub shadow: Option<Shadow>,
    /// Its memory.
    pub memory: GuestMemory,
    /// Its devices.
    pub devices: Devices,
    /// What CPUID tells it.
    pub cpuid: CpuidModel,
    /// Its time.
    pub clock: GuestClock,
    /// The paravirtual clock that tells it of that, if it has one.
    pub pvclock: Option<Pvclock>,
    /// What is kept on its exits.
    pub stats: Stats,
    /// What it tried and was refused.
    pub denials: Denials,
    /// What it sends over its UART, until that is a line.
    pub line: Line,
    /// The text at which the run ends, if it is this VM's to say.
    pub marker: Option<Marker>,
    /// It has said it.
    pub is_marked: bool,
    /// Whether it can run, while it lives.
    pub state: State,
    /// Whether a person has paused it. Its clock stands meanwhile.
    pub paused: bool,
    /// How its life ended, once it has.
    pub end: Option<End>,
    /// The end of an interrupt is news to the VMM: it opens a physical line again.
    pub awaits_end_of_interrupt: bool,
    /// An interrupt is pending that it could not be told of: try again very soon.
    pub retry_soon: bool,
    /// What the journal has of it.
    pub seen: Seen,
}

/// Whether a living VM can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can.
    Runnable,
    /// It waits for an interrupt (HLT, MWAIT).
    Waiting,
}

/// How a VM's life ended.
pub struct End {
    /// In what way.
    pub how: How,
    /// Why, in words.
    pub reason: String<REASON>,
}

/// Longest reason kept, in bytes.
const REASON: usize = 256;

/// In what way a VM ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It powered itself off.
    PowerOff,
    /// HLT with interrupts off.
    Halted,
    /// It reset itself.
    Reset,
    /// It did something that no machine survives.
    Crashed,
    /// The policy stopped it.
    Stopped,
    /// A person turned it off.
    TurnedOff,
}

impl How {
    /// The word in records and reports.
    pub const fn name(self) -> &'static str {
        match self {
            How::PowerOff => "power-off",
            How::Halted => "halted",
            How::Reset => "reset",
            How::Crashed => "crashed",
            How::Stopped => "stopped",
            How::TurnedOff => "turned-off",
        }
    }

    /// Whether it is a good end.
    pub const fn is_good(self) -> bool {
        !matches!(self, How::Crashed | How::Stopped)
    }
}

impl Vm {
    /// Has `table` answer the guest's exits from now on.
    pub fn answer_by(&mut self, table: &'static Dispatch) {
        // What stands before the answers stays.
        let is_direct = core::ptr::eq(self.dispatch, self.behind);
        self.behind = table;
        if is_direct {
            self.dispatch = table;
        }
    }

    /// Ends the VM's life; the first end stands. Returns what the handler is to return.
    #[cold]
    pub fn finish(&mut self, how: How, why: fmt::Arguments<'_>) -> Outcome {
        if self.end.is_none() {
            let mut reason = String::new();
            // A reason too long for its place is cut, not lost.
            let _ = Truncating(&mut reason).write_fmt(why);
            self.end = Some(End { how, reason });
        }
        Outcome::Leave
    }

    /// Whether it lives and neither waits nor is paused.
    pub fn is_runnable(&self) -> bool {
        self.end.is_none() && !self.paused && self.state == State::Runnable
    }

    /// Sends a byte of the guest's UART to the person at COM1, together with the rest of its
    /// line. A byte that begins one is news to the scheduler, which sends it should no more come.
    pub fn transmit(&mut self, byte: u8) -> Outcome {
        let begins = self.line.is_empty();
        let ends_run = self.marker.as_mut().is_some_and(|marker| marker.hear(byte));
        if ends_run {
            self.is_marked = true;
        }
        if self.line.push(byte) || ends_run {
            self.send_line();
            if ends_run {
                Outcome::Leave
            } else {
                Outcome::Resume
            }
        } else if begins {
            Outcome::Leave
        } else {
            Outcome::Resume
        }
    }

    /// Sends what there is of the line that the guest has begun.
    pub fn send_line(&mut self) {
        if !self.line.is_empty() {
            log::guest(self.policy.name, &self.line.take());
        }
    }

    /// Sends the line that the guest has begun if it waits, or has done something else for
    /// `patience` ticks of the TSC.
    pub fn send_resting_line(&mut self, patience: u64) {
        let waits = self.paused || self.state == State::Waiting;
        if waits || self.line.rests(self.stats.run_cycles, patience) {
            self.send_line();
        }
    }

    /// Moves its timers to its own time, and wakes it if it waits and an interrupt is pending.
    pub fn bring_up_to_date(&mut self) {
        self.devices.advance(self.clock.now());
        if self.state == State::Waiting && self.devices.interrupt_pending() {
            self.state = State::Runnable;
        }
    }

    /// Says how many page faults were the VMM's own, if it has shadow page tables.
    pub fn report_hidden_faults(&self) {
        if let Some(shadow) = &self.shadow {
            info!(
                "{}: {} page faults beside its own, for shadow paging",
                self.policy.name, shadow.hidden_faults
            );
        }
    }

    /// Says what it was refused, if anything.
    pub fn report_denials(&self) {
        let say = |what: &dyn fmt::Display, count: u64| {
            let times = if count == 1 { "time" } else { "times" };
            info!("{}: refused {count} {times}: {what}", self.policy.name);
        };
        for (denied, count) in self.denials.iter() {
            say(&denied, count);
        }
        if self.denials.others() != 0 {
            say(&"other things", self.denials.others());
        }
    }
}

/// Writes as much as fits.
struct Truncating<'a, const N: usize>(&'a mut String<N>);

impl<const N: usize> Write for Truncating<'_, N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.0.push(character).map_err(|_| fmt::Error)?;
        }
        Ok(())
    }
}
