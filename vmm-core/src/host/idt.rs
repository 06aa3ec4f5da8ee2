//! The gates of the VMM: 256 stubs in assembly, one way into Rust, and the table that leads there.
//!
//! A stub makes all frames alike (a zero where the CPU pushes no error code), saves the
//! general-purpose registers and calls [`enter`]. Neither it nor anything it calls uses FS, GS
//! or an FPU register. Follows APM volume 2, 8.9 (long-mode interrupts).

use core::arch::{asm, global_asm};
use core::mem::size_of;
use intercepts::vmcb::registers::rflags;

use super::apic;
use super::exception;
use super::irq;

/// Vectors that the CPU has.
const VECTORS: usize = 256;
/// Bytes from one stub to the next.
const STUB: u64 = 16;
/// Selector of the VMM's 64-bit code segment.
const CODE: u64 = 0x08;
/// Type and attributes of a gate: present, ring 0, 64-bit interrupt gate.
const INTERRUPT_GATE: u64 = 0x8E00;

/// #DB, the debug exception.
const DEBUG: u64 = 1;
const NMI: usize = 2;
const DOUBLE_FAULT: usize = 8;
const MACHINE_CHECK: usize = 18;
const RFLAGS_RF: u64 = rflags::RF;

/// What a stub leaves on the stack: the interrupted code's registers, and why it was interrupted.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Frame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    /// The number of the gate.
    pub vector: u64,
    /// What the CPU pushed, or 0 where it pushes nothing.
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

global_asm!(
    ".text",
    ".balign 16",
    ".global host_gates",
    "host_gates:",
    ".set host_vector, 0",
    ".rept 256",
    ".balign 16",
    // The vectors without an error code (APM volume 2, table 8-1) get a zero in its place.
    ".if !((host_vector == 8) || (host_vector >= 10 && host_vector <= 14) || (host_vector == 17) || (host_vector == 21) || (host_vector == 29) || (host_vector == 30))",
    "push 0",
    ".endif",
    ".byte 0x68", // PUSH imm32
    ".long host_vector",
    "jmp 2f",
    ".set host_vector, host_vector + 1",
    ".endr",
    "2:",
    "push rax",
    "push rcx",
    "push rdx",
    "push rbx",
    "push rbp",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "mov rdi, rsp",
    // The CPU aligned RSP to 16 and 22 words were pushed: aligned again.
    "call {enter}",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rbp",
    "pop rbx",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "add rsp, 16",
    "iretq",
    enter = sym enter,
);

unsafe extern "C" {
    /// The first stub. Not code that Rust may call.
    static host_gates: u8;
}

/// Where every gate leads.
extern "sysv64" fn enter(frame: &mut Frame) {
    if irq::is_vector(frame.vector) {
        irq::taken(frame.vector);
    } else if frame.vector == DEBUG {
        // QUIRK: QEMU 7.2. VMRUN and #VMEXIT load DR7 without re-arming breakpoints, so those
        // that a guest armed fire in here. The VMM never uses the debug registers: resume, with
        // RF set so that the same instruction does not fire again.
        frame.rflags |= RFLAGS_RF;
    } else if frame.vector == u64::from(apic::TIMER_VECTOR) {
        irq::apic_timer_fired();
    } else if frame.vector == NMI as u64 {
        irq::note_nmi();
    } else if frame.vector == u64::from(apic::SPURIOUS_VECTOR) {
        // Nothing came after all.
    } else {
        exception::fatal(frame);
    }
}

/// An interrupt descriptor table.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Idt([[u64; 2]; VECTORS]);

impl Idt {
    /// A table with all gates, and with stacks of their own (IST 1 to 3) for #DF, NMI and #MC if
    /// `ist`.
    pub fn new(ist: bool) -> Self {
        let first = (&raw const host_gates) as u64;
        Self(core::array::from_fn(|vector| {
            let stack = match vector {
                DOUBLE_FAULT if ist => 1,
                NMI if ist => 2,
                MACHINE_CHECK if ist => 3,
                _ => 0,
            };
            gate(first + vector as u64 * STUB, stack)
        }))
    }

    /// Makes this the running CPU's table.
    #[inline]
    pub fn load(&'static self) {
        #[repr(C, packed)]
        struct Register(u16, u64);
        let register = Register((size_of::<Self>() - 1) as u16, (&raw const *self) as u64);
        // SAFETY: the table lives as long as the machine, and every gate in it leads to a stub.
        unsafe {
            asm!("lidt [{}]", in(reg) &raw const register, options(readonly, nostack, preserves_flags));
        }
    }
}

/// An interrupt gate to `handler`, on IST stack `ist` or, with 0, on the current one.
const fn gate(handler: u64, ist: u64) -> [u64; 2] {
    let low = (handler & 0xFFFF)
        | CODE << 16
        | ist << 32
        | INTERRUPT_GATE << 32
        | (handler >> 16 & 0xFFFF) << 48;
    [low, handler >> 32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_has_the_layout_of_the_manual() {
        let [low, high] = gate(0x1122_3344_5566_7788, 3);
        assert_eq!(low, 0x5566_8E03_0008_7788);
        assert_eq!(high, 0x1122_3344);
    }

    #[test]
    fn only_the_exceptions_that_distrust_the_stack_use_ist() {
        let stack = |idt: &Idt, vector: usize| idt.0[vector][0] >> 32 & 7;
        let (trusting, plain) = (Idt::new(true), Idt::new(false));
        let used: Vec<_> = (0..VECTORS)
            .filter(|vector| stack(&trusting, *vector) != 0)
            .collect();
        assert_eq!(used, [NMI, DOUBLE_FAULT, MACHINE_CHECK]);
        assert!((0..VECTORS).all(|vector| stack(&plain, vector) == 0));
    }

    #[test]
    fn each_stub_pushes_its_own_vector() {
        let first = &raw const host_gates;
        for vector in 0..VECTORS {
            // SAFETY: 256 stubs of 16 bytes follow the symbol.
            let code: [u8; 7] =
                unsafe { first.add(vector * STUB as usize).cast::<[u8; 7]>().read() };
            let with_code = matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30);
            let push = if with_code { &code[..5] } else { &code[2..] };
            assert!(
                with_code || code[..2] == [0x6A, 0],
                "vector {vector}: {code:x?}"
            );
            assert_eq!(push[0], 0x68, "vector {vector}: {code:x?}");
            assert_eq!(push[1..5], (vector as u32).to_le_bytes());
        }
    }
}
