//! A virtual CPU: its VMCB, the registers that VMRUN leaves to software, and the few
//! things every exit handler does to it.
//!
//! RAX, RSP, RIP and RFLAGS live in the VMCB's save area; the other GPRs live here and the
//! world switch (`svm::switch`) loads and stores them. APM 15.5.

mod code;
mod interrupt;

use core::mem::offset_of;
use intercepts::vmcb::registers::{dr6, rflags};

use intercepts::Event;
use intercepts::vmcb::control::{clean, shadow, tlb as tlb_control};
use intercepts::vmcb::{Control, Save, Vmcb};

use crate::addr::Hpa;
use crate::exits::delivery::Delivery;
use crate::exits::step::Step;
use crate::svm::instructions;
use crate::svm::tlb::{self, Flush};
use crate::vm::walk;

use code::CodePage;

/// The general-purpose registers that the VMCB does not hold.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Gprs {
    /// RBX.
    pub rbx: u64,
    /// RCX.
    pub rcx: u64,
    /// RDX.
    pub rdx: u64,
    /// RSI.
    pub rsi: u64,
    /// RDI.
    pub rdi: u64,
    /// RBP.
    pub rbp: u64,
    /// R8 to R15.
    pub r8_r15: [u64; 8],
}

/// RFLAGS.IF.
pub const RFLAGS_IF: u64 = rflags::IF;
/// RFLAGS.DF.
pub const RFLAGS_DF: u64 = rflags::DF;
/// RFLAGS.TF.
pub const RFLAGS_TF: u64 = rflags::TF;
/// RFLAGS.RF.
pub const RFLAGS_RF: u64 = rflags::RF;
/// RFLAGS.VM.
pub const RFLAGS_VM: u64 = rflags::VM;

/// DR6.B0 to B3: #DB by the breakpoints.
pub const DR6_BREAKPOINTS: u64 = 0xf;
/// DR6.BS: #DB by single-stepping.
pub const DR6_BS: u64 = dr6::BS;

/// Descriptor attributes as the VMCB packs them.
const ATTRIBUTE_L: u16 = 1 << 9;
const ATTRIBUTE_DB: u16 = 1 << 10;

/// The clean bits of what is in the control area, and in the save area (APM 15.15.3). RIP, RSP,
/// RAX and RFLAGS, EVENTINJ, TLB_CONTROL and the interrupt shadow have none: the CPU reads them at
/// each VMRUN.
const CONTROL_GROUPS: u32 =
    clean::I | clean::IOPM | clean::ASID | clean::TPR | clean::NP | clean::LBR | clean::AVIC;
const SAVE_GROUPS: u32 = clean::NP
    | clean::CRX
    | clean::DRX
    | clean::DT
    | clean::SEG
    | clean::CR2
    | clean::LBR
    | clean::CET;

/// All of them: what the world switch sets after #VMEXIT.
pub const CLEAN: u32 = CONTROL_GROUPS | SAVE_GROUPS;
/// Where in a vCPU they are.
pub const CLEAN_OFFSET: usize =
    offset_of!(Vcpu, vmcb) + offset_of!(Vmcb, control) + offset_of!(Control, clean);

/// A virtual CPU.
///
/// The VMCB comes first: the VMM's memory is mapped one to one, so the address of a vCPU
/// that runs is also the physical address that VMRUN wants.
#[repr(C)]
pub struct Vcpu {
    vmcb: Vmcb,
    /// The GPRs that the world switch carries.
    pub gprs: Gprs,
    /// Whether the CPU saves the next RIP on #VMEXIT.
    has_nrip: bool,
    /// The page that the last instruction was fetched from.
    code_page: CodePage,
    /// Whether the CPU can flush one ASID.
    pub flush_by_asid: bool,
    /// Whether the CPU has clean bits.
    pub has_clean_bits: bool,
    /// Whether the CPU tells of the intercepted instruction.
    pub has_decode_assists: bool,
    /// Whether interrupts go into the guest by V_IRQ, and not by EVENTINJ.
    pub interrupts_by_v_irq: bool,
    /// The RIP of the HLT that the guest is about to execute in an interrupt shadow.
    halts_at: Option<u64>,
    /// The instruction that the guest is being stepped over, if it is.
    pub step: Option<Step>,
    /// The event whose delivery is watched, if one is.
    pub delivery: Option<Delivery>,
    /// DR6.B0 to B3 as the guest was told of them by #DB, since it last armed breakpoints.
    pub breakpoints_told: u64,
}

/// The operand and address size that CS implies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeSize {
    /// Real mode, VM86, and 16-bit protected mode.
    Bits16,
    /// 32-bit protected and compatibility mode.
    Bits32,
    /// 64-bit mode.
    Bits64,
}

impl Vcpu {
    /// Where its VMCB is in it.
    pub(crate) const VMCB: usize = core::mem::offset_of!(Vcpu, vmcb);

    /// A vCPU with an empty VMCB. `has_nrip`: the CPU offers nRIP.
    pub fn new(has_nrip: bool) -> Self {
        Vcpu {
            vmcb: Vmcb::zeroed(),
            gprs: Gprs::default(),
            has_nrip,
            code_page: CodePage::NONE,
            flush_by_asid: false,
            has_clean_bits: false,
            has_decode_assists: false,
            interrupts_by_v_irq: false,
            halts_at: None,
            step: None,
            delivery: None,
            breakpoints_told: 0,
        }
    }

    /// The VMCB.
    #[inline(always)]
    pub fn vmcb(&self) -> &Vmcb {
        &self.vmcb
    }

    /// The words of the VMCB, to be as a journal says.
    #[cfg(feature = "journal")]
    pub(crate) fn vmcb_words(&mut self) -> &mut [u64; 512] {
        self.vmcb.words_mut()
    }

    /// The physical address of the VMCB, for VMLOAD and VMSAVE.
    pub fn vmcb_pa(&self) -> Hpa {
        Hpa(&raw const self.vmcb as u64)
    }

    /// The control area.
    #[inline(always)]
    pub fn control(&self) -> &Control {
        &self.vmcb.control
    }

    /// The control area, to change: the CPU reads all of it again.
    #[inline(always)]
    pub fn control_mut(&mut self) -> &mut Control {
        self.vmcb.control.clean &= !CONTROL_GROUPS;
        &mut self.vmcb.control
    }

    /// The save area.
    #[inline(always)]
    pub fn save(&self) -> &Save {
        &self.vmcb.save
    }

    /// The save area, to change: the CPU reads all of it again.
    #[inline(always)]
    pub fn save_mut(&mut self) -> &mut Save {
        self.vmcb.control.clean &= !SAVE_GROUPS;
        &mut self.vmcb.save
    }

    /// Sets CR2 of the vCPU, which is loaded.
    pub fn set_cr2(&mut self, value: u64) {
        self.save_mut().cr2 = value;
        instructions::load_cr2(value);
    }

    /// Sets RAX, which the CPU reads each time.
    #[inline(always)]
    pub fn set_rax(&mut self, value: u64) {
        self.vmcb.save.rax = value;
    }

    /// GPR `number` in instruction encoding order (0 RAX, 4 RSP, 15 R15).
    pub fn gpr(&self, number: u8) -> u64 {
        let gprs = &self.gprs;
        match number & 15 {
            0 => self.save().rax,
            1 => gprs.rcx,
            2 => gprs.rdx,
            3 => gprs.rbx,
            4 => self.save().rsp,
            5 => gprs.rbp,
            6 => gprs.rsi,
            7 => gprs.rdi,
            high => gprs.r8_r15[usize::from(high & 7)],
        }
    }

    /// Sets GPR `number`, all 64 bits of it.
    pub fn set_gpr(&mut self, number: u8, value: u64) {
        let gprs = &mut self.gprs;
        *match number & 15 {
            0 => &mut self.vmcb.save.rax,
            1 => &mut gprs.rcx,
            2 => &mut gprs.rdx,
            3 => &mut gprs.rbx,
            4 => &mut self.vmcb.save.rsp,
            5 => &mut gprs.rbp,
            6 => &mut gprs.rsi,
            7 => &mut gprs.rdi,
            high => &mut gprs.r8_r15[usize::from(high & 7)],
        } = value;
    }

    /// Whether segments are protected: neither real mode nor VM86.
    pub fn is_protected(&self) -> bool {
        let save = self.save();
        save.cr0 & 1 != 0 && save.rflags & RFLAGS_VM == 0
    }

    /// The code size that the guest runs in.
    pub fn code_size(&self) -> CodeSize {
        let save = self.save();
        if !self.is_protected() {
            CodeSize::Bits16
        } else if save.efer & walk::EFER_LMA != 0 && save.cs.attributes & ATTRIBUTE_L != 0 {
            CodeSize::Bits64
        } else if save.cs.attributes & ATTRIBUTE_DB != 0 {
            CodeSize::Bits32
        } else {
            CodeSize::Bits16
        }
    }

    /// Makes `rip` the next instruction: the current one has completed.
    #[inline(always)]
    pub fn complete_at(&mut self, rip: u64) {
        self.vmcb.save.rip = rip;
        self.vmcb.control.interrupt_shadow &= !shadow::INTERRUPT_SHADOW;
        if self.vmcb.save.rflags & RFLAGS_TF != 0 {
            self.single_stepped();
        }
    }

    /// As [`Vcpu::complete_at`], and RF ends as well (APM 3.1.6): for what is off the hot path.
    pub fn complete_with_rf(&mut self, rip: u64) {
        self.vmcb.save.rflags &= !RFLAGS_RF;
        self.complete_at(rip);
    }

    /// The guest was single-stepping: the completed instruction ends in #DB (APM 13.1.4).
    #[cold]
    fn single_stepped(&mut self) {
        self.save_mut().dr6 |= DR6_BS;
        self.inject(Event::exception(1));
    }

    /// Has the next VMRUN flush the guest's TLB.
    pub fn flush_tlb(&mut self, flush: Flush) {
        self.vmcb.control.tlb_control = tlb::control(flush, self.flush_by_asid);
    }

    /// Has the next VMRUN flush nothing.
    #[inline(always)]
    pub fn flush_no_tlb(&mut self) {
        self.vmcb.control.tlb_control = tlb_control::NOTHING;
    }

    /// Queues `event` for the next VMRUN.
    #[inline(always)]
    pub fn inject(&mut self, event: Event) {
        self.vmcb.control.event_injection = event;
    }

    /// Queues #UD: the instruction does not exist for this guest.
    pub fn inject_ud(&mut self) {
        self.inject(Event::exception(6));
    }

    /// Queues #GP(0): the guest has no right to do this.
    pub fn inject_gp(&mut self) {
        self.inject(Event::exception_with_error(13, 0));
    }
}
