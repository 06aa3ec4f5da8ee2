//! The bare-metal Tollgate: what the boot loader enters, in long mode.

#![no_std]
#![no_main]

core::arch::global_asm!(include_str!("entry.s"), options(raw));

/// Where `entry.s` arrives: long mode, a 64 KiB stack, the first 4 GiB mapped one to one,
/// interrupts off. `magic` and `info` are what the boot loader passed.
#[unsafe(no_mangle)]
extern "sysv64" fn rust_entry(_magic: u32, _info: u64) -> ! {
    for byte in *b"[vmm] hello from long mode\r\n" {
        // SAFETY: a write to COM1's transmit register touches no memory.
        unsafe { core::arch::asm!("out dx, al", in("dx") 0x3f8_u16, in("al") byte) }
    }
    stop()
}

fn stop() -> ! {
    loop {
        // SAFETY: with interrupts off, HLT stops this CPU; it touches no memory.
        unsafe { core::arch::asm!("cli", "hlt") }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    stop()
}
