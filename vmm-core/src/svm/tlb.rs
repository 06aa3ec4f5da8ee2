//! What a guest's TLB loses when the VMM changes a control register for it (APM 5.5, 15.16).
//!
//! The guest's own MOV to CR0, CR3 or CR4 flushes its TLB; one that the VMM makes in its place
//! flushes nothing until VMRUN is told to by TLB_CONTROL.

use intercepts::vmcb::control::tlb;
use intercepts::vmcb::registers::{cr0, cr4};

const CR0_PE: u64 = cr0::PE;
const CR0_WP: u64 = cr0::WP;
const CR0_NW: u64 = cr0::NW;
const CR0_CD: u64 = cr0::CD;
const CR0_PG: u64 = cr0::PG;
const CR4_PSE: u64 = cr4::PSE;
const CR4_PAE: u64 = cr4::PAE;
const CR4_PGE: u64 = cr4::PGE;
const CR4_PCIDE: u64 = cr4::PCIDE;
const CR4_SMEP: u64 = cr4::SMEP;
const CR4_SMAP: u64 = cr4::SMAP;

/// Which of the guest's translations are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// None.
    Nothing,
    /// All but the global ones.
    NonGlobal,
    /// All.
    All,
}

/// For CR0 changing from `old` to `new`: what decides how addresses are translated, with
/// which rights, and how they are cached.
pub const fn for_cr0(old: u64, new: u64) -> Flush {
    if (old ^ new) & (CR0_PE | CR0_WP | CR0_NW | CR0_CD | CR0_PG) == 0 {
        Flush::Nothing
    } else {
        Flush::All
    }
}

/// For a write of CR3, of the same value too.
pub const fn for_cr3() -> Flush {
    Flush::NonGlobal
}

/// For CR4 changing from `old` to `new`.
pub const fn for_cr4(old: u64, new: u64) -> Flush {
    if (old ^ new) & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP) == 0 {
        Flush::Nothing
    } else {
        Flush::All
    }
}

/// TLB_CONTROL for the next VMRUN. A CPU without FlushByASID can only flush everything.
pub const fn control(flush: Flush, flush_by_asid: bool) -> u8 {
    match (flush, flush_by_asid) {
        (Flush::Nothing, _) => tlb::NOTHING,
        (_, false) => tlb::EVERYTHING,
        (Flush::NonGlobal, true) => tlb::THIS_ASID_NON_GLOBAL,
        (Flush::All, true) => tlb::THIS_ASID,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_paging_flushes_all_and_a_change_of_ts_nothing() {
        for bit in [CR0_PE, CR0_WP, CR0_NW, CR0_CD, CR0_PG] {
            assert_eq!(for_cr0(0x11, 0x11 ^ bit), Flush::All);
        }
        const CR0_TS: u64 = cr0::TS;
        assert_eq!(for_cr0(CR0_PG, CR0_PG | CR0_TS), Flush::Nothing);
        assert_eq!(for_cr0(CR0_PG, CR0_PG), Flush::Nothing);
    }

    #[test]
    fn a_new_page_table_spares_global_pages() {
        assert_eq!(for_cr3(), Flush::NonGlobal);
    }

    #[test]
    fn a_change_of_how_tables_are_read_flushes_global_pages_too() {
        for bit in [CR4_PSE, CR4_PAE, CR4_PGE] {
            assert_eq!(for_cr4(0, bit), Flush::All);
            assert_eq!(for_cr4(bit, 0), Flush::All);
        }
        const CR4_TSD: u64 = cr4::TSD;
        assert_eq!(for_cr4(CR4_PGE, CR4_PGE | CR4_TSD), Flush::Nothing);
    }

    /// APM 15.16.1. What is not flushed by ASID is flushed with everything else, never left.
    #[test]
    fn a_cpu_without_flush_by_asid_flushes_everything() {
        assert_eq!(control(Flush::Nothing, false), 0);
        assert_eq!(control(Flush::NonGlobal, false), 1);
        assert_eq!(control(Flush::All, false), 1);
        assert_eq!(control(Flush::Nothing, true), 0);
        assert_eq!(control(Flush::NonGlobal, true), 7);
        assert_eq!(control(Flush::All, true), 3);
    }
}
