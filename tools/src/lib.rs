//! What a person runs on the host, behind the aliases in `.cargo/config.toml`.
//!
//! A tour, in the order in which `cargo run-qemu` uses the rooms:
//!
//! - [`cli`] reads the command line,
//! - [`setup`] finds what the machine lacks and installs it,
//! - [`policy`] reads policies and tells what they say,
//! - [`mod@reference`] writes down what SVM is, and reads what a VMCB holds,
//! - [`build`] makes the bare-metal binaries and keeps them by content,
//! - [`debian`] fetches kernels that a policy names out of Debian's packages,
//! - [`lab`] boots several and puts what was measured side by side,
//! - [`image`] puts them on a disc that boots on any PC,
//! - [`run`] boots them in QEMU or Bochs, relays the serial line, plays the script of
//!   keys, and turns the end of the run into a report and an exit status.
//!
//! This crate handles no #VMEXIT and knows no rule of the policy: the former
//! is `vmm-core`'s, the latter `vmm-config`'s.

pub mod bench;
pub mod build;
pub mod cli;
pub mod debian;
pub mod failure;
pub mod image;
pub mod lab;
pub mod policy;
pub mod progress;
pub mod reference;
pub mod run;
pub mod setup;
pub mod study;
pub mod table;
pub mod test;
pub mod workspace;
