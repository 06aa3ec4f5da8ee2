//! The CPU's side of virtualisation: what it offers, the world switch, nested paging.

pub mod carried;
pub mod debug_registers;
pub mod features;
pub mod floor;
pub mod instructions;
pub mod npt;
pub mod permissions;
pub mod shadow;
pub mod switch;
pub mod tlb;
pub mod tsc_aux;
