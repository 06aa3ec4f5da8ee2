//! The walk of `guest::stress` on the real page tables: every access is compared with the model.

use core::arch::asm;
use core::ptr;

use guest::bitmap::{FRAME_BYTES, FrameBitmap};
use guest::page::{ENTRIES, Entry, Flags, directory_index};
use guest::stress::{Ending, FRAMES, Mapping, PAGES, SPACES, Step, TABLES, Walk};
use guest::trap::{PAGE_FAULT, Trap};

use super::Kernel;
use super::console::println;
use super::cpu::{self, CR0_WP};
use super::exceptions::attempt;
use super::paging::{AddressSpace, IDENTITY_END, flush};

/// Where the pages begin: at a page table of their own.
const START: u32 = 0xC000_0000;
const SEED: u64 = 0x7011_6A7E;
const STEPS: u32 = 1_000_000;
const PER_TABLE: usize = PAGES / TABLES;

/// An address space of the walk: its directory, and the page tables of its pages.
struct Space {
    directory: u32,
    tables: [u32; TABLES],
}

/// Takes a million steps; says how many went otherwise than the model.
pub fn run(kernel: &mut Kernel) {
    let frames = &mut kernel.memory.frames;
    let Some((spaces, words)) = prepare(&kernel.space, frames) else {
        println!("stress: too little memory");
        return;
    };
    cpu::disable_interrupts();
    let mut walk = Walk::new(SEED);
    let mut space = 0;
    load(&spaces[space]);
    let mut wrong = 0u32;
    for number in 0..STEPS {
        let step = walk.step();
        let expected = walk.take(step);
        if let Step::Load(next) = step {
            space = next;
        }
        let found = take(&spaces, &words, space, step);
        if found != expected {
            wrong += 1;
            if wrong <= 10 {
                println!("stress: step {number}, {step:?}: {found:?}, not {expected:?}");
            }
        }
        if (number + 1).is_multiple_of(STEPS / 10) {
            println!("stress: {} steps", number + 1);
        }
    }
    set_write_protect(true);
    kernel.space.activate();
    cpu::enable_interrupts();
    println!("stress: done, {STEPS} steps, {wrong} wrong");
}

/// The address spaces, nothing mapped in them, and the frames of the walk, all words 0.
fn prepare(
    kernel: &AddressSpace,
    frames: &mut FrameBitmap<'static>,
) -> Option<([Space; SPACES], [u32; FRAMES])> {
    let mut zeroed = || {
        let physical = frames.take()? * FRAME_BYTES;
        if physical >= IDENTITY_END {
            return None;
        }
        for index in 0..ENTRIES {
            write(physical, index, 0);
        }
        Some(physical)
    };
    let mut words = [0; FRAMES];
    for word in &mut words {
        *word = zeroed()?;
    }
    let mut tables = [[0; TABLES]; SPACES];
    for table in tables.as_flattened_mut() {
        *table = zeroed()?;
    }
    let mut directories = [0; SPACES];
    for directory in &mut directories {
        *directory = kernel.beside(frames).ok()?.directory();
    }
    let mut number = 0;
    let spaces = directories.map(|directory| {
        let tables = tables[number];
        number += 1;
        link(directory, &tables);
        Space { directory, tables }
    });
    Some((spaces, words))
}

/// Takes a step on the machine; how it ended, if it is an access.
fn take(
    spaces: &[Space; SPACES],
    words: &[u32; FRAMES],
    current: usize,
    step: Step,
) -> Option<Ending> {
    let set = |space: usize, page: usize, entry: u32| {
        let table = spaces[space].tables[page / PER_TABLE];
        write(table, (page % PER_TABLE) as u32, entry);
        if space == current {
            flush(address(page));
        }
    };
    match step {
        Step::Map(space, page, mapping) => {
            let entry = Entry::new(words[mapping.frame], flags(mapping));
            set(space, page, entry.bits());
        }
        Step::Unmap(space, page) => set(space, page, 0),
        Step::Empty(table) => {
            let Space { directory, tables } = &spaces[current];
            write(*directory, directory_index(START) + table as u32, 0);
            load(&spaces[current]);
            for index in 0..PER_TABLE as u32 {
                write(tables[table], index, 0);
            }
            link(*directory, tables);
        }
        Step::Load(space) => load(&spaces[space]),
        Step::Protect(on) => set_write_protect(on),
        Step::Read(page) | Step::Write(page, _) => {
            let trap = match step {
                Step::Write(_, word) => attempt!("mov dword ptr [{at}], {word}";
                    at = in(reg) address(page), word = in(reg) word),
                _ => attempt!("mov {word}, dword ptr [{at}]";
                    at = in(reg) address(page), word = out(reg) _),
            };
            return Some(ending(&spaces[current], words, page, trap));
        }
    }
    None
}

/// How an access to a page has ended, in the model's words.
fn ending(space: &Space, words: &[u32; FRAMES], page: usize, trap: Option<Trap>) -> Ending {
    const NO_PAGE_FAULT: u32 = 1 << 31;
    match trap {
        Some(trap) if trap.vector == PAGE_FAULT && trap.address == address(page) => {
            Ending::Fault(trap.error)
        }
        Some(_) => Ending::Fault(NO_PAGE_FAULT),
        None => {
            let entry = read(space.tables[page / PER_TABLE], (page % PER_TABLE) as u32);
            let frame = words
                .iter()
                .position(|word| Some(*word) == entry.target())
                .unwrap_or(FRAMES);
            let word = words.get(frame).map_or(0, |word| read(*word, 0).bits());
            Ending::Word(
                word,
                Mapping {
                    frame,
                    writable: entry.flags().contains(Flags::WRITABLE),
                    accessed: entry.flags().contains(Flags::ACCESSED),
                    dirty: entry.flags().contains(Flags::DIRTY),
                },
            )
        }
    }
}

fn flags(mapping: Mapping) -> Flags {
    let mut flags = Flags::PRESENT;
    flags.set(Flags::WRITABLE, mapping.writable);
    flags.set(Flags::ACCESSED, mapping.accessed);
    flags.set(Flags::DIRTY, mapping.dirty);
    flags
}

fn address(page: usize) -> u32 {
    const TABLE_BYTES: u32 = ENTRIES * FRAME_BYTES;
    START + (page / PER_TABLE) as u32 * TABLE_BYTES + (page % PER_TABLE) as u32 * FRAME_BYTES
}

/// Puts the page tables of the walk into a directory.
fn link(directory: u32, tables: &[u32; TABLES]) {
    for (index, table) in (directory_index(START)..).zip(tables) {
        let entry = Entry::new(*table, Flags::PRESENT | Flags::WRITABLE);
        write(directory, index, entry.bits());
    }
}

fn load(space: &Space) {
    // SAFETY: each of these directories has the kernel's part of memory in it.
    unsafe { asm!("mov cr3, {}", in(reg) space.directory, options(nostack)) };
}

fn set_write_protect(on: bool) {
    let cr0 = cpu::cr0() & !CR0_WP | if on { CR0_WP } else { 0 };
    // SAFETY: the kernel writes to none of its read-only pages, so it does without the check.
    unsafe { asm!("mov cr0, {}", in(reg) cr0, options(nostack)) };
}

fn read(frame: u32, index: u32) -> Entry {
    // SAFETY: the frames of the walk are below IDENTITY_END, mapped at their own address.
    Entry::from_bits(unsafe { ptr::read_volatile((frame + index * 4) as *const u32) })
}

fn write(frame: u32, index: u32, word: u32) {
    // SAFETY: as in `read`; they are the walk's alone.
    unsafe { ptr::write_volatile((frame + index * 4) as *mut u32, word) };
}
