//! Intercepted exceptions: giving them to the guest as the CPU would have (APM 15.12, 8.2.9).

use intercepts::{Event, EventKind, ExitCode};

use super::{Outcome, debug, delivery};
use crate::vm::vcpu::DR6_BREAKPOINTS;
use crate::vm::{How, Vcpu, Vm};

const DB: u8 = 1;
const BP: u8 = 3;
const OF: u8 = 4;
const DF: u8 = 8;
const PF: u8 = 14;

/// Vectors that push an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX.
const WITH_ERROR: u32 = 1 << 8
    | 1 << 10
    | 1 << 11
    | 1 << 12
    | 1 << 13
    | 1 << 14
    | 1 << 17
    | 1 << 21
    | 1 << 29
    | 1 << 30;

/// How exceptions combine when one occurs while another is being delivered (APM table 8-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Benign,
    Contributory,
    PageFault,
    DoubleFault,
}

impl Class {
    fn of(vector: u8) -> Class {
        match vector {
            0 | 10..=13 | 21 => Class::Contributory,
            PF => Class::PageFault,
            DF => Class::DoubleFault,
            _ => Class::Benign,
        }
    }
}

/// What comes of an exception while an earlier one is being delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Combined {
    /// The later one is delivered; returning from it repeats the earlier.
    Later,
    /// #DF in place of both.
    DoubleFault,
    /// Nothing more can be delivered: shutdown.
    Shutdown,
}

fn combine(earlier: Class, later: Class) -> Combined {
    use Class::{Benign, Contributory, DoubleFault, PageFault};
    match (earlier, later) {
        (DoubleFault, Contributory | PageFault | DoubleFault) => Combined::Shutdown,
        (Contributory, Contributory) | (PageFault, Contributory | PageFault) => {
            Combined::DoubleFault
        }
        (Benign | Contributory | PageFault | DoubleFault, _) => Combined::Later,
    }
}

/// Delivers the exception to the guest, with the double-fault rules that its interception
/// bypassed.
pub fn reflect(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    const FIRST: u64 = ExitCode::ExceptionDe as u64;
    let control = vcpu.control();
    let vector = control.exit_code.wrapping_sub(FIRST) as u8 & 31;
    let (error, address) = (control.exit_info1 as u32, control.exit_info2);
    let delivered = match combined_with_interrupted(vcpu, vector) {
        Combined::Shutdown => return triple_fault(vcpu, vm, vector),
        Combined::DoubleFault => {
            vcpu.inject(Event::exception_with_error(DF, 0));
            DF
        }
        Combined::Later => {
            if vector == PF {
                vcpu.set_cr2(address);
            }
            if vector == DB {
                debug::complete_cause(vcpu, vm);
                vcpu.breakpoints_told |= vcpu.save().dr6 & DR6_BREAKPOINTS;
            }
            if vector == BP || vector == OF {
                // The CPU pushes the address behind INT3 and INTO; EVENTINJ pushes RIP.
                vcpu.advance(&vm.memory, if vector == BP { [0xcc] } else { [0xce] });
            }
            vcpu.inject(if WITH_ERROR >> vector & 1 != 0 {
                Event::exception_with_error(vector, error)
            } else {
                Event::exception(vector)
            });
            vector
        }
    };
    // QUIRK: QEMU 7.2 does not combine an injected exception with one that its delivery raises,
    // as it does with one that it raised itself.
    if Class::of(delivered) != Class::Benign {
        let rip = vcpu.save().rip;
        delivery::watch(vcpu, vm, rip);
    }
    Outcome::Resume
}

/// Gives the guest an exception in place of what it tried: as one that the CPU raises, it makes
/// a double fault of one that is being delivered.
pub(super) fn raise(vcpu: &mut Vcpu, vm: &mut Vm, vector: u8, error: Option<u32>) -> Outcome {
    vcpu.inject(match combined_with_interrupted(vcpu, vector) {
        Combined::Shutdown => return triple_fault(vcpu, vm, vector),
        Combined::DoubleFault => Event::exception_with_error(DF, 0),
        Combined::Later => match error {
            Some(error) => Event::exception_with_error(vector, error),
            None => Event::exception(vector),
        },
    });
    Outcome::Resume
}

/// What `vector` makes of the exception whose delivery it interrupted, if it did.
fn combined_with_interrupted(vcpu: &Vcpu, vector: u8) -> Combined {
    let interrupted = vcpu.control().exit_int_info;
    // QUIRK: Bochs 2.7 leaves EXITINTINFO stale when a software interrupt faults, and after
    // the valid bit was clear once; only exceptions combine, so only those are looked at.
    if interrupted.is_valid() && interrupted.kind() == Some(EventKind::Exception) {
        combine(Class::of(interrupted.vector()), Class::of(vector))
    } else {
        Combined::Later
    }
}

#[cold]
fn triple_fault(vcpu: &Vcpu, vm: &mut Vm, vector: u8) -> Outcome {
    let rip = vcpu.save().rip;
    vm.finish(
        How::Crashed,
        format_args!("triple fault (vector {vector} while delivering #DF) at RIP {rip:#x}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// APM table 8-5, row by row.
    #[test]
    fn two_exceptions_combine_as_the_manual_says() {
        use Class::{Benign, Contributory, DoubleFault, PageFault};
        for later in [Benign, Contributory, PageFault] {
            assert_eq!(combine(Benign, later), Combined::Later);
        }
        assert_eq!(combine(Contributory, Contributory), Combined::DoubleFault);
        assert_eq!(combine(Contributory, PageFault), Combined::Later);
        assert_eq!(combine(PageFault, Contributory), Combined::DoubleFault);
        assert_eq!(combine(PageFault, PageFault), Combined::DoubleFault);
        assert_eq!(combine(DoubleFault, PageFault), Combined::Shutdown);
        assert_eq!(combine(DoubleFault, Benign), Combined::Later);
    }
}
