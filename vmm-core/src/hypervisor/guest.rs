//! One `[[vm]]` through all of its lives: what is kept while it is off, and what only lives.

use heapless::Deque;
use ledger::Account;

use super::files::Files;
use crate::console::Sample;
use crate::host::tsc;
use crate::journal::Happening;
use crate::policy::VmPolicy;
use crate::svm::debug_registers::DebugRegisters;
use crate::svm::instructions::FxImage;
use crate::svm::tsc_aux::TscAux;
use crate::vm::create::NotThere;
use crate::vm::refusal::Entered;
use crate::vm::stats::Books;
use crate::vm::{How, Instance, State, Vm};

/// A VM, on or off.
pub(super) struct Guest {
    pub policy: &'static VmPolicy,
    /// What it boots from, or what is lacking for that.
    pub files: Result<Files, NotThere>,
    /// What it has while it is on.
    pub life: Option<&'static mut Life>,
    /// How it ended last.
    pub ended: Option<How>,
    /// How often the policy has started it again since a person did.
    pub restarts: u32,
    /// A person wants it to start again once it has ended.
    pub start_again: bool,
    /// What is kept on it, in all of its lives.
    pub account: &'static Account,
    /// What is kept on its exits.
    pub books: Books,
    /// When the pause that it is in began: the TSC.
    pub paused_at: u64,
    /// What the console saw of it last.
    pub sample: Sample,
    /// The longest that something typed has waited for the VM to have a turn: ticks of the TSC.
    pub slowest_input: u64,
    /// When the first of what it has not had a turn for was typed: the TSC.
    typed_at: Option<u64>,
    keys: Deque<u8, 64>,
    /// As much as a terminal's line, so that a page can be pasted.
    typed: Deque<u8, 4096>,
}

/// What a vCPU has in the CPU beside what VMRUN and the world switch carry, and the instance.
pub(super) struct Life {
    pub instance: &'static mut Instance,
    pub fpu: FxImage,
    pub debug: DebugRegisters,
    pub tsc_aux: TscAux,
    /// What its turn began with, in case the CPU refuses it.
    pub entered: Entered,
}

impl Guest {
    /// A VM that has never been on.
    pub fn new(
        policy: &'static VmPolicy,
        files: Result<Files, NotThere>,
        account: &'static Account,
        books: Books,
    ) -> Guest {
        Guest {
            policy,
            files,
            life: None,
            ended: None,
            restarts: 0,
            start_again: false,
            account,
            books,
            paused_at: 0,
            sample: Sample::default(),
            slowest_input: 0,
            typed_at: None,
            keys: Deque::new(),
            typed: Deque::new(),
        }
    }

    /// The VM, if it is on.
    pub fn vm(&mut self) -> Option<&mut Vm> {
        self.life.as_mut().map(|life| &mut life.instance.vm)
    }

    /// The VM with its vCPU, if it is on.
    pub fn instance(&mut self) -> Option<&mut Instance> {
        self.life.as_mut().map(|life| &mut *life.instance)
    }

    /// Whether it can have a turn.
    pub fn is_runnable(&self) -> bool {
        self.life
            .as_ref()
            .is_some_and(|life| life.instance.vm.is_runnable())
    }

    /// When it is to wake if it sleeps and knows when, in ns of a clock that shows `now`.
    pub fn wakes(&self, now: u64) -> Option<u64> {
        let vm = self.life.as_ref().map(|life| &life.instance.vm)?;
        let sleeps = vm.state == State::Waiting && !vm.paused && vm.end.is_none();
        let deadline = vm.devices.next_deadline().filter(|_| sleeps)?;
        Some(now.saturating_add(deadline.0.saturating_sub(vm.clock.now().0)))
    }

    /// A byte of the keyboard for it. What does not fit is lost.
    pub fn key(&mut self, byte: u8) {
        let _ = self.keys.push_back(byte);
        self.typed_at.get_or_insert_with(tsc::now);
    }

    /// A byte of the serial line for it. What does not fit is lost.
    pub fn type_byte(&mut self, byte: u8) {
        let _ = self.typed.push_back(byte);
        self.typed_at.get_or_insert_with(tsc::now);
    }

    /// It has a turn, and with it what was typed.
    pub fn begin_turn(&mut self) {
        if let Some(typed_at) = self.typed_at.take() {
            let waited = tsc::now().wrapping_sub(typed_at);
            self.slowest_input = self.slowest_input.max(waited);
        }
    }

    /// Forgets what was typed and not taken: it was for a life that is over.
    pub fn forget_input(&mut self) {
        self.keys.clear();
        self.typed.clear();
        self.typed_at = None;
    }

    /// Gives its devices as much of what was typed as they have room for.
    pub fn give_input(&mut self) {
        let Some(life) = self.life.as_mut() else {
            return;
        };
        let instance = &mut life.instance;
        let mut takes = |what| instance.happens(what);
        while self
            .keys
            .front()
            .is_some_and(|byte| takes(Happening::Key(*byte)))
        {
            self.keys.pop_front();
        }
        while self
            .typed
            .front()
            .is_some_and(|byte| takes(Happening::Typed(*byte)))
        {
            self.typed.pop_front();
        }
    }
}
