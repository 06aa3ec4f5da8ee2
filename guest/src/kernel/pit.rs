//! The interval timer's channel 0: it ticks, and the ticks are counted.

use core::sync::atomic::{AtomicU32, Ordering};

use guest::timer;

use super::{cpu, port};

/// The timer's interrupt line.
pub const LINE: u32 = 0;

const CHANNEL_0: u16 = 0x40;
const CONTROL: u16 = 0x43;
/// Channel 0, low byte then high byte, mode 2 (rate generator), binary.
const RATE_GENERATOR: u8 = 0x34;

static TICKS: AtomicU32 = AtomicU32::new(0);

/// Makes the timer tick `hz` times a second.
pub fn install(hz: u32) {
    let [low, high] = timer::divisor(hz).to_le_bytes();
    port::write(CONTROL, RATE_GENERATOR);
    port::write(CHANNEL_0, low);
    port::write(CHANNEL_0, high);
}

/// One more tick; called by the interrupt.
pub fn tick() {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

/// Ticks since the start.
pub fn ticks() -> u32 {
    TICKS.load(Ordering::Relaxed)
}

/// Sleeps until `count` more ticks have come.
pub fn wait(count: u32) {
    let start = ticks();
    cpu::wait_until(|| ticks().wrapping_sub(start) >= count);
}
