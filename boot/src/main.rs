//! The bare-metal Tollgate: what the boot loader enters, in long mode, with the guest images.

#![no_std]
#![no_main]

use core::arch::global_asm;
use core::panic::PanicInfo;

use vmm_core::addr::PAGE;
use vmm_core::host::Machine;
use vmm_core::host::ending;
use vmm_core::host::paging::ImageLayout;
use vmm_core::host::span::Span;

global_asm!(include_str!("entry.s"), options(raw));

// Places in the image: `linker.ld` says where its parts begin and end, `entry.s` where the
// stack's guard page is.
unsafe extern "C" {
    static image_start: u8;
    static text_end: u8;
    static rodata_end: u8;
    static image_end: u8;
    static stack_guard: u8;
    static symbols_start: u8;
    static symbols_end: u8;
}

fn image() -> ImageLayout {
    let [text, rodata, data, end, guard, names, names_end] = [
        &raw const image_start,
        &raw const text_end,
        &raw const rodata_end,
        &raw const image_end,
        &raw const stack_guard,
        &raw const symbols_start,
        &raw const symbols_end,
    ]
    .map(|place| place as u64);
    ImageLayout {
        text: Span::new(text, rodata),
        rodata: Span::new(rodata, data),
        data: Span::new(data, end),
        stack_guard: Span::sized(guard, PAGE),
        symbols: Span::new(names, names_end),
    }
}

/// Where `entry.s` arrives: long mode, a 512 KiB stack, the first 4 GiB mapped one to one,
/// interrupts off. `magic` and `info` are what the boot loader passed.
#[unsafe(no_mangle)]
extern "sysv64" fn rust_entry(magic: u32, info: u64) -> ! {
    // SAFETY: `entry.s` calls this once, having made the machine as `init` wants it.
    let machine = match unsafe { Machine::init(magic, info, &image()) } {
        Ok(machine) => machine,
        Err(error) => ending::refused(error),
    };
    vmm_core::run(&boot::POLICY, IMAGES, machine)
}

/// Each VM's image, if one is linked.
#[cfg(not(feature = "unlinked"))]
static IMAGES: &[Option<&[u8]>] = vmm_config_macros::images!();
/// No image: the boot loader brings all.
#[cfg(feature = "unlinked")]
static IMAGES: &[Option<&[u8]>] = &[];

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    ending::panicked(info)
}
