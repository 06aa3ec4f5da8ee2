//! The machine's interrupts, taken when the VMM is ready for them.
//!
//! The VMM's code runs with interrupts held off. At chosen moments it opens a [`window`], or
//! sleeps in [`wait`], and learns which lines came. A gate only notes its line; who gets it is
//! decided outside. Follows APM volume 2, 15.17 (GIF) and 15.21 (interrupts and SVM).

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use spin::{Mutex, MutexGuard};

use super::apic::{LocalApic, MachineLines};
use super::isa::{FIRST_VECTOR, IsaLines};
use super::pic::Pic;
use super::ports::Hardware;

/// The timer's line: PIT channel 0, or what stands for it.
pub const TIMER: u8 = 0;
/// The keyboard's line.
pub const KEYBOARD: u8 = 1;
/// COM1's line, and that of the third port.
pub const COM1: u8 = 4;
/// COM2's line, and that of the fourth port.
pub const COM2: u8 = 3;

const LINES: u64 = 16;
/// The VMM's own lines: edge-triggered, and quiet once their device was read.
const KEPT: LineSet = LineSet(1 << TIMER | 1 << KEYBOARD | 1 << COM1 | 1 << COM2);

/// What brings the machine's lines to the CPU.
#[expect(clippy::large_enum_variant, reason = "a machine has one")]
#[derive(Debug)]
pub enum Controller {
    /// The 8259 pair.
    Pair(Pic<Hardware>),
    /// APICs.
    Apics(MachineLines),
}

// SAFETY: the 8259 pair is the VMM's; the lock makes its users take turns.
static CONTROLLER: Mutex<Controller> =
    Mutex::new(Controller::Pair(Pic::new(unsafe { Hardware::new() })));

/// What brings the machine's lines to the CPU. Not to be held while interrupts are let in.
pub fn controller() -> MutexGuard<'static, Controller> {
    CONTROLLER.lock()
}

impl Controller {
    fn lines(&mut self) -> &mut dyn IsaLines {
        match self {
            Self::Pair(pair) => pair,
            Self::Apics(apics) => apics,
        }
    }
}

impl IsaLines for Controller {
    fn enable(&mut self, line: u8) {
        self.lines().enable(line);
    }

    fn disable(&mut self, line: u8) {
        self.lines().disable(line);
    }

    fn hold(&mut self, line: u8) {
        self.lines().hold(line);
    }

    fn is_spurious(&mut self, line: u8) -> bool {
        self.lines().is_spurious(line)
    }

    fn end(&mut self, line: u8) {
        self.lines().end(line);
    }
}

/// Lines that came since they were last asked for. They interrupt one CPU alone.
static TAKEN: AtomicU16 = AtomicU16::new(0);

/// Whether a non-maskable interrupt came since it was last asked for.
static NMI: AtomicBool = AtomicBool::new(false);

/// A set of the 8259 pair's sixteen lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineSet(pub u16);

impl LineSet {
    /// Whether `line` is in it.
    #[inline]
    pub const fn contains(self, line: u8) -> bool {
        line < 16 && self.0 >> line & 1 != 0
    }

    /// Whether no line is in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its lines, lowest first.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let next = (rest != 0).then(|| rest.trailing_zeros() as u8)?;
            rest &= rest - 1;
            Some(next)
        })
    }
}

/// What holds interrupts off outside a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// RFLAGS.IF = 0: as long as EFER.SVME is 0.
    ByFlag,
    /// GIF = 0, with IF = 1: as #VMEXIT leaves it. VMRUN needs IF = 1, or a physical interrupt
    /// would not end the guest's turn. Only where EFER.SVME is 1, else CLGI is #UD.
    ByGif,
}

/// Takes the interrupts that are pending, and returns all lines taken since the last call.
///
/// A line other than the timer's, the keyboard's and the serial ports' is masked when it comes; whoever
/// serves it enables it again.
///
/// Interrupts are held off as `held` says before and after.
#[inline]
pub fn window(held: Held) -> LineSet {
    // SAFETY: every gate of the IDT leads to a stub that brings back all registers. The NOP
    // stands in the interrupt shadow of STI, so pending interrupts are taken before the last
    // instruction. With `ByGif` the caller vouches for EFER.SVME.
    unsafe {
        match held {
            Held::ByFlag => asm!("sti", "nop", "cli"),
            Held::ByGif => asm!("stgi", "sti", "nop", "clgi"),
        }
    }
    take()
}

/// Sleeps until a line comes, unless one has already, and returns as [`window`] does. May return
/// without a line: an NMI or SMI ends the sleep too.
pub fn wait(held: Held) -> LineSet {
    if TAKEN.load(Ordering::Relaxed) == 0 {
        // SAFETY: as for `window`. HLT stands in the shadow of STI, with IF = 0 before: an
        // interrupt cannot be taken between the two and leave the CPU asleep.
        unsafe {
            match held {
                Held::ByFlag => asm!("sti", "hlt", "cli"),
                Held::ByGif => asm!("cli", "stgi", "sti", "hlt", "clgi"),
            }
        }
    }
    take()
}

/// Whether a non-maskable interrupt came since this was last asked.
pub fn take_nmi() -> bool {
    NMI.swap(false, Ordering::Relaxed)
}

/// Notes a non-maskable interrupt. What it means, only a person can find out.
pub(super) fn note_nmi() {
    NMI.store(true, Ordering::Relaxed);
}

#[inline]
fn take() -> LineSet {
    LineSet(TAKEN.swap(0, Ordering::Relaxed))
}

/// Whether a gate's vector is a line's.
pub(super) const fn is_vector(vector: u64) -> bool {
    vector.wrapping_sub(FIRST_VECTOR as u64) < LINES
}

/// Notes the line of a gate; `vector` is one that [`is_vector`] accepts.
pub(super) fn taken(vector: u64) {
    let line = (vector - u64::from(FIRST_VECTOR)) as u8;
    // The code that the interrupt came to is in a window or asleep, and so holds no lock.
    let came = serve(&mut *controller(), line);
    TAKEN.fetch_or(came.0, Ordering::Relaxed);
}

/// Notes that the local APIC's timer fired: it stands for the timer's line.
pub(super) fn apic_timer_fired() {
    // SAFETY: the APIC is the VMM's, and the VMM's page tables map it.
    if let Some(mut local) = unsafe { LocalApic::of_this_cpu() } {
        local.end();
    }
    TAKEN.fetch_or(1 << TIMER, Ordering::Relaxed);
}

/// Satisfies the controllers about `line`, and returns it, unless nothing really came.
#[inline]
fn serve(controller: &mut impl IsaLines, line: u8) -> LineSet {
    if controller.is_spurious(line) {
        return LineSet::default();
    }
    if !KEPT.contains(line) {
        controller.hold(line);
    }
    controller.end(line);
    LineSet(1 << line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ports::paper::Chip;

    /// Controllers that have every line in service, or none.
    #[derive(Default)]
    struct Pair {
        in_service: u8,
        mask: [u8; 2],
        ended: Vec<(u16, u8)>,
    }

    impl Chip for Pair {
        fn read(&mut self, port: u16) -> u8 {
            match port {
                0x21 => self.mask[0],
                0xA1 => self.mask[1],
                _ => self.in_service,
            }
        }
        fn write(&mut self, port: u16, value: u8) {
            match port {
                0x21 => self.mask[0] = value,
                0xA1 => self.mask[1] = value,
                _ if value & 0x60 == 0x60 => self.ended.push((port, value & 7)),
                _ => {}
            }
        }
    }

    fn served(line: u8, in_service: u8) -> (LineSet, Pair) {
        // The driver consumes its ports, so the pair is watched through a reference.
        struct Watched<'p>(&'p mut Pair);
        impl Chip for Watched<'_> {
            fn read(&mut self, port: u16) -> u8 {
                self.0.read(port)
            }
            fn write(&mut self, port: u16, value: u8) {
                self.0.write(port, value);
            }
        }
        let mut pair = Pair {
            in_service,
            ..Pair::default()
        };
        let came = serve(&mut Pic::new(Watched(&mut pair)), line);
        (came, pair)
    }

    #[test]
    fn the_vmms_own_lines_stay_open() {
        for line in [TIMER, KEYBOARD, COM1, COM2] {
            let (came, pair) = served(line, 0);
            assert_eq!(came, LineSet(1 << line));
            assert_eq!((pair.mask, pair.ended), ([0, 0], vec![(0x20, line)]));
        }
    }

    #[test]
    fn any_other_line_waits_for_whoever_serves_it() {
        let (came, pair) = served(5, 0);
        assert_eq!(came, LineSet(1 << 5));
        assert_eq!((pair.mask, pair.ended), ([1 << 5, 0], vec![(0x20, 5)]));
        let (came, pair) = served(15, 0x80);
        assert_eq!(came, LineSet(1 << 15));
        assert_eq!(
            (pair.mask, pair.ended),
            ([0, 0x80], vec![(0xA0, 7), (0x20, 2)])
        );
    }

    #[test]
    fn a_spurious_interrupt_is_no_line_and_masks_none() {
        for line in [7, 15] {
            let (came, pair) = served(line, 0);
            assert!(came.is_empty());
            assert_eq!(pair.mask, [0, 0]);
        }
    }

    #[test]
    fn sixteen_vectors_are_lines() {
        let lines: Vec<u64> = (0..256).filter(|vector| is_vector(*vector)).collect();
        assert_eq!(lines, (0x20..0x30).collect::<Vec<_>>());
    }

    #[test]
    fn a_set_lists_its_lines() {
        let set = LineSet(1 << 4 | 1 << 15);
        assert_eq!(set.iter().collect::<Vec<_>>(), [4, 15]);
        assert!(!set.contains(16));
        assert!(LineSet::default().is_empty());
    }
}
