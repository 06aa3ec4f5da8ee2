//! A processor that has always something to do, and what it notices of time meanwhile.

use core::hint::spin_loop;

use super::console::println;
use super::{cpu, pit};

/// Spins until the timer, which ticks `hz` times a second, has ticked for so many `seconds`. Prints
/// a line: ticks, what they took by the time-stamp counter.
pub fn run(seconds: u32, hz: u32) {
    let wanted = seconds.saturating_mul(hz);
    let (started, before) = (cpu::tsc(), pit::ticks());
    while pit::ticks().wrapping_sub(before) < wanted {
        spin_loop();
    }
    let (ended, after) = (cpu::tsc(), pit::ticks());
    println!(
        "~ busy: {} ticks, {} cycles",
        after.wrapping_sub(before),
        ended.wrapping_sub(started)
    );
}
