//! The parts of the kernel that need no machine: tables as data, text, numbers.
//!
//! They build and are tested on any host. What touches the machine is in the
//! binary, under `kernel/`, and calls these.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod bitmap;
pub mod bump;
pub mod command;
pub mod descriptor;
pub mod keymap;
pub mod line;
pub mod multiboot;
pub mod page;
pub mod ring;
pub mod screen;
pub mod size;
pub mod stress;
pub mod timer;
pub mod trap;
pub mod words;
