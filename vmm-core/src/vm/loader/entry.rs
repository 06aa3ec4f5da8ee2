//! The machine state that boot loaders leave: flat segments, protected or long mode, interrupts
//! off, no event pending.

use intercepts::vmcb::Segment;
use intercepts::vmcb::registers::{cr0, cr4, efer};

use crate::vm::vcpu::Vcpu;
use crate::vm::walk::EFER_LMA;

const CR0_PE: u64 = cr0::PE;
const CR0_ET: u64 = cr0::ET;
const CR0_PG: u64 = cr0::PG;
const CR4_PAE: u64 = cr4::PAE;
const EFER_LME: u64 = efer::LME;
const EFER_SVME: u64 = efer::SVME;

/// A 32-bit code segment, a 64-bit one, and data, as the VMCB packs their attributes.
const CODE_32: u16 = 0xc9b;
const CODE_64: u16 = 0xa9b;
const DATA: u16 = 0xc93;

/// The selectors of code and data.
#[derive(Clone, Copy)]
pub(super) struct Selectors {
    pub code: u16,
    pub data: u16,
}

/// Protected mode without paging.
pub(super) fn protected(vcpu: &mut Vcpu, selectors: Selectors, rip: u64) {
    common(vcpu, selectors, CODE_32, rip);
    let save = vcpu.save_mut();
    save.cr0 = CR0_PE | CR0_ET;
    save.efer = EFER_SVME;
}

/// Long mode, by the page tables at `cr3`.
pub(super) fn long(vcpu: &mut Vcpu, selectors: Selectors, rip: u64, cr3: u64) {
    common(vcpu, selectors, CODE_64, rip);
    let save = vcpu.save_mut();
    save.cr0 = CR0_PG | CR0_PE | CR0_ET;
    save.cr3 = cr3;
    save.cr4 = CR4_PAE;
    save.efer = EFER_SVME | EFER_LME | EFER_LMA;
}

fn common(vcpu: &mut Vcpu, selectors: Selectors, code: u16, rip: u64) {
    const RFLAGS_RESERVED: u64 = 1 << 1;
    /// DR6 and DR7 with nothing armed.
    const DR6_RESET: u64 = 0xffff_0ff0;
    const DR7_RESET: u64 = 0x400;
    /// WB, WT, UC-, UC, twice: the PAT after reset (APM 7.8.1).
    const PAT_RESET: u64 = 0x0007_0406_0007_0406;

    let flat = |selector, attributes| Segment {
        selector,
        attributes,
        limit: u32::MAX,
        base: 0,
    };
    let data = flat(selectors.data, DATA);
    let system = |attributes| Segment {
        attributes,
        limit: 0xffff,
        ..Segment::default()
    };
    let save = vcpu.save_mut();
    save.cs = flat(selectors.code, code);
    (save.ds, save.es, save.ss, save.fs, save.gs) = (data, data, data, data, data);
    save.ldtr = system(0x82);
    save.tr = system(0x8b);
    save.gdtr.limit = 0xffff;
    save.idtr.limit = 0xffff;
    save.dr6 = DR6_RESET;
    save.dr7 = DR7_RESET;
    save.g_pat = PAT_RESET;
    save.rflags = RFLAGS_RESERVED;
    save.rip = rip;
}
