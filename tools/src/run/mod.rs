//! Boots a machine in an emulator and stays with it to the end.
//!
//! [`on_qemu`], [`on_bochs`] and [`guest`] are the commands. Each describes a
//! machine ([`qemu::Launch`], [`bochs::Launch`]) and hands the running
//! [`emulator`] to a [`session`], which relays the serial line, plays the
//! `script` and says how it ended ([`outcome`]).

pub mod bochs;
pub mod display;
pub mod emulator;
pub mod guest;
pub mod journal;
pub mod keys;
pub mod matrix;
pub mod on_bochs;
pub mod on_qemu;
pub mod options;
pub mod outcome;
pub mod policy;
pub mod qemu;
pub mod qmp;
pub mod records;
pub mod report;
pub mod screen;
mod script;
pub mod session;
pub mod signals;
pub mod terminal;
pub mod text;
pub mod trace;
pub mod unexercised;
pub mod vmm;
pub mod vnc;

use std::io::{Read, Seek};

use crate::failure::{Doing, Result};
use emulator::Emulator;
use outcome::{Ending, Verdict};
use session::{Plan, Session};
use signals::Signals;

/// Boots a machine and stays with it: how the run ended, and what COM2 sent.
fn boot(start: impl FnOnce() -> Result<Emulator>, plan: Plan) -> Result<(Ending, String)> {
    let signals = Signals::hold_back().doing(|| "wait for signals".to_string())?;
    let emulator = start()?;
    let (ending, mut com2) = Session::new(emulator, plan, signals)
        .run()
        .doing(|| "follow the run".to_string())?;
    let mut records = Vec::new();
    com2.rewind()
        .and_then(|()| com2.read_to_end(&mut records))
        .doing(|| "read what COM2 sent".to_string())?;
    Ok((ending, String::from_utf8_lossy(&records).into_owned()))
}

/// Says why a run did not end well.
fn explain(verdict: &Verdict) {
    if let Some(message) = &verdict.message {
        crate::progress::say(message);
    }
}
