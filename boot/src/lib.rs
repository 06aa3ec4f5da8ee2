//! The policy that is compiled in, and the user's own exit handlers.
//!
//! A library of its own, so that it also builds for the host: what runs there is the very
//! dispatch that runs on the machine. How it boots is in the binary.

#![no_std]

pub mod handlers;

vmm_config_macros::policy!();
