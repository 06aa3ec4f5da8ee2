//! A kernel out of its place: the instructions of x86 that look at, or change, what is the
//! kernel's, and do not trap in ring 3. Traps alone could not virtualise a processor with them.
//!
//! The list is Robin's and Irvine's ("Analysis of the Intel Pentium's ability to support a secure
//! virtual machine monitor", 2000), after Popek and Goldberg. Paging is off meanwhile, so that
//! the kernel's own pages can be run and read in ring 3.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, Ordering};

use guest::trap::INVALID_OPCODE;

use super::console::println;
use super::cpu::{self, CR0_PG};
use super::exceptions;
use super::gdt::{CODE_SELECTOR, DATA_SELECTOR, USER_CODE, USER_DATA};
use super::task::FIRST;

/// Words of the stack in ring 3.
const STACK_WORDS: usize = 64;

static USER_STACK: [AtomicU32; STACK_WORDS] = [const { AtomicU32::new(0) }; STACK_WORDS];
/// The kernel's stack pointer while ring 3 runs.
static KERNEL_STACK: AtomicU32 = AtomicU32::new(0);
/// EAX as ring 3 left it.
static ANSWER: AtomicU32 = AtomicU32::new(0);

global_asm!(
    include_str!("sensitive.s"),
    kernel_stack = sym KERNEL_STACK,
    task = sym FIRST,
    user_stack = sym USER_STACK,
    stack_bytes = const STACK_WORDS * 4,
    answer = sym ANSWER,
    code = const CODE_SELECTOR,
    data = const DATA_SELECTOR,
    user_code = const USER_CODE,
    user_data = const USER_DATA,
    options(att_syntax),
);

unsafe extern "C" {
    /// Runs the code at an address in ring 3 until it traps.
    fn ring_3(code: u32);
}

/// An instruction, what its answer is, and where its code is.
struct Sample(&'static str, &'static str, unsafe extern "C" fn());

/// Declares the samples, whose code is in sensitive.s.
macro_rules! samples {
    ($($name:literal $code:ident $says:literal;)*) => {
        unsafe extern "C" {
            $(fn $code();)*
        }
        const SAMPLES: &[Sample] = &[$(Sample($name, $says, $code)),*];
    };
}

samples! {
    "SGDT" sample_sgdt "the kernel's GDT is at";
    "SIDT" sample_sidt "the kernel's IDT is at";
    "SLDT" sample_sldt "LDTR is";
    "STR" sample_str "TR is";
    "SMSW" sample_smsw "CR0 is";
    "PUSHF" sample_pushf "EFLAGS, with the real IF, is";
    "POPF" sample_popf "IF was switched off, and EFLAGS is";
    "LAR" sample_lar "of a segment of ring 0, ZF is";
    "LSL" sample_lsl "of a segment of ring 0, ZF is";
    "VERR, VERW" sample_verr "of a segment of ring 0, ZF is";
    "PUSH" sample_push "CS, with the real privilege, is";
    "POP" sample_pop "ES is";
    "MOV" sample_mov "CS, with the real privilege, is";
    "CALL" sample_call "CS on the stack is";
    "JMP" sample_jmp "CS is";
    "RET" sample_ret "CS is";
    "INT n" sample_int "it came back with";
}

/// Runs every instruction in ring 3 and prints what it found out.
pub fn run() {
    let mut trapped = 0;
    for Sample(name, says, code) in SAMPLES {
        // SAFETY: the code is a sample: it uses the stack of ring 3 alone and ends in a trap, from
        // which the kernel continues as it was.
        let trap = without_paging(|| unsafe {
            ring_3(*code as *const () as u32);
            exceptions::taken()
        });
        match trap.filter(|trap| trap.vector != INVALID_OPCODE) {
            None => {
                let answer = ANSWER.load(Ordering::Relaxed);
                println!("sensitive: {name} ... no trap: {says} {answer:x}");
            }
            Some(trap) => {
                println!("sensitive: {name} ... {trap}");
                trapped += 1;
            }
        }
    }
    let all = SAMPLES.len();
    println!(
        "sensitive: done, {} of {all} do not trap in ring 3",
        all - trapped
    );
}

/// Does something while paging is off.
fn without_paging<R>(action: impl FnOnce() -> R) -> R {
    let cr0 = cpu::cr0();
    // SAFETY: what the kernel has of memory is mapped at its own address, and means the same
    // without paging.
    unsafe { asm!("mov cr0, {}", in(reg) cr0 & !CR0_PG, options(nostack)) };
    let result = action();
    // SAFETY: as above, the other way.
    unsafe { asm!("mov cr0, {}", in(reg) cr0, options(nostack)) };
    result
}
