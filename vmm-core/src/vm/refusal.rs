//! A VMCB that VMRUN refuses, told on the log so that a person sees why: the field and the rule,
//! and all bytes that are not zero, for `cargo vmcb-docs --decode`.

use core::fmt::{self, Display, Formatter};

use intercepts::Event;
use intercepts::vmcb::{Violation, Vmcb, validate};

use crate::error;
use crate::vm::Vcpu;

/// What #VMEXIT writes of the save area; the fields behind it are of features that no guest is
/// given.
const SAVED: core::ops::Range<usize> = 0x400..0x6e8;
/// Bytes a line.
const ROW: usize = 16;

/// What #VMEXIT writes over, as it was when a VM's turn began.
///
/// The CPU reports a refusal by a #VMEXIT, and both emulators store host state with it; QEMU 7.2
/// also what it held of the virtual interrupt. A copy for each of a turn's many entries would cost
/// more than most exits do.
pub struct Entered {
    saved: [u8; SAVED.end - SAVED.start],
    vintr: u64,
    interrupt_shadow: u64,
    event: Event,
}

impl Default for Entered {
    /// Nothing yet.
    fn default() -> Entered {
        Entered {
            saved: [0; SAVED.end - SAVED.start],
            vintr: 0,
            interrupt_shadow: 0,
            event: Event::NONE,
        }
    }
}

impl Entered {
    /// Remembers what is about to run.
    pub fn remember(&mut self, vcpu: &Vcpu) {
        if let Some(saved) = vcpu.vmcb().bytes().get(SAVED) {
            self.saved.copy_from_slice(saved);
        }
        let control = vcpu.control();
        self.vintr = control.vintr;
        self.interrupt_shadow = control.interrupt_shadow;
        self.event = control.event_injection;
    }

    /// The VMCB that was to run: what the CPU writes is as the turn began, the rest as it is.
    fn restored(&self, vcpu: &Vcpu) -> Vmcb {
        let mut bytes = *vcpu.vmcb().bytes();
        if let Some(saved) = bytes.get_mut(SAVED) {
            saved.copy_from_slice(&self.saved);
        }
        let mut vmcb = Vmcb::from_bytes(&bytes);
        vmcb.control.vintr = self.vintr;
        vmcb.control.interrupt_shadow = self.interrupt_shadow;
        vmcb.control.event_injection = self.event;
        vmcb
    }
}

/// Tells that the CPU has refused the VMCB of the VM `name`. `max_physical` is the first physical
/// address beyond the machine's.
#[cold]
pub fn tell_refused(name: &str, vcpu: &Vcpu, entered: &Entered, max_physical: u64) {
    let vmcb = entered.restored(vcpu);
    match validate(&vmcb, max_physical) {
        Err(violation) => error!(
            "{name}: the CPU refused its VMCB: {} ({}; APM 15.5.1)",
            violation.field, violation.rule
        ),
        Ok(()) => error!(
            "{name}: the CPU refused its VMCB, which kept to all of APM 15.5.1 that the VMM knows \
             when the VM's turn began"
        ),
    }
    error!(
        "{name}: what #VMEXIT has written over is shown as the turn began with it: save area, \
         vintr, interrupt_shadow and event_injection"
    );
    dump(name, &vmcb);
}

/// Tells that the VMM will not run the VMCB of the VM `name`, because the CPU would refuse it.
#[cold]
pub fn tell_unfit(name: &str, vmcb: &Vmcb, violation: Violation) {
    error!(
        "{name}: VMRUN would refuse its VMCB: {} ({}; APM 15.5.1)",
        violation.field, violation.rule
    );
    dump(name, vmcb);
}

fn dump(name: &str, vmcb: &Vmcb) {
    error!(
        "{name}: the VMCB follows; `cargo vmcb-docs --decode FILE` reads a file with these lines"
    );
    for (offset, row) in (0..).step_by(ROW).zip(vmcb.bytes().chunks(ROW)) {
        if row.iter().any(|byte| *byte != 0) {
            error!("{name}: vmcb+{offset:03x}:{}", Bytes(row));
        }
    }
}

/// Shows bytes in hexadecimal, a blank before each.
struct Bytes<'b>(&'b [u8]);

impl Display for Bytes<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn what_the_cpu_wrote_over_is_restored() {
        let mut vcpu = Vcpu::new(false);
        vcpu.save_mut().cr0 = 0x8000_0011;
        vcpu.control_mut().guest_asid = 1;
        vcpu.inject_ud();
        let mut entered = Entered::default();
        entered.remember(&vcpu);

        // As QEMU leaves it: host state, EVENTINJ cleared, and its answer.
        vcpu.save_mut().cr0 = 0x8005_0033;
        vcpu.save_mut().spec_ctrl = 1;
        vcpu.control_mut().event_injection = Event::NONE;
        vcpu.control_mut().exit_code = 0xffff_ffff;
        vcpu.control_mut().guest_asid = 0;

        let vmcb = entered.restored(&vcpu);
        assert_eq!((vmcb.save.cr0, vmcb.save.spec_ctrl), (0x8000_0011, 0));
        assert_eq!(vmcb.control.event_injection, Event::exception(6));
        assert_eq!(
            (vmcb.control.guest_asid, vmcb.control.exit_code),
            (0, 0xffff_ffff)
        );
    }

    #[test]
    fn bytes_are_shown_as_the_reader_wants_them() {
        assert_eq!(Bytes(&[0, 0x1f, 0xff]).to_string(), " 00 1f ff");
    }
}
