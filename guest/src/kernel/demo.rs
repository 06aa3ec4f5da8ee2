//! A tour of what the kernel can do: each stop says what it does and whether it held.

use core::ptr;

use guest::bitmap::FRAME_BYTES;
use guest::multiboot::Region;
use guest::page::MapError;
use guest::screen::Colour;
use guest::size::Size;

use super::console::{print_in, println};
use super::paging::AddressSpace;
use super::{Kernel, cpu, pit, shell};

/// A page that only the demo maps.
const PAGE: u32 = 0x4000_0000;
/// What is written to it.
const FIRST_WORD: u32 = 0x600D_F00D;
const SECOND_WORD: u32 = 0x5EC0_4D00;
/// Ticks to count.
const TICKS: u32 = 10;

/// Makes the tour.
pub fn run(kernel: &mut Kernel) {
    memory_map(kernel.boot.regions());
    own_memory(kernel);
    frames(kernel);
    if let Err(error) = pages(kernel) {
        println!("demo: paging failed: {error:?}");
    }
    colours();
    ticks();
    heading("a page fault");
    shell::fault();
    println!("demo: done");
}

fn heading(what: &str) {
    print_in(Colour::Yellow, format_args!("demo: {what}\n"));
}

fn memory_map(regions: &[Region]) {
    heading("the memory map");
    let usable = regions
        .iter()
        .filter(|region| region.usable)
        .map(Region::bytes)
        .sum();
    super::show_regions(regions);
    println!("~ demo: usable are {}", Size(usable));
}

fn own_memory(kernel: &mut Kernel) {
    heading("kalloc");
    let kalloc = &mut kernel.memory.kalloc;
    for (size, align) in [(10, 1), (100, 16), (4096, 4096)] {
        match kalloc.take(size, align) {
            Some(piece) => println!(
                "  {size} bytes, aligned to {align}: {}",
                if piece.physical.is_multiple_of(align) {
                    "ok"
                } else {
                    "not aligned"
                }
            ),
            None => println!("  {size} bytes: none left"),
        }
    }
}

fn frames(kernel: &mut Kernel) {
    heading("frames");
    let frames = &mut kernel.memory.frames;
    let before = frames.free_frames();
    let taken: [Option<u32>; 3] = core::array::from_fn(|_| frames.take());
    for frame in taken.into_iter().flatten() {
        println!("  taken: the frame at {:08x}", frame * FRAME_BYTES);
    }
    println!(
        "~ demo: {} of {} frames are free",
        frames.free_frames(),
        frames.frames()
    );
    for frame in taken.into_iter().flatten() {
        frames.give_back(frame);
    }
    println!("  given back: {}", verdict(frames.free_frames() == before));
}

/// A page mapped and touched, then another directory in which it is a different one.
fn pages(kernel: &mut Kernel) -> Result<(), MapError> {
    heading("pages");
    let frames_before = kernel.memory.frames.free_frames();
    let Kernel { memory, space, .. } = kernel;
    let frames = &mut memory.frames;
    let first = frames.take().ok_or(MapError::NoMemory)? * FRAME_BYTES;
    let second = frames.take().ok_or(MapError::NoMemory)? * FRAME_BYTES;

    space.map(PAGE, first, frames)?;
    write_page(FIRST_WORD);
    println!(
        "  {PAGE:08x} mapped and written: {}",
        verdict(read_page() == FIRST_WORD)
    );
    println!(
        "  it is the frame mapped: {}",
        verdict(space.translate(PAGE + 8, frames) == Some(first + 8))
    );

    heading("two directories");
    let mut other = space.beside(frames)?;
    other.map(PAGE, second, frames)?;
    other.activate();
    println!(
        "  switched to the second: {}",
        verdict(cpu::cr3() == other.directory())
    );
    write_page(SECOND_WORD);
    println!(
        "  {PAGE:08x} is another frame there: {}",
        verdict(read_page() == SECOND_WORD)
    );
    space.activate();
    println!(
        "  switched back: {}",
        verdict(cpu::cr3() == space.directory())
    );
    println!(
        "  {PAGE:08x} is as it was: {}",
        verdict(read_page() == FIRST_WORD)
    );

    let released = release(space, other, frames, [first, second]);
    println!("  everything given back: {}", verdict(released));
    // The first directory keeps the table that the page was mapped through.
    let kept = frames_before - kernel.memory.frames.free_frames();
    println!("  frames kept for page tables: {kept}");
    Ok(())
}

/// Unmaps the page and gives all frames back; whether all of it worked.
fn release(
    space: &mut AddressSpace,
    other: AddressSpace,
    frames: &mut guest::bitmap::FrameBitmap<'static>,
    used: [u32; 2],
) -> bool {
    let unmapped = space.unmap(PAGE, frames).is_some();
    let released = other.release(frames).is_ok();
    used.map(|frame| frames.give_back(frame / FRAME_BYTES)) == [true; 2] && unmapped && released
}

fn write_page(word: u32) {
    // SAFETY: the page is mapped to a frame that was taken for it.
    unsafe { ptr::write_volatile(PAGE as *mut u32, word) };
}

fn read_page() -> u32 {
    // SAFETY: the page is mapped to a frame that was taken for it.
    unsafe { ptr::read_volatile(PAGE as *const u32) }
}

fn colours() {
    heading("colours");
    for colour in [
        Colour::LightRed,
        Colour::LightGreen,
        Colour::LightBlue,
        Colour::LightMagenta,
    ] {
        print_in(colour, format_args!("  {colour:?}"));
    }
    println!();
}

fn ticks() {
    heading("ticks");
    let start = cpu::tsc();
    pit::wait(TICKS);
    println!("  {TICKS} ticks counted");
    println!(
        "~ demo: they took {} cycles of the time-stamp counter",
        cpu::tsc() - start
    );
}

/// A check's result, in a word.
fn verdict(holds: bool) -> &'static str {
    if holds { "ok" } else { "FAILED" }
}
