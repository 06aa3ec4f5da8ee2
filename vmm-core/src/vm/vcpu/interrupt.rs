//! A vCPU's interrupts: whether it can take one, how it gets it, and the bell that rings when it
//! can (APM 15.20, 15.21).

use intercepts::vmcb::control::{clean, shadow, vintr};
use intercepts::vmcb::{intercepts, set_intercept};
use intercepts::{Event, ExitCode};

use super::{RFLAGS_IF, Vcpu};
use crate::decode;
use crate::vm::memory::GuestMemory;

/// The part of V_TPR that CR8 is.
const CR8: u64 = 0xf;

impl Vcpu {
    /// Whether the guest would take an interrupt before its next instruction.
    #[inline(always)]
    pub fn can_take_interrupt(&self) -> bool {
        self.save().rflags & RFLAGS_IF != 0
            && !self.in_shadow()
            && !self.control().event_injection.is_valid()
            && self.interrupt_under_way().is_none()
    }

    /// Gives the guest an interrupt, which it can take now.
    pub fn inject_interrupt(&mut self, vector: u8) {
        if !self.interrupts_by_v_irq {
            return self.inject(Event::interrupt(vector));
        }
        let control = self.control_mut();
        set_intercept(control, ExitCode::Vintr, false);
        control.vintr &= !vintr::V_INTR_VECTOR;
        control.vintr |= u64::from(vector) << vintr::V_INTR_VECTOR.trailing_zeros();
        control.vintr |= vintr::V_IRQ | vintr::V_INTR_PRIO | vintr::V_IGN_TPR;
    }

    /// The vector of an interrupt that goes by V_IRQ and that the guest has not taken yet: the
    /// host's own come first.
    #[inline]
    pub fn interrupt_under_way(&self) -> Option<u8> {
        let field = self.control().vintr;
        let is_under_way = self.interrupts_by_v_irq
            && field & vintr::V_IRQ != 0
            && !intercepts(self.vmcb(), ExitCode::Vintr);
        is_under_way.then_some(
            ((field & vintr::V_INTR_VECTOR) >> vintr::V_INTR_VECTOR.trailing_zeros()) as u8,
        )
    }

    /// Whether the guest is in an interrupt shadow (after STI, MOV SS, POP SS).
    #[inline(always)]
    pub fn in_shadow(&self) -> bool {
        self.control().interrupt_shadow & shadow::INTERRUPT_SHADOW != 0 || self.halts_in_shadow()
    }

    /// Whether HLT comes next, and will tell by its exit that the shadow is over.
    #[inline]
    pub fn halts_in_shadow(&self) -> bool {
        self.halts_at == Some(self.save().rip)
    }

    /// Has an interrupt shadow in which the host interrupts last until the guest has executed HLT,
    /// if it is at one.
    ///
    /// QUIRK: QEMU 7.2 forgets the shadow on VMRUN. An interrupt between STI and HLT would not wake
    /// the guest that then sleeps.
    pub fn keep_shadow(&mut self, memory: &GuestMemory) {
        if self.control().interrupt_shadow & shadow::INTERRUPT_SHADOW == 0 {
            return;
        }
        let mut bytes = [0; decode::LONGEST];
        let is_hlt = self.fetch(memory, &mut bytes) != 0 && bytes[0] == 0xf4;
        let tells = is_hlt && intercepts(self.vmcb(), ExitCode::Hlt);
        self.halts_at = tells.then_some(self.save().rip);
    }

    /// Asks for VMEXIT_VINTR as soon as the guest can take an interrupt. This virtual interrupt is
    /// only a bell: it is never delivered.
    #[inline]
    pub fn ring_bell(&mut self) {
        self.make_it_a_bell();
        self.vmcb.control.vintr |= vintr::V_IRQ | vintr::V_INTR_PRIO | vintr::V_IGN_TPR;
    }

    /// The same, but only once CR8 is below `class`, 1 to 15.
    pub fn ring_bell_above(&mut self, class: u8) {
        self.make_it_a_bell();
        let vintr = &mut self.vmcb.control.vintr;
        *vintr &= !(vintr::V_INTR_PRIO | vintr::V_IGN_TPR);
        *vintr |= vintr::V_IRQ | u64::from(class & 15) << vintr::V_INTR_PRIO.trailing_zeros();
    }

    /// V_IRQ is to be changed, and to end in VMEXIT_VINTR.
    #[inline]
    fn make_it_a_bell(&mut self) {
        self.vmcb.control.clean &= !clean::TPR;
        if self.interrupts_by_v_irq {
            set_intercept(self.control_mut(), ExitCode::Vintr, true);
        }
    }

    /// CR8, the guest's task priority (APM 15.21.2).
    #[inline]
    pub fn cr8(&self) -> u8 {
        (self.vmcb.control.vintr & CR8) as u8
    }

    /// Sets CR8, of which there are four bits.
    pub fn set_cr8(&mut self, value: u8) {
        if value != self.cr8() {
            self.vmcb.control.clean &= !clean::TPR;
            let vintr = &mut self.vmcb.control.vintr;
            *vintr = *vintr & !vintr::V_TPR | u64::from(value) & CR8;
        }
    }

    /// Takes back [`Vcpu::ring_bell`].
    #[inline]
    pub fn silence_bell(&mut self) {
        self.vmcb.control.clean &= !clean::TPR;
        self.vmcb.control.vintr &= !vintr::V_IRQ;
    }
}
