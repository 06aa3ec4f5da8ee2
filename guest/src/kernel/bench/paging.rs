//! What paging costs: a page fault of the kernel's own, another address space, memory that is
//! touched for the first time, and computing that touches what it has touched before.

use core::arch::asm;
use core::ptr;

use guest::bitmap::FRAME_BYTES;
use guest::page::{ENTRIES, MapError};

use super::{ROUNDS, report, tell};
use crate::kernel::exceptions::attempt;
use crate::kernel::paging::flush;
use crate::kernel::{Kernel, cpu};

/// Where the pages of the rounds begin.
const START: u32 = 0xC000_0000;
/// Pages that are read after CR3 was loaded, and computed in.
const PAGES: u32 = 16;
/// Where the pages begin that are touched once, and how many they are.
const UNTOUCHED: u32 = 0xC040_0000;
const TOUCHES: u32 = 8192;
const STEPS: u32 = 5_000_000;

/// Times the rounds.
///
/// # Errors
/// There is too little memory for them.
pub(super) fn run(kernel: &mut Kernel) -> Result<(), MapError> {
    map(kernel, START, PAGES)?;
    let frames = &mut kernel.memory.frames;
    let entry = kernel.space.entry(START, frames);
    let entry = entry.ok_or(MapError::NoMemory)?;
    report("a page fault, mended", || page_faults(entry));
    let directory = kernel.space.directory();
    report("CR3 and 16 pages", || loads(directory));
    map(kernel, UNTOUCHED, TOUCHES)?;
    tell("first touch of a page", TOUCHES, touches());
    compute();
    tell("computing", STEPS, compute());
    Ok(())
}

/// Maps `count` pages from `start` on to frames of their own. The first pages of all page tables
/// come first, so that the tables are made while the frames are low.
fn map(kernel: &mut Kernel, start: u32, count: u32) -> Result<(), MapError> {
    let Kernel { memory, space, .. } = kernel;
    let pages = (0..ENTRIES).flat_map(|first| (first..count).step_by(ENTRIES as usize));
    for page in pages {
        let frame = memory.frames.take().ok_or(MapError::NoMemory)?;
        let virt = start + page * FRAME_BYTES;
        space.map(virt, frame * FRAME_BYTES, &mut memory.frames)?;
    }
    Ok(())
}

/// Clears the entry of a page, flushes it, touches the page, mends the entry once the fault has
/// come, and touches the page again.
fn page_faults(entry: *mut u32) -> u64 {
    let started = cpu::tsc();
    for _ in 0..ROUNDS {
        // SAFETY: it is the entry of a page that nothing else uses.
        let mapped = unsafe { entry.read_volatile() };
        // SAFETY: as above.
        unsafe { entry.write_volatile(0) };
        flush(START);
        attempt!("mov dword ptr [{at}], 1"; at = in(reg) START);
        // SAFETY: as above; the page is mapped again before it is touched.
        unsafe {
            entry.write_volatile(mapped);
            (START as *mut u32).write_volatile(2);
        }
    }
    cpu::tsc().wrapping_sub(started)
}

/// Loads CR3 with what it holds, and reads a word of each page.
fn loads(directory: u32) -> u64 {
    let started = cpu::tsc();
    for _ in 0..ROUNDS {
        // SAFETY: the directory is the one in use, and the pages are mapped.
        unsafe {
            asm!(
                "mov cr3, {directory}",
                "2: mov {word}, [{at}]",
                "add {at}, 4096",
                "dec {pages}",
                "jnz 2b",
                directory = in(reg) directory,
                word = out(reg) _,
                at = inout(reg) START => _,
                pages = inout(reg) PAGES => _,
                options(nostack),
            );
        }
    }
    cpu::tsc().wrapping_sub(started)
}

/// Writes a word to each page that has never been touched.
fn touches() -> u64 {
    let started = cpu::tsc();
    for page in 0..TOUCHES {
        // SAFETY: the page is mapped, and nothing else uses it.
        unsafe { ptr::write_volatile((UNTOUCHED + page * FRAME_BYTES) as *mut u32, page) };
    }
    cpu::tsc().wrapping_sub(started)
}

/// Adds up words of the pages, each found by the one before.
fn compute() -> u64 {
    const WORDS: u32 = PAGES * FRAME_BYTES / 4;
    let started = cpu::tsc();
    let mut state = 1u32;
    for _ in 0..STEPS {
        let place = (START + state % WORDS * 4) as *mut u32;
        // SAFETY: the place is on a page that is mapped and that nothing else uses.
        unsafe {
            let word = place.read_volatile();
            state = state
                .wrapping_mul(1_664_525)
                .wrapping_add(word | 1_013_904_223);
            place.write_volatile(state);
        }
    }
    cpu::tsc().wrapping_sub(started)
}
