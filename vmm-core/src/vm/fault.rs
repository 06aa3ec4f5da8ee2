//! What an instruction that the VMM performs raises in place of its effect (APM 8.2).

use intercepts::Event;

use crate::vm::Vcpu;
use crate::vm::walk::PageFault;

/// An exception of class fault: RIP stays at the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// #DB: the debug registers are protected.
    Debug,
    /// #UD.
    UndefinedOpcode,
    /// #SS(0).
    Stack,
    /// #GP(0).
    Protection,
    /// #PF.
    Page(PageFault),
}

impl From<PageFault> for Fault {
    fn from(fault: PageFault) -> Fault {
        Fault::Page(fault)
    }
}

impl Vcpu {
    /// Queues the exception; CR2 is set as the CPU would have, DR6 is the caller's.
    pub fn raise(&mut self, fault: Fault) {
        let event = match fault {
            Fault::Debug => Event::exception(1),
            Fault::UndefinedOpcode => Event::exception(6),
            Fault::Stack => Event::exception_with_error(12, 0),
            Fault::Protection => Event::exception_with_error(13, 0),
            Fault::Page(PageFault { linear, error }) => {
                self.set_cr2(linear);
                Event::exception_with_error(14, error)
            }
        };
        self.inject(event);
    }
}
