//! Boots a machine in QEMU and stays with it to the end.
//!
//! [`vmm`] and [`guest`] are the two commands. Both describe a machine
//! ([`qemu::Launch`]) and hand it to a [`session`], which relays the serial
//! line, plays the [`script`] and says how it ended ([`outcome`]).

pub mod display;
pub mod guest;
pub mod keys;
pub mod options;
pub mod outcome;
pub mod policy;
pub mod qemu;
pub mod qmp;
pub mod records;
pub mod report;
pub mod script;
pub mod session;
pub mod signals;
pub mod terminal;
pub mod text;
pub mod vmm;

use std::io::{Read, Seek};

use crate::failure::{Doing, Result};
use options::Options;
use outcome::{Ending, Verdict};
use qemu::{Launch, Qemu};
use session::Session;
use signals::Signals;

/// Boots a machine and stays with it: how the run ended, and what COM2 sent.
fn boot(launch: &Launch, options: &Options) -> Result<(Ending, String)> {
    let signals = Signals::hold_back().doing(|| "wait for signals".to_string())?;
    let qemu = Qemu::start(launch)?;
    let (ending, mut com2) = Session::new(qemu, options.plan(launch.debug_exit), signals)
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
