//! Two hardware tasks: the kernel itself, and one that only counts its turns.
//!
//! Follows the APM, vol. 2, chapter 12. The kernel has no other use for tasks:
//! they are here because switching to one is something a processor can do.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use super::cpu;
use super::gdt::{CODE_SELECTOR, DATA_SELECTOR, FIRST_TASK};

/// Words of a 32-bit task-state segment.
const TASK_WORDS: usize = 26;
/// The last byte of a task-state segment.
pub const TASK_LIMIT: u16 = (TASK_WORDS * 4 - 1) as u16;

// The words of a task-state segment that a new task is given.
const CR3: usize = 7;
const EIP: usize = 8;
const EFLAGS: usize = 9;
const ESP: usize = 14;
const ES: usize = 18;
const CS: usize = 19;
const SS: usize = 20;
const DS: usize = 21;
const IO_MAP: usize = 25;

/// EFLAGS with nothing set but the bit that always is.
const NO_FLAGS: u32 = 2;
/// No permission map: its place is the segment's end.
const NO_IO_MAP: u32 = (TASK_WORDS as u32 * 4) << 16;
/// Words of the second task's stack; it never uses one.
const STACK_WORDS: usize = 16;

/// A task-state segment. The processor reads and writes it.
#[repr(C, align(128))]
pub struct TaskState([AtomicU32; TASK_WORDS]);

impl TaskState {
    const fn new() -> Self {
        Self([const { AtomicU32::new(0) }; TASK_WORDS])
    }

    /// Its address.
    pub fn address(&'static self) -> u32 {
        self as *const Self as u32
    }

    fn set(&self, word: usize, value: u32) {
        self.0[word].store(value, Ordering::Relaxed);
    }
}

/// The task that the kernel runs as.
pub static FIRST: TaskState = TaskState::new();
/// The task that counts its turns.
pub static SECOND: TaskState = TaskState::new();

static STACK: [AtomicU32; STACK_WORDS] = [const { AtomicU32::new(0) }; STACK_WORDS];
static TURNS: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    /// Where the second task begins. Not a function: it is only ever switched to.
    static second_task: u8;
}

global_asm!(
    ".section .text.second_task, \"ax\"",
    "second_task:",
    "incl {turns}",
    "ljmp ${first}, $0",
    "jmp second_task",
    turns = sym TURNS,
    first = const FIRST_TASK,
    options(att_syntax),
);

/// Makes both tasks ready for a switch to the second and back. A switch saves
/// and loads registers by itself, but CR3 it only loads.
pub fn prepare() {
    FIRST.set(CR3, cpu::cr3());
    FIRST.set(IO_MAP, NO_IO_MAP);
    SECOND.set(CR3, cpu::cr3());
    SECOND.set(EIP, &raw const second_task as u32);
    SECOND.set(EFLAGS, NO_FLAGS);
    SECOND.set(ESP, STACK.as_ptr_range().end as u32);
    SECOND.set(CS, u32::from(CODE_SELECTOR));
    for segment in [ES, SS, DS] {
        SECOND.set(segment, u32::from(DATA_SELECTOR));
    }
    SECOND.set(IO_MAP, NO_IO_MAP);
}

/// How often the second task had its turn.
pub fn turns() -> u32 {
    TURNS.load(Ordering::Relaxed)
}
