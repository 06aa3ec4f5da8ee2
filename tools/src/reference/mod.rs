//! `cargo vmcb-docs`: the reference of SVM, made from the vocabulary, with a policy laid over it,
//! and the decoder of what a VMCB holds.
//!
//! [`model`] is what there is to say, as data, and [`rows`] makes it; [`overlay`] is what a policy
//! makes of a VMCB; one module a format writes it down. [`decode`] reads values, and [`dump`] whole
//! VMCBs, whose bytes [`hexdump`] takes from text.

pub mod command;
pub mod csv;
pub mod decode;
pub mod dump;
pub mod hexdump;
pub mod html;
pub mod markdown;
pub mod model;
pub mod overlay;
pub mod rows;
