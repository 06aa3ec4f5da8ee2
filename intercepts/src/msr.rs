//! The MSRs that a policy can name (APM volume 2, appendix A).

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

macro_rules! msrs {
    ($($name:literal $number:literal $carrier:ident $meaning:literal;)*) => {
        /// Every MSR with a name.
        pub static MSRS: &[Msr] = &[
            $(Msr { name: $name, number: $number, carrier: Carrier::$carrier, meaning: $meaning },)*
        ];
    };
}

msrs! {
    "tsc" 0x10 Nobody "Time-stamp counter; a guest's is shifted by TSC_OFFSET";
    "apic_base" 0x1b Nobody "Local APIC base and enable";
    "mtrr_cap" 0xfe Nobody "Memory-type ranges: how many";
    "sysenter_cs" 0x174 Vmload "SYSENTER code segment";
    "sysenter_esp" 0x175 Vmload "SYSENTER stack pointer";
    "sysenter_eip" 0x176 Vmload "SYSENTER entry point";
    "mcg_cap" 0x179 Nobody "Machine check: what there is";
    "debugctl" 0x1d9 Nobody "Debug control; DBGCTL in the save area";
    "pat" 0x277 Nobody "Page attribute table; a nested guest's is G_PAT";
    "mtrr_def_type" 0x2ff Nobody "Memory-type ranges: the default";
    "efer" 0xc000_0080 Nobody "Extended features; always virtual, SVME reads 0";
    "star" 0xc000_0081 Vmload "SYSCALL segments and legacy target";
    "lstar" 0xc000_0082 Vmload "SYSCALL target in long mode";
    "cstar" 0xc000_0083 Vmload "SYSCALL target in compatibility mode";
    "sfmask" 0xc000_0084 Vmload "SYSCALL flag mask";
    "fs_base" 0xc000_0100 Vmload "FS base";
    "gs_base" 0xc000_0101 Vmload "GS base";
    "kernel_gs_base" 0xc000_0102 Vmload "GS base that SWAPGS brings";
    "tsc_aux" 0xc000_0103 Switch "What RDTSCP returns in ECX";
    "tsc_ratio" 0xc000_0104 Nobody "TSC ratio of guests";
    "syscfg" 0xc001_0010 Nobody "System configuration";
    "hwcr" 0xc001_0015 Nobody "Hardware configuration";
    "vm_cr" 0xc001_0114 Nobody "SVM control: SVMDIS, lock";
    "vm_hsave_pa" 0xc001_0117 Nobody "Host save area of VMRUN";
}

/// The MSR of that name.
pub fn msr_by_name(name: &str) -> Option<&'static Msr> {
    MSRS.iter().find(|msr| msr.name == name)
}

/// The MSR of that number, if it has a name here.
pub fn msr_by_number(number: u32) -> Option<&'static Msr> {
    MSRS.iter().find(|msr| msr.number == number)
}
