//! The ledger: what the VMM keeps on each #VMEXIT, as it lies in memory.
//!
//! The VMM writes it, and whoever sees the machine's memory may read it while the guests run;
//! nothing in it is ever locked. Every number is a little-endian `u64` in its natural place and
//! written whole, by one CPU; one that counts never falls, over all lives of a VM.
//!
//! - [`Ledger`] comes first. Its address is in the VMM's first record (`hello`, key `ledger`).
//! - Each VM has an [`Account`] there, with the addresses of its books. A book that the policy
//!   did not ask for has address 0.
//! - [`Totals`], [`Times`] and [`Details`] are the books. The first two are indexed by
//!   [`intercepts::slot`] of the exit code.
//! - A ring of [`Entry`] holds the last exits of a VM that is traced.
//!
//! Addresses are physical. [`VERSION`] changes with any of this.

#![no_std]

mod details;
mod times;
mod totals;
mod trace;

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

pub use details::{Detail, Details, PLACES, Row, Subject};
pub use times::{BUCKETS, Time, Times, bucket};
pub use totals::{Total, Totals};
pub use trace::{Entry, Progress, Ring};

/// `TOLLGATE`, little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TOLLGATE");
/// The version of the layout.
pub const VERSION: u64 = 1;
/// Accounts in a ledger: the most VMs that there can be.
pub const ACCOUNTS: usize = 64;
/// Words of a VM's name.
pub const NAME_WORDS: usize = 4;

/// The slot of exits that serve the VMM alone, such as the #DB after an instruction that the
/// guest is stepped over. No exit code has it.
pub const OWN: u8 = 0xe0;
/// What such exits are called where others have the vocabulary's names.
pub const OWN_NAME: &str = "(vmm)";

/// A number that one CPU writes and others read.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Number(AtomicU64);

impl Number {
    /// A number.
    pub const fn new(value: u64) -> Number {
        Number(AtomicU64::new(value))
    }

    /// Its value.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Gives it another value.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Adds to it. Nobody else writes it, so this need not be one step.
    #[inline(always)]
    pub fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }
}

/// Something that the VMM makes in zeroed memory.
///
/// # Safety
/// Bytes that are all zero are a value of the type.
pub unsafe trait Book: 'static {
    /// Makes of zeroes what nothing came to yet.
    fn open(&self);
}

/// The first page: who there is.
#[derive(Debug)]
#[repr(C)]
pub struct Ledger {
    /// [`MAGIC`].
    pub magic: Number,
    /// [`VERSION`].
    pub version: Number,
    /// How many of the accounts are in use.
    pub vms: Number,
    /// TSC ticks a second.
    pub tsc_hz: Number,
    /// The TSC when the VMM looked at it last.
    pub now: Number,
    /// A VM each, in the order of the policy.
    pub accounts: [Account; ACCOUNTS],
}

// SAFETY: all of it is numbers.
unsafe impl Book for Ledger {
    fn open(&self) {
        self.version.set(VERSION);
        self.magic.set(MAGIC);
    }
}

/// One VM.
#[derive(Debug)]
#[repr(C)]
pub struct Account {
    /// Its name, UTF-8, with zeroes behind it.
    pub name: [Number; NAME_WORDS],
    /// What it does: a [`State`].
    pub state: Number,
    /// How often it was started.
    pub lives: Number,
    /// TSC ticks that it had the CPU, its exits included.
    pub run_cycles: Number,
    /// Where its [`Totals`] are.
    pub totals: Number,
    /// Where its [`Times`] are.
    pub times: Number,
    /// Where its [`Details`] are.
    pub details: Number,
    /// Where its ring's [`Progress`] is.
    pub progress: Number,
    /// Where its ring's first [`Entry`] is.
    pub ring: Number,
    /// How many entries the ring has: a power of two.
    pub ring_entries: Number,
}

impl Account {
    /// One that is not in use.
    pub const fn new() -> Account {
        Account {
            name: [const { Number::new(0) }; NAME_WORDS],
            state: Number::new(0),
            lives: Number::new(0),
            run_cycles: Number::new(0),
            totals: Number::new(0),
            times: Number::new(0),
            details: Number::new(0),
            progress: Number::new(0),
            ring: Number::new(0),
            ring_entries: Number::new(0),
        }
    }

    /// Names it; what is too long is cut.
    pub fn set_name(&self, name: &str) {
        let mut bytes = [0; NAME_WORDS * 8];
        let length = name.len().min(bytes.len());
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        for (word, bytes) in self.name.iter().zip(bytes.as_chunks().0) {
            word.set(u64::from_le_bytes(*bytes));
        }
    }
}

impl Default for Account {
    fn default() -> Self {
        Account::new()
    }
}

/// What a VM does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// It is off, or was never on.
    Off = 0,
    /// It can run.
    Running = 1,
    /// It waits for an interrupt.
    Waiting = 2,
    /// A person paused it.
    Paused = 3,
}

impl State {
    /// The state of that number; one that nobody knows is off.
    pub const fn from_number(number: u64) -> State {
        match number {
            1 => State::Running,
            2 => State::Waiting,
            3 => State::Paused,
            _ => State::Off,
        }
    }

    /// The word for people.
    pub const fn name(self) -> &'static str {
        match self {
            State::Off => "off",
            State::Running => "running",
            State::Waiting => "waiting",
            State::Paused => "paused",
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::mem::{offset_of, size_of};

    use intercepts::{EXITS, SLOTS, slot};

    use super::*;

    #[test]
    fn the_layout_is_that_of_version_1() {
        assert_eq!(VERSION, 1);
        assert_eq!(offset_of!(Ledger, accounts), 0x28);
        assert_eq!(size_of::<Account>(), 0x68);
        assert_eq!(offset_of!(Account, state), 0x20);
        assert_eq!(offset_of!(Account, run_cycles), 0x30);
        assert_eq!(offset_of!(Account, totals), 0x38);
        assert_eq!(offset_of!(Account, details), 0x48);
        assert_eq!(size_of::<Total>(), 0x10);
        assert_eq!(size_of::<Totals>(), SLOTS * 0x10);
        assert_eq!(offset_of!(Time, buckets), 0x10);
        assert_eq!(size_of::<Time>(), 0x10 + 8 * BUCKETS);
        assert_eq!(size_of::<Row>(), 0x20);
        assert_eq!(size_of::<Entry>(), 0x40);
        assert_eq!(offset_of!(Details, rows), 0x10);
    }

    #[test]
    fn no_exit_has_the_vmms_own_slot() {
        assert!(EXITS.iter().all(|exit| slot(exit.code as u64) != OWN));
    }

    #[test]
    fn a_name_of_any_length_is_kept_as_far_as_it_fits() {
        let account = Account::new();
        for name in ["", "demo", "0123456789abcdef0123456789abcdefgh"] {
            account.set_name(name);
            let bytes: std::vec::Vec<u8> = account
                .name
                .iter()
                .flat_map(|word| word.get().to_le_bytes())
                .collect();
            let kept = name.len().min(32);
            assert_eq!(&bytes[..kept], &name.as_bytes()[..kept]);
            assert!(bytes[kept..].iter().all(|byte| *byte == 0));
        }
    }
}
