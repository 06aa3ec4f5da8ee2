//! What CPUID tells a program about its CPU: the features that a policy can name
//! (APM volume 3, appendix D and E).
//!
//! [`crate::FEATURES`] is about the host: what an intercept or a VMCB field needs.

use crate::Register;

/// A feature that CPUID announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuidFeature {
    /// The name in `vm.toml`.
    pub name: &'static str,
    /// Leaf, in EAX.
    pub leaf: u32,
    /// Subleaf, in ECX.
    pub subleaf: u32,
    /// Register of the answer.
    pub register: Register,
    /// Bit number in that register.
    pub bit: u8,
    /// What a system that uses it relies on.
    pub reliance: Reliance,
    /// What it is.
    pub meaning: &'static str,
}

/// What a system that uses a feature relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliance {
    /// Instructions and the registers that every CPU has.
    Plain,
    /// Registers, MSRs, CR bits or memory of its own, which a hypervisor must keep.
    State,
}

macro_rules! cpuid_features {
    ($($name:literal $leaf:literal . $subleaf:literal $register:ident[$bit:literal] $reliance:ident $meaning:literal;)*) => {
        /// Every feature with a name.
        pub static CPUID_FEATURES: &[CpuidFeature] = &[$(
            CpuidFeature {
                name: $name,
                leaf: $leaf,
                subleaf: $subleaf,
                register: Register::$register,
                bit: $bit,
                reliance: Reliance::$reliance,
                meaning: $meaning,
            },
        )*];
    };
}

cpuid_features! {
    "fpu" 1 . 0 Edx[0] Plain "x87 floating point";
    "vme" 1 . 0 Edx[1] State "Virtual-8086 mode extensions";
    "de" 1 . 0 Edx[2] Plain "Debugging extensions: I/O breakpoints";
    "pse" 1 . 0 Edx[3] Plain "4 MiB pages";
    "tsc" 1 . 0 Edx[4] Plain "RDTSC";
    "msr" 1 . 0 Edx[5] Plain "RDMSR and WRMSR";
    "pae" 1 . 0 Edx[6] Plain "Physical addresses beyond 32 bits";
    "mce" 1 . 0 Edx[7] State "Machine-check exception";
    "cx8" 1 . 0 Edx[8] Plain "CMPXCHG8B";
    "apic" 1 . 0 Edx[9] State "Local APIC";
    "sep" 1 . 0 Edx[11] Plain "SYSENTER and SYSEXIT";
    "mtrr" 1 . 0 Edx[12] State "Memory-type range registers";
    "pge" 1 . 0 Edx[13] Plain "Global pages";
    "mca" 1 . 0 Edx[14] State "Machine-check architecture";
    "cmov" 1 . 0 Edx[15] Plain "CMOVcc";
    "pat" 1 . 0 Edx[16] State "Page attribute table";
    "pse36" 1 . 0 Edx[17] State "4 MiB pages beyond 32 bits";
    "clflush" 1 . 0 Edx[19] Plain "CLFLUSH";
    "mmx" 1 . 0 Edx[23] Plain "MMX";
    "fxsr" 1 . 0 Edx[24] Plain "FXSAVE and FXRSTOR";
    "sse" 1 . 0 Edx[25] Plain "SSE";
    "sse2" 1 . 0 Edx[26] Plain "SSE2";
    "htt" 1 . 0 Edx[28] State "Several logical processors";
    "sse3" 1 . 0 Ecx[0] Plain "SSE3";
    "pclmulqdq" 1 . 0 Ecx[1] Plain "PCLMULQDQ";
    "monitor" 1 . 0 Ecx[3] State "MONITOR and MWAIT";
    "ssse3" 1 . 0 Ecx[9] Plain "SSSE3";
    "fma" 1 . 0 Ecx[12] State "FMA3";
    "cx16" 1 . 0 Ecx[13] Plain "CMPXCHG16B";
    "pcid" 1 . 0 Ecx[17] State "Process-context identifiers";
    "sse4.1" 1 . 0 Ecx[19] Plain "SSE4.1";
    "sse4.2" 1 . 0 Ecx[20] Plain "SSE4.2";
    "x2apic" 1 . 0 Ecx[21] State "APIC registers as MSRs";
    "movbe" 1 . 0 Ecx[22] Plain "MOVBE";
    "popcnt" 1 . 0 Ecx[23] Plain "POPCNT";
    "tsc-deadline" 1 . 0 Ecx[24] State "APIC timer with a TSC deadline";
    "aes" 1 . 0 Ecx[25] Plain "AES instructions";
    "xsave" 1 . 0 Ecx[26] State "XSAVE, XGETBV and XSETBV";
    "osxsave" 1 . 0 Ecx[27] State "The system has enabled XSAVE";
    "avx" 1 . 0 Ecx[28] State "AVX";
    "f16c" 1 . 0 Ecx[29] State "Half-precision conversion";
    "rdrand" 1 . 0 Ecx[30] Plain "RDRAND";
    "hypervisor" 1 . 0 Ecx[31] Plain "Set by a hypervisor, never by a CPU";
    "fsgsbase" 7 . 0 Ebx[0] State "RDFSBASE and its kind";
    "bmi1" 7 . 0 Ebx[3] State "Bit manipulation, VEX-encoded";
    "avx2" 7 . 0 Ebx[5] State "AVX2";
    "smep" 7 . 0 Ebx[7] State "No execution of user pages by the supervisor";
    "bmi2" 7 . 0 Ebx[8] State "Bit manipulation, VEX-encoded, second part";
    "erms" 7 . 0 Ebx[9] Plain "Fast REP MOVSB and STOSB";
    "invpcid" 7 . 0 Ebx[10] State "INVPCID";
    "rdseed" 7 . 0 Ebx[18] Plain "RDSEED";
    "adx" 7 . 0 Ebx[19] Plain "ADCX and ADOX";
    "smap" 7 . 0 Ebx[20] State "No access to user pages by the supervisor";
    "clflushopt" 7 . 0 Ebx[23] Plain "CLFLUSHOPT";
    "clwb" 7 . 0 Ebx[24] Plain "CLWB";
    "sha" 7 . 0 Ebx[29] Plain "SHA instructions";
    "umip" 7 . 0 Ecx[2] State "No SGDT and its kind in user mode";
    "pku" 7 . 0 Ecx[3] State "Protection keys";
    "la57" 7 . 0 Ecx[16] State "Five-level paging";
    "rdpid" 7 . 0 Ecx[22] State "RDPID";
    "bus-lock-detect" 7 . 0 Ecx[24] State "#DB on a bus lock";
    "fsrm" 7 . 0 Edx[4] Plain "Fast short REP MOVSB";
    "lahf" 0x8000_0001 . 0 Ecx[0] Plain "LAHF and SAHF in 64-bit mode";
    "cmp-legacy" 0x8000_0001 . 0 Ecx[1] State "Several cores, the older way";
    "svm" 0x8000_0001 . 0 Ecx[2] State "Secure virtual machine mode";
    "extapic" 0x8000_0001 . 0 Ecx[3] State "Extended APIC space";
    "cr8-legacy" 0x8000_0001 . 0 Ecx[4] State "LOCK MOV CR0 is MOV CR8";
    "abm" 0x8000_0001 . 0 Ecx[5] Plain "LZCNT";
    "sse4a" 0x8000_0001 . 0 Ecx[6] Plain "SSE4A";
    "misalignsse" 0x8000_0001 . 0 Ecx[7] Plain "Misaligned SSE mode";
    "3dnowprefetch" 0x8000_0001 . 0 Ecx[8] Plain "PREFETCH and PREFETCHW";
    "osvw" 0x8000_0001 . 0 Ecx[9] State "OS-visible workarounds";
    "ibs" 0x8000_0001 . 0 Ecx[10] State "Instruction-based sampling";
    "xop" 0x8000_0001 . 0 Ecx[11] State "XOP";
    "skinit" 0x8000_0001 . 0 Ecx[12] State "SKINIT and STGI";
    "wdt" 0x8000_0001 . 0 Ecx[13] State "Watchdog timer";
    "lwp" 0x8000_0001 . 0 Ecx[15] State "Lightweight profiling";
    "fma4" 0x8000_0001 . 0 Ecx[16] State "FMA4";
    "tbm" 0x8000_0001 . 0 Ecx[21] State "Trailing bit manipulation";
    "topoext" 0x8000_0001 . 0 Ecx[22] State "Topology leaves";
    "perfctr" 0x8000_0001 . 0 Ecx[23] State "Extended performance counters";
    "monitorx" 0x8000_0001 . 0 Ecx[29] State "MONITORX and MWAITX";
    "syscall" 0x8000_0001 . 0 Edx[11] Plain "SYSCALL and SYSRET";
    "nx" 0x8000_0001 . 0 Edx[20] Plain "Pages that are not executed";
    "mmxext" 0x8000_0001 . 0 Edx[22] Plain "AMD extensions of MMX";
    "ffxsr" 0x8000_0001 . 0 Edx[25] Plain "Fast FXSAVE";
    "1gib-pages" 0x8000_0001 . 0 Edx[26] Plain "1 GiB pages";
    "rdtscp" 0x8000_0001 . 0 Edx[27] Plain "RDTSCP";
    "long-mode" 0x8000_0001 . 0 Edx[29] Plain "64-bit mode";
    "3dnowext" 0x8000_0001 . 0 Edx[30] Plain "Extended 3DNow!";
    "3dnow" 0x8000_0001 . 0 Edx[31] Plain "3DNow!";
    "invariant-tsc" 0x8000_0007 . 0 Edx[8] Plain "The TSC runs at one rate always";
    "clzero" 0x8000_0008 . 0 Ebx[0] Plain "CLZERO";
    "rdpru" 0x8000_0008 . 0 Ebx[4] State "RDPRU";
    "invlpgb" 0x8000_0008 . 0 Ebx[3] State "INVLPGB and TLBSYNC";
    "mcommit" 0x8000_0008 . 0 Ebx[8] State "MCOMMIT";
    "wbnoinvd" 0x8000_0008 . 0 Ebx[9] Plain "WBNOINVD";
    "ibpb" 0x8000_0008 . 0 Ebx[12] State "Indirect branch prediction barrier";
    "ibrs" 0x8000_0008 . 0 Ebx[14] State "Indirect branch restricted speculation";
    "stibp" 0x8000_0008 . 0 Ebx[15] State "Single-thread indirect branch prediction";
    "ssbd" 0x8000_0008 . 0 Ebx[24] State "Speculative store bypass disable";
}

impl CpuidFeature {
    /// The feature of that name.
    pub fn by_name(name: &str) -> Option<&'static CpuidFeature> {
        CPUID_FEATURES.iter().find(|feature| feature.name == name)
    }
}

/// Whether a leaf's answer depends on the subleaf in ECX.
pub const fn has_subleaves(leaf: u32) -> bool {
    matches!(
        leaf,
        0x4 | 0x7 | 0xb | 0xd | 0xf | 0x10 | 0x8000_001d | 0x8000_0020 | 0x8000_0026
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FEATURES;

    #[test]
    fn names_and_places_are_unique() {
        for (index, feature) in CPUID_FEATURES.iter().enumerate() {
            let place = |f: &CpuidFeature| (f.leaf, f.subleaf, f.register, f.bit);
            for other in &CPUID_FEATURES[..index] {
                assert_ne!(other.name, feature.name);
                assert_ne!(place(other), place(feature), "{}", feature.name);
            }
        }
    }

    #[test]
    fn what_both_tables_name_is_in_the_same_place() {
        let mut both = 0;
        for feature in FEATURES {
            let Some(seen) = CpuidFeature::by_name(feature.name) else {
                continue;
            };
            both += 1;
            assert_eq!(
                (seen.leaf, seen.subleaf, seen.register, seen.bit),
                (feature.leaf, feature.subleaf, feature.register, feature.bit),
                "{}",
                feature.name
            );
        }
        assert!(both > 3);
    }
}
