//! What a person says to the VMM itself, rather than to a guest.

mod escape;

pub use escape::{Escape, Typed};
