//! The hypervisor under a Tollgate policy: world switch, paging, exits, devices, VMs.
//!
//! Nothing here reads a file or knows TOML: the policy arrives as static tables
//! ([`policy`]) that the build generated from `vm.toml`.

#![cfg_attr(not(test), no_std)]

pub mod addr;
pub mod devices;
pub mod host;
