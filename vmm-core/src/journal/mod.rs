//! The journal of a run: what came to each VM, and what the VMM made of it.
//!
//! Between two VMRUNs a VM is a function of its state and of what comes from outside: the
//! registers that the guest left, bytes of its memory, the time, an MSR or port of the machine, a
//! key. A VMM that is built with the feature `journal` writes all of that down, and what came out:
//! the registers, what was written to memory, what was said. On the host the same code, fed with
//! the same, must do the same; where it does not is the first difference.
//!
//! A VMM that is built without the feature has none of this: every function here is then nothing
//! but a call of its closure.
//!
//! # The form
//! A journal is a sequence of items, each a word and hexadecimal numbers. One call is
//!
//! ```text
//! exit 1                   what happened to the VM of ASID 1: a [`Happening`]
//! given 2f=100020 70=72    words of its state that the guest has changed since
//! code 20 2 = 0fa2         inputs: the question, and the answer
//! tsc = 5f3ac
//! store b8000 4107         outputs
//! done 0 2f=100022         what was returned, and the words that have changed
//! ```
//!
//! The words of the state are those of the VMCB, the GPRs behind them, and three of the VM's own;
//! [`word_name`] says which is which.

mod happening;
#[cfg(feature = "journal")]
mod kept;
#[cfg(not(feature = "journal"))]
mod nothing;
#[cfg(feature = "journal")]
mod state;

pub use happening::{Birth, Happening};
#[cfg(feature = "journal")]
pub use kept::{Reader, begin, is_full, read_from, send};
pub(crate) use kept_or_nothing::*;
#[cfg(feature = "journal")]
pub use state::word_name;

/// What the rest of the VMM calls.
mod kept_or_nothing {
    #[cfg(feature = "journal")]
    pub use super::kept::*;
    #[cfg(not(feature = "journal"))]
    pub use super::nothing::*;
}
