//! The command line, on keyboard and serial line alike.

use core::arch::asm;

use guest::command::{self, Command, HELP, Misunderstood};
use guest::keymap::Decoder;
use guest::line::{Edit, Line};
use guest::screen::Colour;
use guest::size::Size;

use super::console::{print, print_in, println};
use super::exceptions::{attempt, describe_page_fault};
use super::table::TablePointer;
use super::{
    Kernel, bench, cpu, cpuid, demo, exercise, keyboard, pit, port, power, sensitive, serial,
    show_regions, stress, vga,
};

/// An address that no page is mapped at.
pub const UNMAPPED: u32 = 0xA000_0000;

/// Reads commands and runs them, until one powers the machine off.
pub fn run(kernel: &mut Kernel) {
    println!("type help for a list of commands");
    let mut keys = Decoder::default();
    loop {
        print_in(Colour::LightGreen, format_args!("tollgate> "));
        let line = read_line(&mut keys);
        match command::parse(line.text()) {
            None => {}
            Some(Ok(command)) => execute(command, kernel),
            Some(Err(Misunderstood::Unknown {
                name,
                nearest: Some(command),
            })) => {
                println!("no command is called {name}: did you mean {command}?");
            }
            Some(Err(Misunderstood::Unknown {
                name,
                nearest: None,
            })) => {
                println!("no command is called {name}: type help for a list");
            }
            Some(Err(Misunderstood::Usage(usage))) => {
                println!("it is typed like this: {usage} (numbers are hexadecimal)");
            }
        }
    }
}

/// Reads a line, showing what is typed.
fn read_line(keys: &mut Decoder) -> Line {
    let mut line = Line::default();
    loop {
        match line.feed(read_byte(keys)) {
            Edit::Put(byte) => print!("{}", char::from(byte)),
            Edit::Erased => print!("\x08 \x08"),
            Edit::Complete => {
                println!();
                return line;
            }
            Edit::Dropped => {
                println!("^C");
                return line;
            }
            Edit::Ignored => {}
        }
    }
}

/// The next byte typed, on whichever of the two.
fn read_byte(keys: &mut Decoder) -> u8 {
    let mut byte = None;
    cpu::wait_until(|| {
        byte = serial::take()
            .or_else(|| core::iter::from_fn(keyboard::take).find_map(|code| keys.feed(code)));
        byte.is_some()
    });
    byte.unwrap_or(0)
}

fn execute(command: Command, kernel: &mut Kernel) {
    match command {
        Command::Help => {
            for (usage, what) in HELP {
                println!("  {usage:20} {what}");
            }
        }
        Command::Ticks => println!("~ ticks: {}", pit::ticks()),
        Command::Mem => show_memory(kernel),
        Command::Cpuid => cpuid::show(),
        Command::Fault => fault(),
        Command::DivZero => divide_by_zero(),
        Command::Exercise => exercise::run(kernel),
        Command::Demo => demo::run(kernel),
        Command::Bench => bench::run(kernel),
        Command::Stress => stress::run(kernel),
        Command::Sensitive => sensitive::run(),
        Command::Clear => vga::clear(),
        Command::In { port } => println!("~ in: port {port:x} reads {:02x}", port::read(port)),
        Command::Out { port, value } => port::write(port, value),
        Command::Peek { address } => peek(kernel, address),
        Command::Poke { address, value } => poke(kernel, address, value),
        Command::Jump { address } => jump(kernel, address),
        Command::Halt => cpu::halt(),
        Command::Spin => spin(),
        Command::Triple => triple_fault(),
        Command::PowerOff => power::off(),
    }
}

fn show_memory(kernel: &Kernel) {
    show_regions(kernel.boot.regions());
    let frames = &kernel.memory.frames;
    println!(
        "~ mem: {} frames of 4 KiB, {} of them free",
        frames.frames(),
        frames.free_frames()
    );
    println!(
        "~ mem: kalloc has handed out {}",
        Size(kernel.memory.kalloc.used().into())
    );
}

/// Writes where nothing is mapped, and reports the fault.
pub fn fault() {
    let trap = attempt!("mov dword ptr [{address}], 1"; address = in(reg) UNMAPPED);
    match trap {
        Some(trap) => {
            println!("fault: {trap}, a page fault");
            describe_page_fault(&trap);
            println!("fault: survived");
        }
        None => println!("fault: none; something is mapped at {UNMAPPED:08x}"),
    }
}

fn divide_by_zero() {
    let trap = attempt!("div {zero}"; zero = in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _);
    match trap {
        Some(trap) => println!("divzero: {trap} at EIP {:08x}, survived", trap.eip),
        None => println!("divzero: no exception"),
    }
}

fn peek(kernel: &mut Kernel, address: u32) {
    let Kernel { memory, space, .. } = kernel;
    // SAFETY: any bits are a u32, and the pointer is aligned and mapped.
    let look = space.look(address, &mut memory.frames, |cell| unsafe {
        cell.read_volatile()
    });
    match look {
        Ok(value) => println!("~ peek: {address:08x} holds {value:08x}"),
        Err(_) => println!("peek: no memory for a page table"),
    }
}

fn poke(kernel: &mut Kernel, address: u32, value: u32) {
    let Kernel { memory, space, .. } = kernel;
    let look = space.look(address, &mut memory.frames, |cell| {
        // SAFETY: the pointer is aligned and mapped. What is overwritten is the
        // choice of the person who typed the address.
        unsafe { cell.write_volatile(value) }
    });
    match look {
        Ok(()) => println!("poke: {address:08x} written"),
        Err(_) => println!("poke: no memory for a page table"),
    }
}

/// Runs code at its own physical address, mapped for that if need be; it may return.
fn jump(kernel: &mut Kernel, address: u32) {
    let Kernel { memory, space, .. } = kernel;
    // A page that is mapped already is the identity-mapped one.
    let _ = space.map(address, address, &mut memory.frames);
    println!("jump: to {address:08x}");
    // SAFETY: the page is mapped. What runs there is the choice of the person
    // who typed the address.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) };
}

/// Loops with interrupts off: the processor neither sleeps nor pauses.
fn spin() -> ! {
    // SAFETY: nothing runs after it.
    unsafe { asm!("cli", "2: jmp 2b", options(noreturn)) };
}

/// Raises an exception for which there is no gate, nor one for the faults that follow.
fn triple_fault() -> ! {
    let empty = TablePointer::default();
    // SAFETY: the processor shuts down; nothing runs after it.
    unsafe { asm!("lidt [{}]", "int3", in(reg) &empty, options(noreturn)) };
}
