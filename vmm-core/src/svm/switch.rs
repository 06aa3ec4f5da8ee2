//! The world switch: VMRUN, and what must surround it (APM 15.5).
//!
//! One loop in assembly: load the guest's GPRs, VMRUN, store them, call
//! [`exits::dispatch`](crate::exits::dispatch), and again as long as it says so. Rust's own
//! callee-saved registers are saved once for the whole loop, not once for each exit, and
//! nothing else is switched: VMLOAD, VMSAVE and the FPU belong to a change of vCPU.

use core::arch::global_asm;
use core::mem::offset_of;

use crate::exits::dispatch;
use crate::vm::vcpu::Gprs;
use crate::vm::{Instance, Vcpu};

const _: () = assert!(
    offset_of!(Instance, vcpu) == 0,
    "the switch finds the vCPU first"
);

macro_rules! gpr {
    ($($register:ident).+) => {
        offset_of!(Vcpu, gprs) + offset_of!(Gprs, $($register).+)
    };
}

global_asm!(
    include_str!("switch.s"),
    rbx = const gpr!(rbx),
    rcx = const gpr!(rcx),
    rdx = const gpr!(rdx),
    rsi = const gpr!(rsi),
    rdi = const gpr!(rdi),
    rbp = const gpr!(rbp),
    r8 = const gpr!(r8_r15),
    dispatch = sym dispatch,
);

unsafe extern "sysv64" {
    fn svm_run(instance: *mut ());
}

/// Runs the guest until a handler wants to leave.
///
/// # Safety
/// EFER.SVME is 1, VM_HSAVE_PA is set, GIF is 0, the host's IF is 1; the instance is
/// in memory that is mapped one to one; its VMCB is legal, and its VMLOAD state and FPU
/// state are in the CPU; no IDT gate uses IST.
pub unsafe fn run(instance: &mut Instance) {
    // SAFETY: by the caller's promise; the loop changes the instance only through the
    // pointer it is given, and keeps the registers that the calling convention protects.
    unsafe { svm_run((&raw mut *instance).cast()) };
}
