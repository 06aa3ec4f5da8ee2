//! One instruction a function: what Rust has no word for.
//!
//! Each acts on the CPU it runs on. Handlers call them only while their vCPU is loaded.

use core::arch::asm;
use core::arch::x86_64::__cpuid_count;

use crate::addr::Hpa;
use crate::journal;

/// Writes back and invalidates all caches.
#[inline]
pub fn wbinvd() {
    journal::wrote_back(|| {
        // SAFETY: WBINVD changes no memory contents and no register.
        unsafe { asm!("wbinvd", options(nostack, preserves_flags)) };
    });
}

/// What the CPU itself answers for a leaf and subleaf of CPUID.
pub fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    journal::cpuid(leaf, subleaf, || {
        let answer = __cpuid_count(leaf, subleaf);
        [answer.eax, answer.ebx, answer.ecx, answer.edx]
    })
}

/// Reads an MSR that the caller knows to exist.
#[inline]
pub fn rdmsr(msr: u32) -> u64 {
    journal::msr(msr, || {
        let (low, high): (u32, u32);
        // SAFETY: callers name MSRs that every AMD64 CPU with SVM has; reading changes nothing.
        unsafe {
            asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high,
                 options(nomem, nostack, preserves_flags));
        }
        u64::from(high) << 32 | u64::from(low)
    })
}

/// Writes an MSR whose value belongs to the loaded vCPU, or that the VMM itself owns.
#[inline]
pub fn wrmsr(msr: u32, value: u64) {
    journal::wrote_msr(msr, value, || {
        // SAFETY: callers write only MSRs that the host does not depend on (what VMLOAD carries)
        // or whose meaning they own (EFER.SVME, VM_HSAVE_PA), with values that are legal there.
        unsafe {
            asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
                 options(nostack, preserves_flags));
        }
    });
}

/// TSC_AUX, as RDTSCP would return it.
#[inline]
pub fn read_tsc_aux() -> u32 {
    rdmsr(0xc000_0103) as u32
}

/// Gives the CPU the CR2 that the loaded vCPU's guest is to find.
///
/// QUIRK: Bochs 2.7 does not load CR2 at VMRUN, and #VMEXIT leaves the guest's in the CPU.
#[inline]
pub fn load_cr2(value: u64) {
    // Elsewhere this is a program among others, as tests are.
    if cfg!(target_os = "none") {
        // SAFETY: the VMM reads CR2 after a page fault of its own alone, which sets it.
        unsafe { asm!("mov cr2, {}", in(reg) value, options(nomem, nostack, preserves_flags)) };
    }
}

/// Turns the host's paging on again if #VMEXIT has left it off, with the VMM's CR0: PG, WP, NE, ET,
/// MP, PE.
#[inline(always)]
pub fn keep_paging() {
    const CR0: u32 = 0x8001_0033;
    if cfg!(target_os = "none") {
        // SAFETY: CR3 and CR4 are the VMM's, whose memory is mapped one to one: whether it is paged
        // makes no difference to it.
        unsafe {
            asm!("mov {cr0}, cr0", "bt {cr0}, 31", "jc 2f",
                 "mov {cr0:e}, {all}", "mov cr0, {cr0}", "2:",
                 cr0 = out(reg) _, all = const CR0, options(nostack));
        }
    }
}

/// IN of 1, 2 or 4 bytes.
#[inline]
pub fn port_in(port: u16, bytes: u8) -> u32 {
    journal::port(port, bytes, || {
        let value: u32;
        // SAFETY: the policy passes this port to the guest; the checks of the policy keep the
        // ports that the VMM drives from being passed.
        unsafe {
            match bytes {
                1 => {
                    asm!("in al, dx", in("dx") port, inout("eax") 0 => value, options(nomem, nostack))
                }
                2 => {
                    asm!("in ax, dx", in("dx") port, inout("eax") 0 => value, options(nomem, nostack))
                }
                _ => asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack)),
            }
        }
        value
    })
}

/// OUT of the low 1, 2 or 4 bytes of `value`.
#[inline]
pub fn port_out(port: u16, bytes: u8, value: u32) {
    journal::wrote_port(port, bytes, value, || {
        // SAFETY: as for `port_in`.
        unsafe {
            match bytes {
                1 => asm!("out dx, al", in("dx") port, in("eax") value, options(nomem, nostack)),
                2 => asm!("out dx, ax", in("dx") port, in("eax") value, options(nomem, nostack)),
                _ => asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack)),
            }
        }
    });
}

/// Loads the state that VMRUN leaves alone (FS, GS, TR, LDTR, SYSCALL and SYSENTER MSRs).
///
/// # Safety
/// `vmcb` must be the address of a VMCB with such state in it. The host's own TR is gone
/// afterwards: no gate may use IST until the host's state is loaded again.
#[inline]
pub unsafe fn vmload(vmcb: Hpa) {
    // SAFETY: by the caller's promise.
    unsafe { asm!("vmload rax", in("rax") vmcb.0, options(nostack, preserves_flags)) };
}

/// Stores the state that VMRUN leaves alone.
///
/// # Safety
/// `vmcb` must be the address of a VMCB.
#[inline]
pub unsafe fn vmsave(vmcb: Hpa) {
    // SAFETY: by the caller's promise.
    unsafe { asm!("vmsave rax", in("rax") vmcb.0, options(nostack, preserves_flags)) };
}

/// Clears the global interrupt flag: nothing, not even an NMI, reaches the host.
///
/// # Safety
/// SVM must be enabled.
#[inline]
pub unsafe fn clgi() {
    // SAFETY: by the caller's promise.
    unsafe { asm!("clgi", options(nomem, nostack, preserves_flags)) };
}

/// The 512-byte image that FXSAVE writes.
#[derive(Clone)]
#[repr(C, align(16))]
pub struct FxImage([u8; 512]);

impl FxImage {
    /// The state after FNINIT and with MXCSR at its reset value.
    pub const fn reset() -> Self {
        let mut image = [0; 512];
        image[0] = 0x7f; // FCW 037Fh: all exceptions masked, extended precision
        image[1] = 0x03;
        image[24] = 0x80; // MXCSR 1F80h: all exceptions masked
        image[25] = 0x1f;
        FxImage(image)
    }

    /// Has FXSAVE and FXRSTOR carry the XMM registers as well: CR4.OSFXSR (APM volume 3, FXSAVE).
    pub fn enable() {
        const OSFXSR: u64 = 1 << 9;
        // SAFETY: the bit changes nothing for code that uses no SSE, which the VMM's does not.
        unsafe {
            asm!("mov {cr4}, cr4", "or {cr4}, {osfxsr}", "mov cr4, {cr4}",
                 cr4 = out(reg) _, osfxsr = const OSFXSR, options(nostack));
        }
    }

    /// Stores the x87 and SSE state of the CPU.
    pub fn save(&mut self) {
        // SAFETY: the image is 512 bytes, 16-byte aligned, and ours.
        unsafe { asm!("fxsave64 [{}]", in(reg) self, options(nostack, preserves_flags)) };
    }

    /// Loads the image into the CPU. The VMM itself uses neither x87 nor SSE.
    pub fn restore(&self) {
        // SAFETY: the image came from `reset` or `save`, so its MXCSR is legal.
        unsafe { asm!("fxrstor64 [{}]", in(reg) self, options(nostack, preserves_flags)) };
    }
}
