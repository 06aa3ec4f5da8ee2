//! The real machine under the VMM.
//!
//! [`Machine::init`] is the tour: it takes over the machine from the boot loader, part by part,
//! in the order in which the parts need each other. Each part is a file: a driver speaks to its
//! chip through [`ports::Ports`], so its logic is tested without one.

pub mod acpi;
mod apic;
mod backtrace;
mod bytes;
pub mod canary;
pub mod cpu;
pub mod ending;
mod exception;
pub mod frames;
mod hpet;
mod idt;
mod interrupts;
pub mod irq;
pub mod isa;
pub mod keyboard;
pub mod lines;
pub mod log;
pub mod multiboot;
pub mod paging;
pub mod pic;
pub mod ports;
pub mod power;
pub mod record;
mod registers;
pub mod rtc;
pub mod screen;
mod scroll;
pub mod serial;
pub mod span;
pub mod timer;
pub mod tsc;

use core::arch::x86_64::__cpuid;
use core::fmt;
use core::mem::MaybeUninit;

use acpi::Acpi;
use cpu::Cpu;
use frames::Frames;
use hpet::Hpet;
use keyboard::Keyboard;
use multiboot::{BootInfo, BootInfoError, Display, Pixels};
use paging::{DEVICE_TOP, ImageLayout, PagingError, Plan};
use ports::Hardware;
use registers::Mmio;
use screen::framebuffer::Framebuffer;
use screen::vga_text::VgaText;
use screen::{Output, SCREEN};
use serial::{COM1, COM2};
use span::Span;
use timer::Timer;
use tsc::{Tsc, measure};

use crate::addr::{Hpa, PAGE};

/// The first MiB: firmware tables, the VGA, the boot loader's remains. No memory for VMs.
const LOW_MEMORY: Span = Span::new(0, 1 << 20);

/// The machine, taken over. COM1, COM2 and the screen are shared by all code and so are statics:
/// [`serial`], [`screen`], and above them [`log`] and [`record`].
#[derive(Debug)]
pub struct Machine {
    /// Memory that is free.
    pub frames: Frames,
    /// What the boot loader told.
    pub boot: &'static BootInfo,
    /// The CPU that runs this.
    pub cpu: &'static Cpu,
    /// The clock.
    pub tsc: Tsc,
    /// The one-shot timer; it may interrupt, and so may keyboard and COM1.
    pub timer: Timer,
    /// The keyboard.
    pub keyboard: Keyboard<Hardware>,
    /// Bytes that the VMM has taken for itself: its image, page tables and stacks.
    pub own_bytes: u64,
    /// Where the VMM's code and constants are.
    pub constant: Span,
}

/// Why the machine cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitError {
    /// The boot loader's information is no use.
    Boot(BootInfoError),
    /// No memory below 4 GiB for the VMM's tables.
    NoMemory,
    /// The page tables cannot be made.
    Paging(PagingError),
    /// No timer counts by which the TSC could be measured.
    NoClock,
    /// There is nothing to interrupt a VM when its turn is over.
    NoTimer,
    /// Nothing brings interrupts to the CPU.
    NoInterrupts,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot(error) => error.fmt(f),
            Self::NoMemory => write!(f, "there is no memory left for the VMM's own tables"),
            Self::Paging(error) => error.fmt(f),
            Self::NoClock => f.write_str(
                "neither the interval timer (8254) nor ACPI's timer nor the HPET counts, so the \
                 VMM cannot tell the time; if the firmware's setup can enable one, do so",
            ),
            Self::NoTimer => f.write_str(
                "neither the interval timer (8254) nor the local APIC's timer counts, so no VM's \
                 turn would ever end",
            ),
            Self::NoInterrupts => f.write_str(
                "there is neither a pair of 8259s nor a local APIC, so no interrupt can come",
            ),
        }
    }
}

impl Machine {
    /// Takes over the machine: `magic` and `info` are EAX and EBX as the boot loader left them,
    /// `image` is where it put the VMM. Interrupts are held off by RFLAGS.IF afterwards.
    ///
    /// # Safety
    /// Called once, on the boot CPU, in ring 0 and long mode with EFER.NXE and CR0.WP set,
    /// interrupts off, and the first 4 GiB mapped one to one and writable. `image` is true, and
    /// so is what the boot loader says of the screen.
    pub unsafe fn init(magic: u32, info: u64, image: &ImageLayout) -> Result<Self, InitError> {
        tsc::note_entry();
        // The lines to the outside come first: everything later may have to complain.
        COM1.lock().init(true);
        COM2.lock().init(false);
        let mut boot = BootInfo::default();
        boot.read(magic, info, physical_byte)
            .map_err(InitError::Boot)?;
        let mut acpi = Acpi::read(boot.acpi_root, physical_byte);
        acpi.forget_devices_in(boot.ram());
        power::learn(&acpi);
        serial::settle(acpi.serial);
        let display = boot.display;
        // SAFETY: as this function's caller says.
        let memory = unsafe { Memory::take(&boot, image) };
        let drawing = tsc::now();
        // The VMM's own page tables have pixels go out many at a time. To tell an error, others do.
        if memory.is_ok() || is_mapped_at_first(display) {
            // SAFETY: it is mapped, and stays so.
            unsafe { attach_screen(display) }
        }
        let drawn = tsc::now().wrapping_sub(drawing);
        let Memory {
            frames,
            boot,
            cpu,
            own_bytes,
        } = memory?;

        // SAFETY: each of these devices is the VMM's, and has one driver.
        let [keyboard, mut channel_2] = [(); 2].map(|()| unsafe { Hardware::new() });
        let keyboard = Keyboard::init(keyboard);
        let by_pit = measure::by_pit(&mut channel_2, tsc::now);
        let tsc = measure_tsc(by_pit, &acpi).and_then(Tsc::new);
        let tsc = tsc.ok_or(InitError::NoClock)?;
        // Last, so that the controllers forget what setting up the others made them see.
        // SAFETY: this is the boot CPU, its interrupts are off, and all devices below 4 GiB are
        // mapped uncached.
        let timer = unsafe { interrupts::open(by_pit.is_some(), &acpi, &tsc) }?;
        if let Display::Pixels(Pixels { width, height, .. }) = display {
            let us = tsc.ns(drawn) / 1000;
            crate::info!("screen: {width} x {height} pixels, drawn in {us} us");
        }

        Ok(Self {
            frames,
            boot,
            cpu,
            tsc,
            timer,
            keyboard,
            own_bytes,
            constant: Span {
                start: image.text.start,
                end: image.rodata.end,
            },
        })
    }
}

/// The machine's memory in the VMM's hands.
struct Memory {
    frames: Frames,
    boot: &'static BootInfo,
    cpu: &'static Cpu,
    own_bytes: u64,
}

impl Memory {
    /// Finds what is free, and maps everything by page tables of the VMM's own. Not inlined, so
    /// that its room on the stack is free again after it.
    ///
    /// # Safety
    /// As for [`Machine::init`].
    #[inline(never)]
    unsafe fn take(boot: &BootInfo, image: &ImageLayout) -> Result<Self, InitError> {
        let taken = boot.occupied.iter().copied();
        let modules = boot.modules.iter().map(|module| module.span);
        let reserved = boot
            .reserved()
            .chain([LOW_MEMORY, image.whole()])
            .chain(taken);
        let mut frames = Frames::new(boot.ram(), reserved.chain(modules));
        let free_at_first = frames.free_bytes();

        // SAFETY: what is free is RAM that nobody uses, mapped below 4 GiB as the caller says.
        let place = unsafe { room(&mut frames) }.ok_or(InitError::NoMemory)?;
        let boot: &'static BootInfo = place.write(boot.clone());
        // SAFETY: the same.
        let cpu = unsafe { Cpu::create(&mut frames) }.ok_or(InitError::NoMemory)?;
        // SAFETY: this is the boot CPU, in ring 0, with interrupts off.
        unsafe { cpu.install() }

        let mut plan = Plan::new(boot.ram(), boot.reserved(), image, cpu.guards())
            .map_err(InitError::Paging)?;
        if let Display::Pixels(pixels) = boot.display {
            plan.add_pixels(pixels.span()).map_err(InitError::Paging)?;
        }
        let root = paging::build(&plan, &mut FrameTables(&mut frames), has_gigabyte_pages())
            .map_err(InitError::Paging)?;
        // SAFETY: the plan maps the image by its parts and all RAM, the stack among it.
        unsafe { paging::install(root) }
        backtrace::learn(image);
        Ok(Self {
            own_bytes: image.whole().bytes() + (free_at_first - frames.free_bytes()),
            frames,
            boot,
            cpu,
        })
    }
}

/// Whether the page tables that `entry.s` made reach all of the screen.
fn is_mapped_at_first(display: Display) -> bool {
    match display {
        Display::Pixels(pixels) => Span::new(0, DEVICE_TOP).contains(pixels.span()),
        Display::Text | Display::None => true,
    }
}

/// Frames for a T, for good. `None` if there are none, or only above the first 4 GiB.
///
/// # Safety
/// What `frames` hands out is unused RAM, mapped one to one below 4 GiB and writable.
unsafe fn room<T>(frames: &mut Frames) -> Option<&'static mut MaybeUninit<T>> {
    let place = frames.alloc(size_of::<T>() as u64, PAGE)?;
    let is_mapped = place.0 < DEVICE_TOP - (1 << 20);
    // SAFETY: the place is unused, mapped, large enough, and aligned to a page.
    is_mapped.then(|| unsafe { &mut *(place.0 as *mut MaybeUninit<T>) })
}

/// How many ticks the TSC counts in a second, by the timers that there are.
fn measure_tsc(by_pit: Option<u64>, acpi: &Acpi) -> Option<u64> {
    // SAFETY: the port is that of the timer, as ACPI says, and reading it changes nothing.
    let mut ports = unsafe { Hardware::new() };
    let pm = acpi.fadt.and_then(|fadt| fadt.timer);
    let by_pm = pm.and_then(|timer| measure::by_pm(&mut ports, timer, tsc::now));
    let by_hpet = || {
        let at = acpi.hpet.filter(|at| *at < DEVICE_TOP)?;
        // SAFETY: ACPI says that the timer is there, and devices below 4 GiB are mapped.
        let mut hpet = Hpet::new(unsafe { Mmio::new(at) })?;
        measure::by_hpet(&mut hpet, tsc::now)
    };
    let hz = measure::agree(by_pit, by_pm, by_hpet);
    if by_pit.is_some() && hz != by_pit {
        crate::warn!("the interval timer (8254) disagrees with the others, which are believed");
    }
    hz
}

/// Shows the log on what the boot loader left, if characters can be shown on it.
///
/// # Safety
/// `display` is true, and its memory mapped one to one from now on.
unsafe fn attach_screen(display: Display) {
    let output = match display {
        // SAFETY: the caller vouches for text mode and the mapping.
        Display::Text => Some(Output::Text(unsafe { VgaText::new(Hardware::new()) })),
        // SAFETY: the caller vouches for the framebuffer and the mapping.
        Display::Pixels(pixels) => unsafe { Framebuffer::new(pixels) }.map(Output::Pixels),
        Display::None => None,
    };
    if let Some(output) = output {
        SCREEN.lock().attach(output);
    }
}

/// The byte at a physical address, where the boot loader's tables can be.
fn physical_byte(at: u64) -> Option<u8> {
    let reachable = (1..DEVICE_TOP).contains(&at);
    // SAFETY: `Machine::init`'s caller has the first 4 GiB mapped, and a read changes no memory.
    reachable.then(|| unsafe { (at as *const u8).read_volatile() })
}

/// Whether the CPU has 1 GiB pages: CPUID 8000_0001 EDX bit 26.
fn has_gigabyte_pages() -> bool {
    __cpuid(0x8000_0001).edx & 1 << 26 != 0
}

/// Page tables in page frames.
struct FrameTables<'f>(&'f mut Frames);

impl paging::Tables for FrameTables<'_> {
    fn allocate(&mut self) -> Option<Hpa> {
        let table = self
            .0
            .alloc(PAGE, PAGE)
            .filter(|table| table.0 < DEVICE_TOP)?;
        // SAFETY: a free frame below 4 GiB is mapped, writable and nobody's.
        unsafe { (table.0 as *mut u8).write_bytes(0, PAGE as usize) }
        Some(table)
    }

    fn write(&mut self, table: Hpa, index: usize, entry: u64) {
        let place = (table.0 as *mut u64).wrapping_add(index);
        // SAFETY: `table` came from `allocate`, and `paging` writes its 512 entries only.
        unsafe { place.write(entry) }
    }
}
