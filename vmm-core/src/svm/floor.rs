//! The floor of every figure: VMRUN and #VMEXIT with nothing in between.
//!
//! A guest that executes VMMCALL for ever, and a loop of three instructions that runs it. What
//! a handled exit costs more than this is the VMM's own doing.

use core::arch::global_asm;

use crate::host::tsc;
use crate::vm::{Instance, Vcpu};

global_asm!(
    ".pushsection .text.svm_floor, \"ax\", @progbits",
    ".global svm_floor",
    "svm_floor:", // rdi: the vCPU, which is its VMCB; rsi: rounds
    "mov rax, rdi",
    "2: vmrun rax",
    "dec rsi",
    "jnz 2b",
    "ret",
    ".popsection",
);

unsafe extern "sysv64" {
    fn svm_floor(vcpu: *mut (), rounds: u64);
}

/// VMMCALL.
const VMMCALL: [u8; 3] = [0x0f, 0x01, 0xd9];

/// TSC ticks that `rounds` rounds of the bare loop take, on a fresh guest's VMCB.
///
/// The guest is as before afterwards: nobody moves RIP past the VMMCALL, and nothing but
/// RIP and three bytes of its memory are lent to the loop.
///
/// # Safety
/// As for [`switch::run`](super::switch::run); the guest has not run yet.
pub unsafe fn measure(instance: &mut Instance, rounds: u64) -> Option<u64> {
    let Instance { vcpu, vm } = instance;
    let place = crate::addr::Gpa(0);
    vm.memory.write(place, &VMMCALL)?;
    let entry = core::mem::replace(&mut vcpu.save_mut().rip, place.0);
    let at: *mut Vcpu = vcpu;
    let [_, ticks] = [rounds / 10, rounds].map(|rounds| {
        let started = tsc::now();
        // SAFETY: by the caller's promise; the guest executes VMMCALL alone, which is always
        // intercepted and changes no register.
        unsafe { svm_floor(at.cast(), rounds) };
        tsc::now().wrapping_sub(started)
    });
    vcpu.save_mut().rip = entry;
    vm.memory.zero(place, VMMCALL.len() as u64)?;
    Some(ticks)
}
