//! Single instructions of the processor that Rust has no name for.
//!
//! Only ones that do no harm wherever they are called; what changes the meaning
//! of memory (CR0, CR3) is with the code that knows why it may.

use core::arch::asm;

/// CR0: writes to read-only pages fault in ring 0 too.
pub const CR0_WP: u32 = 1 << 16;
/// CR0: paging.
pub const CR0_PG: u32 = 1 << 31;
/// CR0: x87 errors raise #MF rather than an interrupt.
pub const CR0_NE: u32 = 1 << 5;
/// CR0: there is no x87 unit.
pub const CR0_EM: u32 = 1 << 2;
/// CR0: the next x87 instruction raises #NM.
pub const CR0_TS: u32 = 1 << 3;

/// Lets interrupts in.
pub fn enable_interrupts() {
    // SAFETY: the handlers leave every register as it was.
    unsafe { asm!("sti", options(nostack)) };
}

/// Keeps interrupts out.
pub fn disable_interrupts() {
    // SAFETY: it only delays handlers.
    unsafe { asm!("cli", options(nostack)) };
}

/// Lets interrupts in and sleeps until one has been handled. An interrupt that
/// was pending wakes it: the processor takes none between the two instructions.
pub fn wait_for_interrupt() {
    // SAFETY: the handlers leave every register as it was.
    unsafe { asm!("sti", "hlt", options(nostack)) };
}

/// Sleeps until `done` holds; asked anew after each interrupt.
pub fn wait_until(mut done: impl FnMut() -> bool) {
    loop {
        disable_interrupts();
        if done() {
            enable_interrupts();
            return;
        }
        wait_for_interrupt();
    }
}

/// Stops for good.
pub fn halt() -> ! {
    loop {
        // SAFETY: with interrupts off nothing runs any more.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// The time-stamp counter.
pub fn tsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: RDTSC writes these two registers alone.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// What CPUID tells of a leaf.
#[derive(Debug, Clone, Copy)]
pub struct CpuidResult {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

/// Asks CPUID for subleaf 0 of a leaf.
pub fn cpuid(leaf: u32) -> CpuidResult {
    let (eax, ebx, ecx, edx);
    // SAFETY: CPUID writes these four registers alone; EBX, which not every
    // compiler lends, is swapped back.
    unsafe {
        asm!("mov {ebx}, ebx", "cpuid", "xchg {ebx}, ebx", ebx = out(reg) ebx,
            inout("eax") leaf => eax, inout("ecx") 0 => ecx, out("edx") edx,
            options(nomem, nostack))
    };
    CpuidResult { eax, ebx, ecx, edx }
}

/// The control register CR0.
pub fn cr0() -> u32 {
    let value;
    // SAFETY: reading a control register changes nothing.
    unsafe { asm!("mov {}, cr0", out(reg) value, options(nomem, nostack)) };
    value
}

/// The address of the page fault taken last.
pub fn cr2() -> u32 {
    let value;
    // SAFETY: reading a control register changes nothing.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack)) };
    value
}

/// The physical address of the page directory in use.
pub fn cr3() -> u32 {
    let value;
    // SAFETY: reading a control register changes nothing.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack)) };
    value
}

/// Takes what the debug registers have to say, and clears it.
pub fn take_dr6() -> u32 {
    let value;
    // SAFETY: DR6 only reports; clearing it arms nothing.
    unsafe {
        asm!("mov {0}, dr6", "mov {1}, 0xffff0ff0", "mov dr6, {1}", out(reg) value, out(reg) _,
            options(nomem, nostack))
    };
    value
}
