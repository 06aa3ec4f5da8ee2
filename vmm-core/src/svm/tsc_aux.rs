//! TSC_AUX, which RDTSCP reads into ECX: neither VMRUN nor VMLOAD carries it (APM 15.5.2), so a
//! change of vCPU does.

use intercepts::Msr;

use super::instructions::{rdmsr, wrmsr};

const TSC_AUX: u32 = Msr::TSC_AUX.number;

/// The register of a vCPU that is not in the CPU.
#[derive(Clone, Copy, Debug)]
pub struct TscAux {
    exists: bool,
    value: u64,
}

impl TscAux {
    /// Zero. `exists`: the CPU has the register (CPUID, RDTSCP).
    pub fn new(exists: bool) -> Self {
        TscAux { exists, value: 0 }
    }

    /// Puts it into the CPU.
    pub fn load(&self) {
        if self.exists {
            wrmsr(TSC_AUX, self.value);
        }
    }

    /// Takes it from the CPU.
    pub fn store(&mut self) {
        if self.exists {
            self.value = rdmsr(TSC_AUX);
        }
    }
}
