//! Which paging a guest believes in, and what the CPU has in its place (APM 5.1, 15.5.1).
//!
//! The CPU always pages, in the long format: with PAE tables for a guest that is not in long
//! mode (unpaged ones too, by paged real mode where PE is 0, APM 15.19), else with four levels.
//! CR0.WP is on, so that a page that the VMM keeps read-only is so for the supervisor.

use intercepts::vmcb::Save;
use intercepts::vmcb::registers::{cr0, cr4, efer};

use crate::vm::walk::EFER_LMA;

const CR0_TS: u64 = cr0::TS;
const CR0_WP: u64 = cr0::WP;
const CR0_PG: u64 = cr0::PG;
const CR4_PSE: u64 = cr4::PSE;
const CR4_PAE: u64 = cr4::PAE;
const EFER_LME: u64 = efer::LME;
const EFER_NXE: u64 = efer::NXE;

/// How a guest translates addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Not at all.
    Unpaged,
    /// By 32-bit tables of two levels.
    TwoLevel,
    /// By 64-bit tables of three levels.
    Pae,
    /// By 64-bit tables of four levels.
    Long,
}

/// Everything that decides how a guest's tables are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The tables.
    pub kind: Kind,
    /// CR4.PSE: tables of two levels map 4 MiB pages.
    pub large: bool,
    /// EFER.NXE.
    pub no_execute: bool,
    /// CR0.WP.
    pub write_protect: bool,
}

/// The registers that shadow paging keeps twice: as the guest has them, and as the CPU has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// CR0.
    pub cr0: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// EFER.
    pub efer: u64,
}

impl Registers {
    /// Those in a save area.
    #[inline(always)]
    pub fn of(save: &Save) -> Registers {
        Registers {
            cr0: save.cr0,
            cr3: save.cr3,
            cr4: save.cr4,
            efer: save.efer,
        }
    }

    /// Puts them into a save area.
    #[inline(always)]
    pub fn put(&self, save: &mut Save) {
        save.cr0 = self.cr0;
        save.cr3 = self.cr3;
        save.cr4 = self.cr4;
        save.efer = self.efer;
    }

    /// How a guest with these registers translates.
    pub fn mode(&self) -> Mode {
        let kind = if self.cr0 & CR0_PG == 0 {
            Kind::Unpaged
        } else if self.cr4 & CR4_PAE == 0 {
            Kind::TwoLevel
        } else if self.efer & EFER_LMA == 0 {
            Kind::Pae
        } else {
            Kind::Long
        };
        let has_64_bit_entries = matches!(kind, Kind::Pae | Kind::Long);
        Mode {
            kind,
            large: kind == Kind::TwoLevel && self.cr4 & CR4_PSE != 0,
            no_execute: has_64_bit_entries && self.efer & EFER_NXE != 0,
            write_protect: kind == Kind::Unpaged || self.cr0 & CR0_WP != 0,
        }
    }

    /// What the CPU has while a guest with these registers runs on the tables at `root`.
    pub fn hardware(&self, root: u64) -> Registers {
        // LME without paging is a promise that the guest has not redeemed.
        let long = match self.mode().kind {
            Kind::Long => self.efer,
            Kind::Unpaged | Kind::TwoLevel | Kind::Pae => self.efer & !(EFER_LME | EFER_LMA),
        };
        Registers {
            cr0: self.cr0 | CR0_PG | CR0_WP,
            cr3: root,
            cr4: self.cr4 | CR4_PAE,
            efer: long | EFER_NXE,
        }
    }

    /// Takes over what the CPU changes by itself: a task switch sets CR0.TS.
    #[inline(always)]
    pub fn follow(&mut self, hardware: &Registers) {
        self.cr0 = self.cr0 & !CR0_TS | hardware.cr0 & CR0_TS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(cr0: u64, cr4: u64, efer: u64) -> Registers {
        Registers {
            cr0,
            cr3: 0x5000,
            cr4,
            efer: efer | 1 << 12,
        }
    }

    #[test]
    fn the_cpu_pages_whatever_the_guest_does() {
        for guest in [
            registers(0x10, 0, 0),
            registers(0x11, 0, EFER_LME),
            registers(CR0_PG | 0x11, CR4_PSE, 0),
            registers(CR0_PG | 0x11, CR4_PAE, EFER_NXE),
        ] {
            let cpu = guest.hardware(0x1000);
            assert_eq!(cpu.cr0 & (CR0_PG | CR0_WP), CR0_PG | CR0_WP);
            assert_eq!((cpu.cr3, cpu.cr4 & CR4_PAE), (0x1000, CR4_PAE));
            assert_eq!(cpu.efer & (EFER_LME | EFER_LMA), 0, "{guest:x?}");
        }
        let long = registers(CR0_PG | 1, CR4_PAE, EFER_LME | EFER_LMA).hardware(0x1000);
        assert_eq!(long.efer & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
    }

    #[test]
    fn ts_is_the_cpus_and_the_rest_of_cr0_the_guests() {
        let mut guest = registers(0x11, 0, 0);
        let mut cpu = guest.hardware(0);
        cpu.cr0 |= CR0_TS;
        guest.follow(&cpu);
        assert_eq!(guest.cr0, 0x19);
        guest.follow(&guest.hardware(0));
        assert_eq!(guest.cr0, 0x19);
    }
}
