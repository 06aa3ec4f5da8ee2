//! The world switch: VMRUN, and what must surround it (APM 15.5).
//!
//! One loop in assembly: load the guest's GPRs, VMRUN, store them, call
//! [`exits::dispatch`](crate::exits::dispatch), and again as long as it says so. Rust's own
//! callee-saved registers are saved once for the whole loop, not once for each exit, and
//! nothing else is switched: VMLOAD, VMSAVE and the FPU belong to a change of vCPU.
//!
//! The loop exists once for each thing that is kept on exits, so that what is not kept costs
//! nothing. What is, costs little because the loop has registers to spare.

use core::arch::global_asm;
use core::mem::{offset_of, size_of};

use crate::exits::dispatch;
use crate::exits::watch::detailed;
use crate::vm::stats::{Books, Stats, Tape};
use crate::vm::vcpu::{CLEAN, CLEAN_OFFSET, Gprs};
use crate::vm::{Instance, Vcpu, Vm};
use intercepts::vmcb::control::vintr;
use intercepts::vmcb::{Control, Save, Vmcb};
use intercepts::{EXITS, ExitCode, Intercept};
use ledger::{Entry, Time, Total};

const _: () = assert!(
    offset_of!(Instance, vcpu) == 0,
    "the switch finds the vCPU first"
);
const _: () = assert!(
    size_of::<Total>() == 1 << 4,
    "the switch finds a total by a shift"
);

macro_rules! gpr {
    ($($register:ident).+) => {
        offset_of!(Vcpu, gprs) + offset_of!(Gprs, $($register).+)
    };
}

macro_rules! control {
    ($field:ident) => {
        Vcpu::VMCB + offset_of!(Vmcb, control) + offset_of!(Control, $field)
    };
}

macro_rules! save {
    ($field:ident) => {
        Vcpu::VMCB + offset_of!(Vmcb, save) + offset_of!(Save, $field)
    };
}

/// The bit of 00Ch that has V_IRQ end in an exit.
const VINTR_INTERCEPT: u32 = {
    let mut row = 0;
    while EXITS[row].code as u64 != ExitCode::Vintr as u64 {
        row += 1;
    }
    match EXITS[row].intercept {
        Intercept::Bit { bit, .. } => 1 << bit,
        _ => panic!("VINTR has a bit"),
    }
};

const STATS: usize = offset_of!(Instance, vm) + offset_of!(Vm, stats);
const TAPE: usize = STATS + offset_of!(Stats, tape);
const BOOKS: usize = STATS + offset_of!(Stats, books);

global_asm!(
    include_str!("switch.s"),
    rbx = const gpr!(rbx),
    rcx = const gpr!(rcx),
    rdx = const gpr!(rdx),
    rsi = const gpr!(rsi),
    rdi = const gpr!(rdi),
    rbp = const gpr!(rbp),
    r8 = const gpr!(r8_r15),
    slot = const STATS + offset_of!(Stats, slot),
    totals = const BOOKS + offset_of!(Books, totals),
    count = const offset_of!(Total, count),
    cycles = const offset_of!(Total, cycles),
    times = const BOOKS + offset_of!(Books, times),
    time_bytes = const size_of::<Time>(),
    least = const offset_of!(Time, least),
    most = const offset_of!(Time, most),
    buckets = const offset_of!(Time, buckets),
    clean = const CLEAN_OFFSET,
    all_clean = const CLEAN,
    dispatch = sym dispatch::<false>,
    dispatch_counted = sym dispatch::<true>,
    dispatch_detailed = sym detailed,
    exit_code = const control!(exit_code),
    info1 = const control!(exit_info1),
    info2 = const control!(exit_info2),
    event_injection = const control!(event_injection),
    vintr = const control!(vintr),
    v_irq = const vintr::V_IRQ,
    misc1 = const control!(intercept_misc1),
    vintr_intercept = const VINTR_INTERCEPT,
    save_rip = const save!(rip),
    save_rax = const save!(rax),
    next = const TAPE + offset_of!(Tape, next),
    end = const TAPE + offset_of!(Tape, end),
    bytes = const TAPE + offset_of!(Tape, bytes),
    written = const TAPE + offset_of!(Tape, written),
    left = const TAPE + offset_of!(Tape, left),
    entry_bytes = const size_of::<Entry>(),
    time = const offset_of!(Entry, time),
    answer = const offset_of!(Entry, answer),
    rip = const offset_of!(Entry, rip),
    entry_info1 = const offset_of!(Entry, info1),
    entry_info2 = const offset_of!(Entry, info2),
    entry_rax = const offset_of!(Entry, rax),
    entry_rcx = const offset_of!(Entry, rcx),
    event = const offset_of!(Entry, event),
);

// With 1 for a CPU that has clean bits, with 0 for one that has none.
unsafe extern "sysv64" {
    fn svm_run_0(instance: *mut ());
    fn svm_run_1(instance: *mut ());
    fn svm_run_counted_0(instance: *mut ());
    fn svm_run_counted_1(instance: *mut ());
    fn svm_run_timed_0(instance: *mut ());
    fn svm_run_timed_1(instance: *mut ());
    fn svm_run_detailed_0(instance: *mut ());
    fn svm_run_detailed_1(instance: *mut ());
    fn svm_run_traced_0(instance: *mut ());
    fn svm_run_traced_1(instance: *mut ());
    fn svm_run_traced_in_detail_0(instance: *mut ());
    fn svm_run_traced_in_detail_1(instance: *mut ());
}

/// Runs the guest until a handler wants to leave.
///
/// # Safety
/// EFER.SVME is 1, VM_HSAVE_PA is set, GIF is 0, the host's IF is 1; the instance is
/// in memory that is mapped one to one; its VMCB is legal, and its VMLOAD state and FPU
/// state are in the CPU; no IDT gate uses IST.
pub unsafe fn run(instance: &mut Instance) {
    let books = &instance.vm.stats.books;
    let [switch, clean] = match (books.totals, books.times, books.details, books.ring) {
        (None, ..) => [svm_run_0, svm_run_1],
        (Some(_), None, _, None) => [svm_run_counted_0, svm_run_counted_1],
        (Some(_), None, _, Some(_)) => [svm_run_traced_0, svm_run_traced_1],
        (Some(_), Some(_), None, None) => [svm_run_timed_0, svm_run_timed_1],
        (Some(_), Some(_), Some(_), None) => [svm_run_detailed_0, svm_run_detailed_1],
        (Some(_), Some(_), _, Some(_)) => [svm_run_traced_in_detail_0, svm_run_traced_in_detail_1],
    };
    let switch = if instance.vcpu.has_clean_bits {
        clean
    } else {
        switch
    };
    // SAFETY: by the caller's promise; the loop changes the instance only through the
    // pointer it is given, and keeps the registers that the calling convention protects. The
    // books that it writes are there, as the choice of the loop has seen.
    unsafe { switch((&raw mut *instance).cast()) };
}
