//! The save area at a guest's first VMRUN: what boot loaders leave. Flat segments, protected or
//! long mode, interrupts off, and the rest as after a reset. Where the kernel begins, and what its
//! boot protocol passes in registers, is the loader's to add.

use super::registers::{cr0, cr4, efer, rflags};
use super::{Save, Segment};

/// A 32-bit code segment, a 64-bit one, and data, as the VMCB packs their attributes.
const CODE_32: u16 = 0xc9b;
const CODE_64: u16 = 0xa9b;
const DATA: u16 = 0xc93;
/// An LDT, and a busy task state segment.
const LDT: u16 = 0x82;
const BUSY_TSS: u16 = 0x8b;

/// The selectors of code and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selectors {
    /// In CS.
    pub code: u16,
    /// In the other segments.
    pub data: u16,
}

impl Selectors {
    /// As boot loaders have them for Multiboot kernels, which may not rely on it.
    pub const MULTIBOOT: Selectors = Selectors {
        code: 0x08,
        data: 0x10,
    };
    /// `__BOOT_CS` and `__BOOT_DS`.
    pub const LINUX: Selectors = Selectors {
        code: 0x10,
        data: 0x18,
    };
}

/// Protected mode without paging.
pub fn protected(save: &mut Save, selectors: Selectors) {
    common(save, selectors, CODE_32);
    save.cr0 = cr0::PE | cr0::ET;
    save.efer = efer::SVME;
}

/// Long mode, by the page tables at `cr3`.
pub fn long(save: &mut Save, selectors: Selectors, cr3: u64) {
    common(save, selectors, CODE_64);
    save.cr0 = cr0::PG | cr0::PE | cr0::ET;
    save.cr3 = cr3;
    save.cr4 = cr4::PAE;
    save.efer = efer::SVME | efer::LME | efer::LMA;
}

fn common(save: &mut Save, selectors: Selectors, code: u16) {
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
    let system = |attributes| Segment {
        attributes,
        limit: 0xffff,
        ..Segment::default()
    };
    let data = flat(selectors.data, DATA);
    save.cs = flat(selectors.code, code);
    (save.ds, save.es, save.ss, save.fs, save.gs) = (data, data, data, data, data);
    save.ldtr = system(LDT);
    save.tr = system(BUSY_TSS);
    save.gdtr.limit = 0xffff;
    save.idtr.limit = 0xffff;
    save.dr6 = DR6_RESET;
    save.dr7 = DR7_RESET;
    save.g_pat = PAT_RESET;
    save.rflags = rflags::ONE;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmcb::{Vmcb, field};

    #[test]
    fn what_boot_loaders_leave_alone_is_as_after_a_reset() {
        let mut vmcb = Vmcb::zeroed();
        protected(&mut vmcb.save, Selectors::MULTIBOOT);
        for name in [
            "ldtr", "tr", "gdtr", "idtr", "dr6", "dr7", "g_pat", "rflags",
        ] {
            let field = field(name).unwrap();
            let bytes = &vmcb.bytes()[field.offset..field.offset + field.bytes];
            let value = bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u128::from(*byte));
            assert_eq!(value, field.reset, "{name}");
        }
    }
}
