//! The kernel itself: the part that touches the machine.
//!
//! [`start`] brings it up, in the order in which one thing needs the other, and
//! then does what the command line asks for.

mod bench;
mod boot;
mod busy;
mod console;
mod cpu;
mod cpuid;
mod demo;
mod exceptions;
mod exercise;
mod gdt;
mod idt;
mod keyboard;
mod memory;
mod paging;
mod pic;
mod pit;
mod port;
mod power;
mod sensitive;
mod serial;
mod shell;
mod stress;
mod table;
mod task;
mod vga;

use core::arch::global_asm;
use core::panic::PanicInfo;

use guest::multiboot::{LOADER_MAGIC, Region};
use guest::screen::Colour;
use guest::size::Size;
use guest::words::{self, KNOWN_WORDS, Task, Words};

use boot::BootInfo;
use console::{print_in, println};
use memory::Memory;
use paging::{AddressSpace, IDENTITY_END};

global_asm!(include_str!("entry.s"), options(att_syntax));

/// What the running kernel owns.
pub struct Kernel {
    boot: BootInfo,
    memory: Memory,
    space: AddressSpace,
}

/// The first Rust code, called by entry.s: brings the kernel up and gives it work.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(magic: u32, info: u32) -> ! {
    console::install();
    print_in(
        Colour::LightCyan,
        format_args!(
            "{} {}\n",
            "Tollgate guest kernel",
            env!("CARGO_PKG_VERSION")
        ),
    );
    if magic != LOADER_MAGIC {
        println!("boot: this is no Multiboot 1 loader (EAX is {magic:08x}); halted");
        cpu::halt();
    }
    // SAFETY: the loader said so by its magic number, and so far only the
    // kernel's own image has been written to.
    let boot = unsafe { BootInfo::copy(info) };
    let Words { task, hz, unknown } = words::parse(boot.cmdline());
    if let Some(word) = unknown {
        println!("boot: {word} means nothing: {KNOWN_WORDS}");
    }

    gdt::install();
    idt::install();
    println!("descriptors: GDT and task register loaded, IDT with 256 gates");

    let Some(mut memory) = Memory::new(boot.regions()) else {
        println!("memory: the loader names no usable memory; halted");
        cpu::halt();
    };
    show_regions(boot.regions());
    let Ok(space) = AddressSpace::identity(&mut memory.frames) else {
        println!("paging: too little memory for the page tables; halted");
        cpu::halt();
    };
    space.activate();
    println!(
        "paging: on, the first {} mapped at their own addresses",
        Size(IDENTITY_END.into())
    );

    pic::install(&[pit::LINE, keyboard::LINE, serial::LINE, power::LINE]);
    power::install();
    pit::install(hz);
    println!("timer: {hz} Hz");
    println!(
        "keyboard: {}",
        if keyboard::install() {
            "ready"
        } else {
            "none answers"
        }
    );
    cpu::enable_interrupts();

    let mut kernel = Kernel {
        boot,
        memory,
        space,
    };
    match task {
        Task::Shell => shell::run(&mut kernel),
        Task::Demo => demo::run(&mut kernel),
        Task::Exercise => exercise::run(&mut kernel),
        Task::Bench => bench::run(&mut kernel),
        Task::Stress => stress::run(&mut kernel),
        Task::Sensitive => sensitive::run(),
        Task::Busy(seconds) => busy::run(seconds, hz),
    }
    power::off()
}

/// Prints a memory map.
fn show_regions(regions: &[Region]) {
    for region in regions {
        println!(
            "~ memory: {:09x}-{:09x} {} ({})",
            region.start,
            region.end,
            if region.usable { "usable" } else { "reserved" },
            Size(region.bytes())
        );
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    cpu::disable_interrupts();
    print_in(Colour::LightRed, format_args!("\n{info}\n"));
    println!("panic: halted");
    cpu::halt()
}
