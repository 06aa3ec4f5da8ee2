//! A 32-bit kernel that a Multiboot 1 loader starts.
//!
//! It takes the machine over (segments, interrupts, paging, timer, keyboard,
//! screen, serial line) and then reads commands, or shows what it can do. The
//! parts that need no machine are in the library.

#![no_std]
#![no_main]
// Registers have 32 bits here; the lint speaks up when a 64-bit host checks this code.
#![allow(asm_sub_register)]

mod kernel;
