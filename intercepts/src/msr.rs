//! The MSRs that a policy can name (APM volume 2, appendix A), and the formats of those that are
//! about SVM (APM 15.30).

use crate::Bits;
use crate::bits::bits;
use crate::vmcb::registers;

bits! {
    /// VM_CR (APM 15.30.1).
    pub mod vm_cr: u64;
    DPD = 0, "Debug port off";
    R_INIT = 1, "INIT becomes #SX";
    DIS_A20M = 2, "A20 masking off";
    LOCK = 3, "LOCK and SVMDIS are read-only";
    SVMDIS = 4, "SVM is switched off: EFER.SVME cannot be set";

    /// IGNNE (APM 15.30.2).
    pub mod ignne: u64;
    IGNNE = 0, "State of the IGNNE signal";

    /// SMM_CTL (APM 15.30.3).
    pub mod smm_ctl: u64;
    DISMISS = 0, "Drop a pending SMI";
    ENTER = 1, "Enter system-management mode";
    SMI_CYCLE = 2, "Send the SMI special cycle";
    EXIT = 3, "Leave system-management mode";
    RSM_CYCLE = 4, "Send the RSM special cycle";

    /// VM_HSAVE_PA (APM 15.30.4).
    pub mod vm_hsave_pa: u64;
    PAGE = 51:12, "Physical address of the page, its low 12 bits omitted";

    /// TSC_RATIO (APM 15.30.5).
    pub mod tsc_ratio: u64;
    FRAC = 31:0, "Fraction";
    INT = 39:32, "Whole number";

    /// The AVIC doorbell (APM 15.29.8.2).
    pub mod avic_doorbell: u64;
    APIC_ID = 7:0, "APIC ID of the processor to ring";

    /// VMPAGE_FLUSH (APM 15.34.9).
    pub mod vmpage_flush: u64;
    ASID = 11:0, "ASID of the guest whose page it is";
    VIRTUAL_ADDR = 63:12, "Linear address of the page in the host, its low 12 bits omitted";

    /// GHCB (APM 15.35.7).
    pub mod ghcb: u64;
    GHCB_INFO = 11:0, "What is asked or answered";
    GHCB_DATA = 63:12, "The guest-physical address, or more of the message";

    /// SEV_STATUS (APM 15.34.10).
    pub mod sev_status: u64;
    SEV_ENABLED = 0, "The guest's memory is encrypted";
    SEV_ES_ENABLED = 1, "Its registers are as well";
    SNP_ACTIVE = 2, "Its memory is in the reverse map table";
    SEV_FEATURES = 23:3, "The rest of SEV_FEATURES, from bit 1, as GUEST_SEV_FEATURES names them";
}

/// A model-specific register.
#[derive(Clone, Copy, Debug)]
pub struct Msr {
    /// The name in `vm.toml`.
    pub name: &'static str,
    /// The number in ECX.
    pub number: u32,
    /// Who switches it between host and guests: only then may a policy `pass` it.
    pub carrier: Carrier,
    /// What it is.
    pub meaning: &'static str,
    /// Its format, if it is one of SVM or one that the save area holds.
    pub bits: &'static [Bits],
}

impl Msr {
    /// Whether SVM brought it (APM 15.30), or what is built on SVM.
    pub const fn is_of_svm(&self) -> bool {
        matches!(
            self.number,
            0xc000_0104 | 0xc001_0114
                ..=0xc001_0119 | 0xc001_011b | 0xc001_011e | 0xc001_0130 | 0xc001_0131
        )
    }
}

/// Who saves and restores an MSR when another vCPU or the host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// VMRUN and #VMEXIT.
    Vmrun,
    /// VMLOAD and VMSAVE (APM 15.5.2).
    Vmload,
    /// The VMM's vCPU switch.
    Switch,
    /// Nobody: a guest that wrote it would change it for the host and for other guests.
    Nobody,
}

macro_rules! rows {
    () => {
        &[]
    };
    ($bits:path) => {
        $bits
    };
}

macro_rules! msrs {
    ($($konst:ident $name:literal $number:literal $carrier:ident $meaning:literal $(, $bits:path)?;)*) => {
        impl Msr {
            $(
                #[doc = concat!($meaning, ".")]
                pub const $konst: Msr = Msr {
                    name: $name,
                    number: $number,
                    carrier: Carrier::$carrier,
                    meaning: $meaning,
                    bits: rows!($($bits)?),
                };
            )*
        }

        /// Every MSR with a name.
        pub static MSRS: &[Msr] = &[$(Msr::$konst),*];
    };
}

msrs! {
    TSC "tsc" 0x10 Nobody "Time-stamp counter; a guest's is shifted by TSC_OFFSET";
    APIC_BASE "apic_base" 0x1b Nobody "Local APIC base and enable";
    MTRR_CAP "mtrr_cap" 0xfe Nobody "Memory-type ranges: how many";
    SYSENTER_CS "sysenter_cs" 0x174 Vmload "SYSENTER code segment";
    SYSENTER_ESP "sysenter_esp" 0x175 Vmload "SYSENTER stack pointer";
    SYSENTER_EIP "sysenter_eip" 0x176 Vmload "SYSENTER entry point";
    MCG_CAP "mcg_cap" 0x179 Nobody "Machine check: what there is";
    DEBUGCTL "debugctl" 0x1d9 Nobody "Debug control; DBGCTL in the save area", registers::dbgctl::BITS;
    PAT "pat" 0x277 Nobody "Page attribute table; a nested guest's is G_PAT", registers::pat::BITS;
    MTRR_DEF_TYPE "mtrr_def_type" 0x2ff Nobody "Memory-type ranges: the default";
    EFER "efer" 0xc000_0080 Nobody "Extended features; always virtual, SVME reads 0", registers::efer::BITS;
    STAR "star" 0xc000_0081 Vmload "SYSCALL segments and legacy target";
    LSTAR "lstar" 0xc000_0082 Vmload "SYSCALL target in long mode";
    CSTAR "cstar" 0xc000_0083 Vmload "SYSCALL target in compatibility mode";
    SFMASK "sfmask" 0xc000_0084 Vmload "SYSCALL flag mask";
    FS_BASE "fs_base" 0xc000_0100 Vmload "FS base";
    GS_BASE "gs_base" 0xc000_0101 Vmload "GS base";
    KERNEL_GS_BASE "kernel_gs_base" 0xc000_0102 Vmload "GS base that SWAPGS brings";
    TSC_AUX "tsc_aux" 0xc000_0103 Switch "What RDTSCP returns in ECX";
    TSC_RATIO "tsc_ratio" 0xc000_0104 Nobody "TSC ratio of guests", tsc_ratio::BITS;
    SYSCFG "syscfg" 0xc001_0010 Nobody "System configuration";
    HWCR "hwcr" 0xc001_0015 Nobody "Hardware configuration";
    VM_CR "vm_cr" 0xc001_0114 Nobody "SVM control: SVMDIS, lock", vm_cr::BITS;
    IGNNE "ignne" 0xc001_0115 Nobody "The IGNNE signal of the legacy x87 error interface", ignne::BITS;
    SMM_CTL "smm_ctl" 0xc001_0116 Nobody "Control of system-management mode by a VMM", smm_ctl::BITS;
    VM_HSAVE_PA "vm_hsave_pa" 0xc001_0117 Nobody "Host save area of VMRUN", vm_hsave_pa::BITS;
    SVM_KEY "svm_key" 0xc001_0118 Nobody "Sets the key that clears VM_CR.LOCK, or tries one; reads 0";
    SMM_KEY "smm_key" 0xc001_0119 Nobody "Sets the key that clears HWCR.SmmLock, or tries one; reads 0";
    AVIC_DOORBELL "avic_doorbell" 0xc001_011b Nobody "Rings another processor that runs a guest; reads raise #GP", avic_doorbell::BITS;
    VMPAGE_FLUSH "vmpage_flush" 0xc001_011e Nobody "Writes a page of an encrypted guest back from the caches", vmpage_flush::BITS;
    GHCB "ghcb" 0xc001_0130 Nobody "Where an encrypted guest talks to its VMM", ghcb::BITS;
    SEV_STATUS "sev_status" 0xc001_0131 Nobody "What of the guest is encrypted", sev_status::BITS;
}

/// The MSR of that name.
pub fn msr_by_name(name: &str) -> Option<&'static Msr> {
    MSRS.iter().find(|msr| msr.name == name)
}

/// The MSR of that number, if it has a name here.
pub fn msr_by_number(number: u32) -> Option<&'static Msr> {
    MSRS.iter().find(|msr| msr.number == number)
}
