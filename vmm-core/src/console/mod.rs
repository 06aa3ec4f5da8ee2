//! What a person says to the VMM itself, rather than to a guest, and what is said back.

mod chord;
mod keys;
mod view;

pub use chord::{Chord, Pressed};
pub use keys::{Keys, Order, Typed};
pub use view::{HEADING, HELP, Row, Sample};
