//! The vocabulary of AMD SVM, once.
//!
//! Every intercept and exit code ([`EXITS`]), every VMCB field ([`vmcb`]), every CPUID
//! feature, MSR and action that a Tollgate policy can name is declared here and nowhere
//! else. The dispatch table, the generated VMCB code, the policy's checks, the counters'
//! names and the documentation are all read from these tables.
//!
//! Source of every fact: AMD64 Architecture Programmer's Manual, volume 2 ("APM"),
//! publication 24593, chapter 15 and appendices B and C. Section numbers refer to it.
//!
//! The crate knows nothing of configuration or of handlers.

#![no_std]

mod action;
mod bits;
mod cpuid;
pub mod event;
mod exit;
mod exits;
mod feature;
pub mod info;
mod instruction;
pub mod msr;
mod row;
pub mod vmcb;

pub use action::{Action, Actions};
pub use bits::Bits;
pub use cpuid::{CPUID_FEATURES, CpuidFeature, Reliance, has_subleaves};
pub use event::{Event, EventKind};
pub use exit::{Advance, Denial, Exit, Finish, Intercept, Owner, SLOTS, Timing, slot};
pub use exits::{EXITS, ExitCode, by_code, by_name};
pub use feature::{FEATURES, Feature, Register};
pub use info::{IoioInfo, NptFault, info_bits};
pub use instruction::{INSTRUCTIONS, Instruction};
pub use msr::{Carrier, MSRS, Msr, msr_by_name, msr_by_number};

/// The names of exception vectors 0-31 as a policy writes them (`exception.pf`), and the
/// manual's mnemonic. APM 8.2.
pub const VECTORS: [(&str, &str); 32] = [
    ("de", "#DE"),
    ("db", "#DB"),
    ("nmi", "NMI"),
    ("bp", "#BP"),
    ("of", "#OF"),
    ("br", "#BR"),
    ("ud", "#UD"),
    ("nm", "#NM"),
    ("df", "#DF"),
    ("9", "vector 9"),
    ("ts", "#TS"),
    ("np", "#NP"),
    ("ss", "#SS"),
    ("gp", "#GP"),
    ("pf", "#PF"),
    ("15", "vector 15"),
    ("mf", "#MF"),
    ("ac", "#AC"),
    ("mc", "#MC"),
    ("xf", "#XF"),
    ("20", "vector 20"),
    ("cp", "#CP"),
    ("22", "vector 22"),
    ("23", "vector 23"),
    ("24", "vector 24"),
    ("25", "vector 25"),
    ("26", "vector 26"),
    ("27", "vector 27"),
    ("hv", "#HV"),
    ("vc", "#VC"),
    ("sx", "#SX"),
    ("31", "vector 31"),
];
