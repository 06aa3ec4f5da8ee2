//! The lab: what a policy does, counted, timed, and side by side with another.
//!
//! Every run here is `run-qemu` as a person would call it, with a report; so what the lab
//! finds, a person can find again by hand.

pub mod compare;
pub mod debug;
mod html;
pub mod measure;
pub mod replay;
pub mod sweep;
pub mod top;
pub mod trace;
