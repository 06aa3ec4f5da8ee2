//! What single instructions cost: short loops, timed by the time-stamp counter.
//!
//! Each loop is the instruction, a decrement and a jump; then come rounds through paging.
//! Interrupts are off meanwhile.

use super::console::println;
use super::{Kernel, cpu, port};

const ROUNDS: u32 = 10_000;

/// Times `$body` in a loop of [`ROUNDS`] rounds that ESI counts; EAX, ECX and EDX are set
/// before the first.
macro_rules! loop_of {
    ($body:literal, eax = $eax:expr, ecx = $ecx:expr, edx = $edx:expr) => {{
        let started = cpu::tsc();
        // SAFETY: the instructions below touch no memory but the stack, which they leave as it
        // was, and every register that any of them writes is named; EBX, which Rust keeps for
        // itself, is put back.
        unsafe {
            core::arch::asm!(
                "push esi",
                "push ebx",
                "mov esi, edi",
                "2:",
                $body,
                "dec esi",
                "jnz 2b",
                "pop ebx",
                "pop esi",
                inout("edi") ROUNDS => _,
                inout("eax") $eax => _,
                inout("ecx") $ecx => _,
                inout("edx") $edx => _,
            );
        }
        cpu::tsc().wrapping_sub(started)
    }};
}

mod gates;
mod paging;

/// The interrupt mask of the first controller, and counter 0 of the interval timer.
const PIC_MASK: u32 = 0x21;
const ALL_MASKED: u32 = 0xff;
const PIT_COUNTER: u32 = 0x40;
/// The counter that makes the sound: nothing depends on what is in it.
const PIT_SPEAKER: u32 = 0x42;
/// The EFER register.
const EFER: u32 = 0xc000_0080;

/// Times each instruction and prints a line: name, rounds, ticks.
pub fn run(kernel: &mut Kernel) {
    cpu::disable_interrupts();
    let mask = port::read(PIC_MASK as u16);
    // With every line masked, no tick that comes meanwhile is in the figures.
    port::write(PIC_MASK as u16, ALL_MASKED as u8);
    report("an empty loop", || loop_of!("", eax = 0, ecx = 0, edx = 0));
    // Each answer names the next leaf: what EAX holds is left as it comes.
    report("CPUID", || loop_of!("cpuid", eax = 0, ecx = 0, edx = 0));
    report("IN from the PIC", || {
        loop_of!("in al, dx", eax = 0, ecx = 0, edx = PIC_MASK)
    });
    report("OUT to the PIC", || {
        loop_of!("out dx, al", eax = ALL_MASKED, ecx = 0, edx = PIC_MASK)
    });
    report("IN from the PIT", || {
        loop_of!("in al, dx", eax = 0, ecx = 0, edx = PIT_COUNTER)
    });
    report("OUT to the PIT", || {
        loop_of!("out dx, al", eax = 0, ecx = 0, edx = PIT_SPEAKER)
    });
    report("RDMSR of EFER", || {
        loop_of!("rdmsr", eax = 0, ecx = EFER, edx = 0)
    });
    report("WRMSR of EFER", || {
        loop_of!("wrmsr", eax = 0, ecx = EFER, edx = 0)
    });
    report("RDTSC", || loop_of!("rdtsc", eax = 0, ecx = 0, edx = 0));
    gates::run();
    if paging::run(kernel).is_err() {
        println!("bench: too little memory for the paging rounds");
    }
    port::write(PIC_MASK as u16, mask);
    cpu::enable_interrupts();
}

/// Runs `timed` once to warm up and once to count.
fn report(name: &str, timed: impl Fn() -> u64) {
    timed();
    tell(name, ROUNDS, timed());
}

/// The line of a figure.
fn tell(name: &str, rounds: u32, ticks: u64) {
    println!("~ bench: {name}: {rounds} rounds, {ticks} ticks");
}
