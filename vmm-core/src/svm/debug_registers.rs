//! DR0 to DR3: neither VMRUN nor VMLOAD carries them (APM 15.5.1), so a change of vCPU does.

use core::arch::asm;

use crate::journal;

/// The breakpoint addresses of a vCPU that is not in the CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct DebugRegisters([u64; 4]);

impl DebugRegisters {
    /// Puts them into the CPU. Nothing is armed by that: DR7 is in the VMCB.
    pub fn load(&self) {
        let [dr0, dr1, dr2, dr3] = self.0;
        // SAFETY: the host's DR7 arms none of the four, so any address is harmless.
        unsafe {
            asm!("mov dr0, {}", "mov dr1, {}", "mov dr2, {}", "mov dr3, {}",
                 in(reg) dr0, in(reg) dr1, in(reg) dr2, in(reg) dr3,
                 options(nomem, nostack, preserves_flags));
        }
    }

    /// Takes them from the CPU.
    pub fn store(&mut self) {
        let [dr0, dr1, dr2, dr3] = &mut self.0;
        // SAFETY: reading debug registers in ring 0 changes nothing.
        unsafe {
            asm!(
                "mov {}, dr0",
                "mov {}, dr1",
                "mov {}, dr2",
                "mov {}, dr3",
                out(reg) * dr0,
                out(reg) * dr1,
                out(reg) * dr2,
                out(reg) * dr3,
                options(nomem, nostack, preserves_flags)
            );
        }
    }

    /// What DR0 to DR3, by number, holds for the vCPU that is in the CPU.
    pub fn of_cpu(number: u8) -> u64 {
        journal::breakpoint(number, || {
            let mut registers = DebugRegisters::default();
            registers.store();
            registers.0[usize::from(number & 3)]
        })
    }
}
