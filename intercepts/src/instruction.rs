//! The instructions that came with SVM (APM volume 3, and volume 2 chapter 15).

use crate::{ExitCode, Feature};

/// An instruction of SVM.
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    /// The mnemonic.
    pub mnemonic: &'static str,
    /// The bytes of the instruction; it has no ModRM operand.
    pub opcode: &'static [u8],
    /// The registers it works with.
    pub operands: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Where it may be executed.
    pub privilege: &'static str,
    /// The exit that it causes, intercepted.
    pub exit: ExitCode,
    /// The CPU feature that brings it.
    pub feature: Feature,
    /// The section of the APM that describes it.
    pub section: &'static str,
}

/// Every instruction of SVM.
pub static INSTRUCTIONS: &[Instruction] = &[
    Instruction {
        operands: "RAX: physical address of the VMCB",
        meaning: "Saves the host's state, loads the guest's from the VMCB and runs it until a #VMEXIT",
        section: "15.5",
        ..svm("VMRUN", &[0x0f, 0x01, 0xd8], ExitCode::Vmrun)
    },
    Instruction {
        operands: "as the VMM and its guests agree",
        meaning: "Calls the VMM: exits if intercepted, else #UD",
        privilege: "any CPL",
        section: "15.18",
        ..svm("VMMCALL", &[0x0f, 0x01, 0xd9], ExitCode::Vmmcall)
    },
    Instruction {
        operands: "RAX: physical address of the VMCB",
        meaning: "Loads FS, GS, TR, LDTR with their hidden parts, and the MSRs of SYSCALL, SYSENTER and SWAPGS",
        section: "15.5.2",
        ..svm("VMLOAD", &[0x0f, 0x01, 0xda], ExitCode::Vmload)
    },
    Instruction {
        operands: "RAX: physical address of the VMCB",
        meaning: "Stores what VMLOAD loads",
        section: "15.5.2",
        ..svm("VMSAVE", &[0x0f, 0x01, 0xdb], ExitCode::Vmsave)
    },
    Instruction {
        privilege: "CPL 0, EFER.SVME = 1 or the feature skinit",
        operands: "none",
        meaning: "Sets the global interrupt flag: interrupts reach the host",
        section: "15.17",
        ..svm("STGI", &[0x0f, 0x01, 0xdc], ExitCode::Stgi)
    },
    Instruction {
        operands: "none",
        meaning: "Clears the global interrupt flag: interrupts, NMI, SMI and INIT are held",
        section: "15.17",
        ..svm("CLGI", &[0x0f, 0x01, 0xdd], ExitCode::Clgi)
    },
    Instruction {
        privilege: "CPL 0, EFER.SVME = 1 or the feature skinit",
        operands: "EAX: physical address of the secure loader",
        meaning: "Starts a loader that a TPM has measured, whatever ran before",
        feature: Feature::SKINIT,
        section: "15.27",
        ..svm("SKINIT", &[0x0f, 0x01, 0xde], ExitCode::Skinit)
    },
    Instruction {
        operands: "RAX: linear address, ECX: ASID",
        meaning: "Drops one page's translation of one ASID from the TLB",
        section: "15.16.2",
        ..svm("INVLPGA", &[0x0f, 0x01, 0xdf], ExitCode::Invlpga)
    },
    Instruction {
        privilege: "CPL 0",
        operands: "RAX: linear address and what is valid, ECX: page count, EDX: ASID and PCID",
        meaning: "Drops translations from the TLBs of all processors",
        feature: Feature::INVLPGB,
        section: "15.9",
        ..svm("INVLPGB", &[0x0f, 0x01, 0xfe], ExitCode::Invlpgb)
    },
    Instruction {
        privilege: "CPL 0",
        operands: "none",
        meaning: "Waits until every processor has done what INVLPGB asked",
        feature: Feature::INVLPGB,
        section: "15.9",
        ..svm("TLBSYNC", &[0x0f, 0x01, 0xff], ExitCode::Tlbsync)
    },
    Instruction {
        operands: "the GHCB",
        meaning: "Leaves an encrypted guest; elsewhere it is VMMCALL",
        privilege: "any CPL",
        feature: Feature::SEV_ES,
        section: "15.35.6",
        ..svm("VMGEXIT", &[0xf3, 0x0f, 0x01, 0xd9], ExitCode::Vmgexit)
    },
];

const fn svm(mnemonic: &'static str, opcode: &'static [u8], exit: ExitCode) -> Instruction {
    Instruction {
        mnemonic,
        opcode,
        operands: "",
        meaning: "",
        privilege: "CPL 0, EFER.SVME = 1",
        exit,
        feature: Feature::SVM,
        section: "",
    }
}
