//! The SVM features that CPUID announces (APM volume 3, leaf 8000_000Ah EDX, and others).

/// A capability of the CPU that an intercept or a VMCB field needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Feature {
    /// The name in `vm.toml` and in error texts: `nrip`, `flush-by-asid`.
    pub name: &'static str,
    /// CPUID leaf.
    pub leaf: u32,
    /// CPUID subleaf (ECX).
    pub subleaf: u32,
    /// Register of the answer.
    pub register: Register,
    /// Bit number in that register.
    pub bit: u8,
    /// What it gives.
    pub meaning: &'static str,
}

impl Feature {
    /// The bit of CPUID that announces it, for some features one that announces others too: leaf,
    /// subleaf, register, number.
    pub const fn announcement(&self) -> (u32, u32, Register, u8) {
        (self.leaf, self.subleaf, self.register, self.bit)
    }
}

/// A register of CPUID's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Register {
    /// EAX.
    Eax,
    /// EBX.
    Ebx,
    /// ECX.
    Ecx,
    /// EDX.
    Edx,
}

macro_rules! features {
    ($($konst:ident $name:literal $leaf:literal.$subleaf:literal $register:ident[$bit:literal] $meaning:literal;)*) => {
        impl Feature {
            $(
                #[doc = concat!($meaning, ".")]
                pub const $konst: Feature = Feature {
                    name: $name,
                    leaf: $leaf,
                    subleaf: $subleaf,
                    register: Register::$register,
                    bit: $bit,
                    meaning: $meaning,
                };
            )*

            /// The feature of that name.
            pub fn by_name(name: &str) -> Option<&'static Feature> {
                FEATURES.iter().find(|feature| feature.name == name)
            }
        }

        /// Every feature.
        pub static FEATURES: &[Feature] = &[$(Feature::$konst),*];
    };
}

features! {
    SVM "svm" 0x8000_0001 . 0 Ecx[2] "Secure virtual machine mode";
    NPT "npt" 0x8000_000a . 0 Edx[0] "Nested paging";
    LBR_VIRT "lbr-virt" 0x8000_000a . 0 Edx[1] "Last-branch-record virtualisation";
    SVM_LOCK "svm-lock" 0x8000_000a . 0 Edx[2] "SVM lock, MSR C001_0118h";
    NRIP "nrip" 0x8000_000a . 0 Edx[3] "The next RIP is saved on #VMEXIT";
    TSC_RATE "tsc-rate" 0x8000_000a . 0 Edx[4] "TSC ratio, MSR C000_0104h";
    VMCB_CLEAN "vmcb-clean" 0x8000_000a . 0 Edx[5] "VMCB clean bits";
    FLUSH_BY_ASID "flush-by-asid" 0x8000_000a . 0 Edx[6] "TLB_CONTROL values 3 and 7 flush one ASID";
    DECODE_ASSISTS "decode-assists" 0x8000_000a . 0 Edx[7] "Instruction bytes and operands in the VMCB";
    PMC_VIRT "pmc-virt" 0x8000_000a . 0 Edx[8] "Performance-counter virtualisation";
    PAUSE_FILTER "pause-filter" 0x8000_000a . 0 Edx[10] "PAUSE filter count";
    PAUSE_THRESHOLD "pause-threshold" 0x8000_000a . 0 Edx[12] "PAUSE filter cycle threshold";
    AVIC "avic" 0x8000_000a . 0 Edx[13] "Advanced virtual interrupt controller";
    VIRT_VMSAVE "virt-vmsave" 0x8000_000a . 0 Edx[15] "VMLOAD and VMSAVE of a guest without exit";
    VGIF "vgif" 0x8000_000a . 0 Edx[16] "Virtual global interrupt flag";
    GMET "gmet" 0x8000_000a . 0 Edx[17] "Guest mode execute trap";
    X2AVIC "x2avic" 0x8000_000a . 0 Edx[18] "AVIC in x2APIC mode";
    SSS_CHECK "sss-check" 0x8000_000a . 0 Edx[19] "Nested page tables guard supervisor shadow stacks";
    SPEC_CTRL "spec-ctrl" 0x8000_000a . 0 Edx[20] "SPEC_CTRL virtualisation";
    ROGPT "rogpt" 0x8000_000a . 0 Edx[21] "Guest page tables may be in nested read-only pages";
    HOST_MCE "host-mce-override" 0x8000_000a . 0 Edx[23] "A machine check in a guest exits, whatever CR4.MCE says";
    TLB_ICTL "tlb-ictl" 0x8000_000a . 0 Edx[24] "INVLPGB and TLBSYNC can be intercepted or allowed in guests";
    VNMI "vnmi" 0x8000_000a . 0 Edx[25] "Virtual NMI";
    IBS_VIRT "ibs-virt" 0x8000_000a . 0 Edx[26] "Instruction-based sampling virtualisation";
    EXT_LVT "ext-lvt-fault" 0x8000_000a . 0 Edx[27] "Changed faults of extended APIC accesses under AVIC";
    VMCB_ADDRESS "vmcb-address-check" 0x8000_000a . 0 Edx[28] "VMRUN, VMLOAD and VMSAVE check the address themselves";
    BUS_LOCK_THRESHOLD "bus-lock-threshold" 0x8000_000a . 0 Edx[29] "Bus lock threshold";
    IDLE_HLT "idle-hlt" 0x8000_000a . 0 Edx[30] "HLT intercept that spares a pending virtual interrupt";
    RDTSCP "rdtscp" 0x8000_0001 . 0 Edx[27] "RDTSCP";
    MONITOR "monitor" 1 . 0 Ecx[3] "MONITOR and MWAIT";
    XSAVE "xsave" 1 . 0 Ecx[26] "XSAVE, XGETBV and XSETBV";
    INVPCID "invpcid" 7 . 0 Ebx[10] "INVPCID";
    RDPRU "rdpru" 0x8000_0008 . 0 Ebx[4] "RDPRU";
    INVLPGB "invlpgb" 0x8000_0008 . 0 Ebx[3] "INVLPGB and TLBSYNC";
    MCOMMIT "mcommit" 0x8000_0008 . 0 Ebx[8] "MCOMMIT";
    SKINIT "skinit" 0x8000_0001 . 0 Ecx[12] "SKINIT and STGI without SVM enabled";
    WRITE_TRAPS "write-traps" 0x8000_001f . 0 Eax[3] "SEV-ES, with which EFER and CR write traps came";
    X2AVIC_EXT "x2avic-ext" 0x8000_000a . 0 Ecx[6] "4,096 virtual CPUs under AVIC in x2APIC mode";
    ERAPS "eraps" 0x8000_0021 . 0 Eax[24] "Return-address predictor that a VMM controls for its guests";
    LBR_STACK "lbr-stack" 0x8000_0022 . 0 Eax[1] "A stack of last branches";
    SEV "sev" 0x8000_001f . 0 Eax[1] "Encrypted memory";
    SEV_ES "sev-es" 0x8000_001f . 0 Eax[3] "Encrypted state";
    SEV_SNP "sev-snp" 0x8000_001f . 0 Eax[4] "Encrypted memory in the reverse map table";
    VTE "vte" 0x8000_001f . 0 Eax[16] "Virtual transparent encryption";
    SMT_PROTECTION "smt-protection" 0x8000_001f . 0 Eax[25] "Encrypted guests that run only beside an idle thread";
    SECURE_AVIC "secure-avic" 0x8000_001f . 0 Eax[26] "AVIC of an encrypted guest, guarded from its host";
    ALLOWED_SEV_FEATURES "allowed-sev-features" 0x8000_001f . 0 Eax[27] "A mask of what encrypted guests may use";
}
