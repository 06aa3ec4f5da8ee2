//! Exceptions: the expected ones are caught, any other is reported and ends it all.
//!
//! [`attempt!`] runs instructions that may fault. The slot `RECOVERY` then holds
//! the place to continue at, and the next exception goes there instead.

use core::sync::atomic::{AtomicU32, Ordering};

use guest::screen::Colour;
use guest::trap::{self, PageFaultError, Trap};

use super::console::{print_in, println};
use super::cpu;
use super::gdt::CODE_SELECTOR;
use super::idt::Frame;

/// EFLAGS: trap after each instruction.
const TRAP_FLAG: u32 = 1 << 8;
/// In `TAKEN`'s place for the vector: nothing was taken.
const NOTHING: u32 = u32::MAX;

/// Where to continue after the next exception; 0: none is expected.
#[unsafe(export_name = "exception_recovery")]
static RECOVERY: AtomicU32 = AtomicU32::new(0);

/// The exception caught last: vector, error code, EIP, CR2.
static TAKEN: [AtomicU32; 4] = [
    AtomicU32::new(NOTHING),
    AtomicU32::new(0),
    AtomicU32::new(0),
    AtomicU32::new(0),
];
/// DR6 at the debug exception caught last.
static DEBUG_STATUS: AtomicU32 = AtomicU32::new(0);

/// Runs instructions that may fault; the trap that ended them, or `None`.
///
/// First the instructions, then `;` and the operands of `asm!`, which name all
/// that the instructions change. The stack must be balanced wherever they may
/// fault. Between the two, `=>` and one more instruction, which runs however the
/// others ended: to put back a register that cannot be an operand.
macro_rules! attempt {
    ($($instruction:expr),+ $(=> $last:expr)? $(; $($operand:tt)*)?) => {{
        // SAFETY: whatever faults here continues at the label, with the stack as
        // the fault found it. The call says what the instructions change.
        unsafe {
            core::arch::asm!(
                // MOV of the label's address to the slot; the assembler's Intel
                // syntax has no way to write it.
                ".byte 0xc7, 0x05",
                ".long exception_recovery, 99f",
                $($instruction,)+
                "99:",
                "cld",
                "mov dword ptr [exception_recovery], 0",
                $($last,)?
                $($($operand)*)?
            );
        }
        $crate::kernel::exceptions::taken()
    }};
}
pub(crate) use attempt;

/// The trap caught since this was asked last.
pub fn taken() -> Option<Trap> {
    let [vector, error, eip, address] = TAKEN.each_ref().map(|word| word.load(Ordering::Relaxed));
    TAKEN[0].store(NOTHING, Ordering::Relaxed);
    let vector = u8::try_from(vector).ok()?;
    Some(Trap {
        vector,
        error,
        eip,
        address,
    })
}

/// DR6 at the debug exception caught last.
pub fn debug_status() -> u32 {
    DEBUG_STATUS.load(Ordering::Relaxed)
}

/// Handles an exception or a software interrupt.
pub fn handle(frame: &mut Frame) {
    let address = cpu::cr2();
    if frame.vector == u32::from(trap::DEBUG) {
        DEBUG_STATUS.store(cpu::take_dr6(), Ordering::Relaxed);
    }
    let recovery = RECOVERY.swap(0, Ordering::Relaxed);
    if recovery == 0 {
        report(frame, address);
        cpu::halt();
    }
    for (word, value) in TAKEN
        .iter()
        .zip([frame.vector, frame.error, frame.eip, address])
    {
        word.store(value, Ordering::Relaxed);
    }
    // Whatever was interrupted, ring 3 as well, the kernel goes on.
    frame.cs = u32::from(CODE_SELECTOR);
    frame.eip = recovery;
    frame.eflags &= !TRAP_FLAG;
}

/// Tells a person all there is to know about an exception nobody expected.
fn report(frame: &Frame, address: u32) {
    let vector = frame.vector as u8;
    let trap = Trap {
        vector,
        error: frame.error,
        eip: frame.eip,
        address,
    };
    println!();
    print_in(
        Colour::LightRed,
        format_args!("exception: {trap}, {}\n", trap::name(vector)),
    );
    if vector == trap::PAGE_FAULT {
        describe_page_fault(&trap);
    }
    println!(
        "  eip {:08x}  cs  {:08x}  eflags {:08x}",
        frame.eip, frame.cs, frame.eflags
    );
    println!(
        "  eax {:08x}  ecx {:08x}  edx {:08x}  ebx {:08x}",
        frame.eax, frame.ecx, frame.edx, frame.ebx
    );
    println!(
        "  esp {:08x}  ebp {:08x}  esi {:08x}  edi {:08x}",
        interrupted_esp(frame),
        frame.ebp,
        frame.esi,
        frame.edi
    );
    println!(
        "  cr0 {:08x}  cr2 {address:08x}  cr3 {:08x}",
        cpu::cr0(),
        cpu::cr3()
    );
    println!("exception: halted");
}

/// Tells address, error code and place of a page fault.
pub fn describe_page_fault(trap: &Trap) {
    println!(
        "  at address {:08x}: {} (EIP {:08x})",
        trap.address,
        PageFaultError(trap.error),
        trap.eip
    );
}

/// ESP as it was before the interrupt: there is one ring, so the frame lies below it.
fn interrupted_esp(frame: &Frame) -> u32 {
    frame as *const Frame as u32 + size_of::<Frame>() as u32
}
