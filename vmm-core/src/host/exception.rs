//! An exception in the VMM itself: a report that a person can read, and the end.
//!
//! Follows APM volume 2, 8.2 (vectors) and 8.4 (error codes).

use core::fmt;

use x86_64::registers::control::Cr2;

use super::backtrace;
use super::ending;
use super::idt::Frame;
use super::paging;
use crate::addr::PAGE;

/// #DF, the double fault.
const DOUBLE_FAULT: u64 = 8;
/// #PF, the page fault.
const PAGE_FAULT: u64 = 14;
/// Words of the stack that a report shows.
const STACK_WORDS: u64 = 16;

const NAMES: [&str; 32] = [
    "#DE divide error",
    "#DB debug",
    "NMI non-maskable interrupt",
    "#BP breakpoint",
    "#OF overflow",
    "#BR bound range",
    "#UD invalid opcode",
    "#NM device not available",
    "#DF double fault",
    "coprocessor segment overrun",
    "#TS invalid TSS",
    "#NP segment not present",
    "#SS stack",
    "#GP general protection",
    "#PF page fault",
    "reserved exception",
    "#MF x87 floating point",
    "#AC alignment check",
    "#MC machine check",
    "#XF SIMD floating point",
    "reserved exception",
    "#CP control protection",
    "reserved exception",
    "reserved exception",
    "reserved exception",
    "reserved exception",
    "reserved exception",
    "reserved exception",
    "#HV hypervisor injection",
    "#VC VMM communication",
    "#SX security",
    "reserved exception",
];

/// Ends the VMM over an exception of its own.
pub fn fatal(frame: &Frame) -> ! {
    let report = Report {
        frame,
        cr2: Cr2::read_raw(),
        word: |at: u64| {
            (at.is_multiple_of(8) && paging::is_mapped(at)).then(|| {
                // SAFETY: the page is mapped, and an aligned word lies within one page.
                unsafe { (at as *const u64).read_volatile() }
            })
        },
    };
    ending::panicked(&report)
}

/// An exception in words. Shown plainly it is one line; with `{:#}`, registers and stack as well.
struct Report<'f, W> {
    frame: &'f Frame,
    cr2: u64,
    /// The word at an address; `None` where none can be read.
    word: W,
}

impl<W: Fn(u64) -> Option<u64>> fmt::Display for Report<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = self.frame;
        match usize::try_from(frame.vector)
            .ok()
            .and_then(|vector| NAMES.get(vector))
        {
            Some(name) => write!(f, "{name}")?,
            None => write!(f, "unexpected interrupt {:#x}", frame.vector)?,
        }
        if frame.vector == PAGE_FAULT {
            write!(f, " at {:#x} ({})", self.cr2, PageFault(frame.error_code))?;
        } else if frame.error_code != 0 {
            write!(f, " (error code {:#x})", frame.error_code)?;
        }
        write!(f, " in the VMM at RIP {:#x}", frame.rip)?;
        if let Some(function) = backtrace::function(frame.rip) {
            write!(f, " ({})", function.name)?;
        }
        if frame.vector == DOUBLE_FAULT && self.cr2.abs_diff(frame.rsp) < PAGE {
            write!(f, ": the stack is full")?;
        }
        if f.alternate() {
            self.registers(f)?;
            self.stack(f)?;
        }
        Ok(())
    }
}

impl<W: Fn(u64) -> Option<u64>> Report<'_, W> {
    fn registers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = self.frame;
        for line in [
            [("RAX", frame.rax), ("RBX", frame.rbx), ("RCX", frame.rcx)],
            [("RDX", frame.rdx), ("RSI", frame.rsi), ("RDI", frame.rdi)],
            [("RBP", frame.rbp), ("RSP", frame.rsp), ("R8 ", frame.r8)],
            [("R9 ", frame.r9), ("R10", frame.r10), ("R11", frame.r11)],
            [("R12", frame.r12), ("R13", frame.r13), ("R14", frame.r14)],
            [("R15", frame.r15), ("RFL", frame.rflags), ("CR2", self.cr2)],
        ] {
            writeln!(f)?;
            for (name, value) in line {
                write!(f, "  {name} {value:016x}")?;
            }
        }
        write!(f, "\n  CS  {:04x}  SS {:04x}", frame.cs, frame.ss)
    }

    fn stack(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for number in 0..STACK_WORDS {
            let Some(at) = self.frame.rsp.checked_add(8 * number) else {
                break;
            };
            let Some(word) = (self.word)(at) else { break };
            if number % 4 == 0 {
                write!(f, "\n  {at:#x}:")?;
            }
            write!(f, " {word:016x}")?;
        }
        Ok(())
    }
}

/// A page fault's error code in words.
struct PageFault(u64);

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bit = |number: u32| self.0 >> number & 1 != 0;
        f.write_str(match (bit(4), bit(1)) {
            (true, _) => "instruction fetch",
            (false, true) => "write",
            (false, false) => "read",
        })?;
        f.write_str(if bit(0) {
            ", protection violation"
        } else {
            ", page not present"
        })?;
        if bit(2) {
            f.write_str(", user mode")?;
        }
        if bit(3) {
            f.write_str(", reserved bit set")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_fault_codes_read_as_words() {
        assert_eq!(PageFault(0).to_string(), "read, page not present");
        assert_eq!(PageFault(3).to_string(), "write, protection violation");
        assert_eq!(
            PageFault(0x11).to_string(),
            "instruction fetch, protection violation"
        );
        assert_eq!(
            PageFault(0xC).to_string(),
            "read, page not present, user mode, reserved bit set"
        );
    }

    #[test]
    fn a_report_names_what_happened_and_where() {
        let frame = Frame {
            vector: 14,
            error_code: 2,
            rip: 0x10_1234,
            ..Frame::default()
        };
        let report = Report {
            frame: &frame,
            cr2: 0xdead_0000,
            word: |_| None,
        };
        assert_eq!(
            report.to_string(),
            "#PF page fault at 0xdead0000 (write, page not present) in the VMM at RIP 0x101234"
        );
        let frame = Frame {
            vector: 13,
            error_code: 0x18,
            rip: 5,
            ..Frame::default()
        };
        let report = Report {
            frame: &frame,
            cr2: 0,
            word: |_| None,
        };
        assert_eq!(
            report.to_string(),
            "#GP general protection (error code 0x18) in the VMM at RIP 0x5"
        );
        let frame = Frame {
            vector: 0x80,
            ..Frame::default()
        };
        let report = Report {
            frame: &frame,
            cr2: 0,
            word: |_| None,
        };
        assert_eq!(
            report.to_string(),
            "unexpected interrupt 0x80 in the VMM at RIP 0x0"
        );
    }

    #[test]
    fn a_full_stack_is_called_so() {
        let overflow = Frame {
            vector: 8,
            rsp: 0x8010,
            ..Frame::default()
        };
        let report = |cr2| {
            Report {
                frame: &overflow,
                cr2,
                word: |_| None,
            }
            .to_string()
        };
        assert_eq!(
            report(0x8008),
            "#DF double fault in the VMM at RIP 0x0: the stack is full"
        );
        assert_eq!(report(0x4000), "#DF double fault in the VMM at RIP 0x0");
    }

    #[test]
    fn a_report_stops_at_the_end_of_the_stack() {
        let frame = Frame {
            rsp: 0x1FE8,
            r15: 0xF15,
            ..Frame::default()
        };
        let word = |at| (at < 0x2000).then_some(at);
        let text = format!(
            "{:#}",
            Report {
                frame: &frame,
                cr2: 0,
                word
            }
        );
        assert!(text.contains("R15 0000000000000f15"), "{text}");
        assert!(
            text.ends_with("  0x1fe8: 0000000000001fe8 0000000000001ff0 0000000000001ff8"),
            "{text}"
        );
        let frame = Frame {
            rsp: u64::MAX - 7,
            ..Frame::default()
        };
        let _ = format!(
            "{:#}",
            Report {
                frame: &frame,
                cr2: 0,
                word: Some
            }
        );
    }
}
