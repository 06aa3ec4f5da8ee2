//! The shadow tables against the walk of the guest's own: a machine to try them on.

pub(crate) mod agreement;
mod cases;
mod global;
mod nonsense;
pub(crate) mod reference;
mod reserved;
pub(crate) mod tlb;

use super::frame::WRITERS;
use super::guest::{GLOBAL, LARGE, NO_EXECUTE};
use super::*;
use crate::addr::{Gpa, Hpa};
use crate::svm::shadow::Room;
use crate::vm::walk::EFER_LMA;

const FRAMES: usize = 256;
/// More tables than a test needs.
const TABLES_ENOUGH: usize = 64;
const CR0_PG: u64 = 1 << 31;
const CR0_WP: u64 = 1 << 16;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const EFER_NXE: u64 = 1 << 11;

#[repr(C, align(4096))]
#[derive(Clone)]
struct WholePage([u8; PAGE as usize]);

/// Aligned pages of this byte; never freed.
fn whole_pages(count: usize, byte: u8) -> GuestMemory {
    let pages = vec![WholePage([byte; PAGE as usize]); count].into_boxed_slice();
    let start = Box::leak(pages).as_mut_ptr();
    // SAFETY: the leaked box belongs to the value alone and lives forever.
    unsafe { GuestMemory::new(Hpa(start as u64), count as u64 * PAGE) }
}

/// A VM of 1 MiB with as many shadow tables as asked for.
fn machine(tables: usize) -> (Shadow, GuestMemory) {
    let memory = whole_pages(FRAMES, 0);
    let room = Room::of(tables, FRAMES);
    // What a table was before it is one is not to matter.
    let piece = whole_pages(room.bytes().div_ceil(PAGE) as usize, 0x55);
    // SAFETY: the pages are leaked, aligned, and nobody else's; no CPU has them in CR3.
    let shadow = unsafe { room.place(piece.base(), &memory, 40, true) };
    (shadow, memory)
}

fn registers(kind: Kind, cr3: u64, write_protect: bool) -> Registers {
    let wp = if write_protect { CR0_WP } else { 0 };
    let (cr0, cr4, efer) = match kind {
        Kind::Unpaged => (0, 0, 0),
        Kind::TwoLevel => (CR0_PG, CR4_PSE, 0),
        Kind::Pae => (CR0_PG, CR4_PAE, 0),
        Kind::Long => (CR0_PG, CR4_PAE, EFER_LMA),
    };
    Registers {
        cr0: cr0 | wp | 1,
        cr3,
        cr4,
        efer,
    }
}

/// The walk of the CPU, which has CR0.WP on: the guest-physical address, if it is allowed.
fn cpu_walk(shadow: &Shadow, linear: u64, access: Access) -> Option<u64> {
    cpu_find(shadow, linear, access).map(|(gpa, _)| gpa)
}

/// The same, and whether the translation is global.
pub(crate) fn cpu_find(shadow: &Shadow, linear: u64, access: Access) -> Option<(u64, bool)> {
    let pool = &shadow.pool;
    let mut table = pool.child(shadow.hardware.cr3);
    let mut rights = WRITABLE | USER;
    loop {
        let key = pool.key(table);
        let index = key.index(linear);
        let entry = pool.entry(Place { table, index });
        if entry & PRESENT == 0 {
            return None;
        }
        if key.level < 3 || key.mode.kind == Kind::Long {
            rights &= entry;
        }
        if key.level == 1 {
            let forbidden = access.write && rights & WRITABLE == 0
                || access.user && rights & USER == 0
                || access.fetch && entry & NO_EXECUTE != 0;
            let gpa = (u64::from(pool.mapped(entry)) * PAGE) | linear & 0xfff;
            let is_global = entry & GLOBAL != 0 && shadow.hardware.cr4 & CR4_PGE != 0;
            return (!forbidden).then_some((gpa, is_global));
        }
        table = pool.child(entry);
    }
}

/// What an access comes to: where it goes, the error code of its page fault, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    At(u64),
    Fault(u32),
    Outside,
}

fn access(shadow: &mut Shadow, memory: &mut GuestMemory, linear: u64, how: Access) -> Outcome {
    for _ in 0..2 {
        if let Some(gpa) = cpu_walk(shadow, linear, how) {
            return Outcome::At(gpa);
        }
        match shadow.fault(memory, linear, how) {
            Verdict::Mapped => {}
            Verdict::Stopped(Stop::Fault(fault)) => return Outcome::Fault(fault.error),
            Verdict::Stopped(Stop::Outside { .. }) => return Outcome::Outside,
        }
    }
    match cpu_walk(shadow, linear, how) {
        Some(gpa) => Outcome::At(gpa),
        None => panic!("the same fault again and again at {linear:#x}, {how:?}"),
    }
}

/// No entry leads out of guest memory, no frame that is guarded can be written to, and none has
/// more than a few entries that allow it.
pub(crate) fn holds_together(shadow: &Shadow) {
    let mut writers = [0; FRAMES];
    let pool = &shadow.pool;
    for table in 0..pool.tables_in_use() {
        for index in 0..512 {
            let entry = pool.entry(Place { table, index });
            if entry & PRESENT == 0 {
                continue;
            }
            if pool.key(table).level > 1 {
                assert!(pool.child(entry) < pool.tables_in_use());
                continue;
            }
            let frame = pool.mapped(entry);
            assert!((frame as usize) < FRAMES, "{entry:#x} leads out of the VM");
            if entry & WRITABLE != 0 {
                assert!(!pool.is_guarded(frame), "a mirrored frame is writable");
                writers[frame as usize] += 1;
            }
        }
    }
    assert!(writers.iter().all(|writers| *writers <= WRITERS));
}
