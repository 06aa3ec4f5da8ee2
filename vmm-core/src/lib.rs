//! The hypervisor under a Tollgate policy: world switch, paging, exits, devices, VMs.
//!
//! [`run`] is the way in: the policy arrives as static tables ([`policy`]) that the build
//! generated from `vm.toml`, the machine as [`host::Machine`]. From there:
//!
//! - [`svm`] is the CPU's side: features, the world switch, nested page tables;
//! - [`exits`] holds what happens on a #VMEXIT, a file a family;
//! - [`decode`] reads the instructions whose operands the CPU does not tell;
//! - [`vm`] is one guest: memory, vCPU, loader, time, counts;
//! - [`devices`] is what a guest sees behind its ports;
//! - [`journal`] writes down what comes to a VM and what becomes of it, if the build asks for it;
//! - [`console`] is what a person says to the VMM itself;
//! - [`host`] is the real machine underneath.
//!
//! Nothing here reads a file or knows TOML.

#![cfg_attr(not(test), no_std)]

pub mod addr;
pub mod console;
pub mod decode;
pub mod devices;
pub mod exits;
pub mod host;
mod hypervisor;
pub mod journal;
pub mod policy;
pub mod sched;
pub mod svm;
pub mod vm;

pub use hypervisor::run;
pub use sched::MAX_VMS;
