//! The CPU models beyond `minimal`: each is `minimal` and what it may show of the host.
//!
//! A feature is shown where the host has it and nothing but instructions and the registers of
//! every CPU are needed for it, or where the VMM keeps what is needed. So there is no APIC, no
//! XSAVE and no SVM in any of them.

use intercepts::{CPUID_FEATURES, Register, Reliance};

use super::{BRAND_FIRST, CpuidModel, Leaf};
use crate::policy::CpuModel;

/// EBX, EDX and ECX of leaves 0 and 8000_0000: `AuthenticAMD`.
const AMD: [u32; 3] = [0x6874_7541, 0x6974_6e65, 0x444d_4163];
/// Features with a state that the VMM keeps: PAT is G_PAT of the VMCB.
const KEPT: [&str; 1] = ["pat"];
/// The leaves in which the host's features are looked for, beside those that `minimal` has.
const STRUCTURED: u32 = 7;
const MINIMAL: [u32; 4] = [1, 0x8000_0001, 0x8000_0007, 0x8000_0008];

impl CpuidModel {
    /// The model of this kind, on a host that answers a leaf and a subleaf of CPUID with `host`.
    pub fn new(kind: CpuModel, host: impl Fn(u32, u32) -> Leaf) -> CpuidModel {
        let mut model = CpuidModel::minimal(|leaf| host(leaf, 0));
        match kind {
            CpuModel::Minimal => {}
            CpuModel::Amd => {
                model.vendor(AMD);
                model.show(
                    1,
                    host(1, 0).map(|bits| bits & PAT_IN_LEAF_1),
                    [0, 0, 0, u32::MAX],
                );
                model.repeat_pat();
            }
            CpuModel::Host => {
                let [_, ebx, ecx, edx] = host(0, 0);
                model.vendor([ebx, edx, ecx]);
                for leaf in BRAND_FIRST..BRAND_FIRST + 3 {
                    model.change(leaf, |_| host(leaf, 0));
                }
                for leaf in MINIMAL {
                    model.show(leaf, host(leaf, 0), showable(leaf));
                }
                model.repeat_pat();
                let [largest, ..] = host(0, 0);
                if largest >= STRUCTURED {
                    let (host, mask) = (host(STRUCTURED, 0), showable(STRUCTURED));
                    let shown = core::array::from_fn(|i| host[i] & mask[i]);
                    model.add((STRUCTURED, 0), shown);
                }
            }
        }
        model
    }

    /// The model of a CPU without PAT: under shadow paging the VMCB's G_PAT counts for nothing
    /// (APM 15.25.2).
    pub fn hide_pat(&mut self) {
        for leaf in [1, 0x8000_0001] {
            self.change(leaf, |[eax, ebx, ecx, edx]| {
                [eax, ebx, ecx, edx & !PAT_IN_LEAF_1]
            });
        }
    }

    /// Whether it says that it is AMD's.
    pub fn is_amd(&self) -> bool {
        let [_, ebx, ecx, edx] = self.leaf(0);
        [ebx, edx, ecx] == AMD
    }

    fn vendor(&mut self, [ebx, edx, ecx]: [u32; 3]) {
        for leaf in [0, 0x8000_0000] {
            self.change(leaf, |[eax, ..]| [eax, ebx, ecx, edx]);
        }
    }

    fn show(&mut self, leaf: u32, host: Leaf, mask: Leaf) {
        self.change(leaf, |model| {
            core::array::from_fn(|i| model[i] | host[i] & mask[i])
        });
    }

    /// Leaf 8000_0001 EDX repeats PAT.
    fn repeat_pat(&mut self) {
        let pat = self.leaf(1)[3] & PAT_IN_LEAF_1;
        self.change(0x8000_0001, |[eax, ebx, ecx, edx]| {
            [eax, ebx, ecx, edx | pat]
        });
    }
}

/// PAT in EDX.
const PAT_IN_LEAF_1: u32 = 1 << 16;

/// The bits of a leaf that may be the host's.
fn showable(leaf: u32) -> Leaf {
    let mut mask = [0; 4];
    for feature in CPUID_FEATURES {
        let is_safe = feature.reliance == Reliance::Plain || KEPT.contains(&feature.name);
        // A host that is a VM itself shows this one, and it is the VMM's to give.
        let is_host = feature.name != "hypervisor";
        if feature.leaf == leaf && feature.subleaf == 0 && is_safe && is_host {
            let register = match feature.register {
                Register::Eax => 0,
                Register::Ebx => 1,
                Register::Ecx => 2,
                Register::Edx => 3,
            };
            mask[register] |= 1 << feature.bit;
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [CpuModel; 3] = [CpuModel::Minimal, CpuModel::Amd, CpuModel::Host];

    /// Whether a model shows a feature.
    fn shows(model: &CpuidModel, name: &str) -> bool {
        let feature = CPUID_FEATURES
            .iter()
            .find(|feature| feature.name == name)
            .unwrap();
        let leaf = model
            .added(feature.leaf, feature.subleaf)
            .unwrap_or_else(|| model.leaf(feature.leaf));
        let register = match feature.register {
            Register::Eax => leaf[0],
            Register::Ebx => leaf[1],
            Register::Ecx => leaf[2],
            Register::Edx => leaf[3],
        };
        register >> feature.bit & 1 != 0
    }

    #[test]
    fn no_model_shows_what_the_vmm_does_not_keep() {
        for kind in KINDS {
            let model = CpuidModel::new(kind, |_, _| [u32::MAX; 4]);
            for feature in CPUID_FEATURES {
                if feature.reliance == Reliance::State && !KEPT.contains(&feature.name) {
                    assert!(!shows(&model, feature.name), "{kind:?}: {}", feature.name);
                }
            }
            assert!(!shows(&model, "hypervisor"), "{kind:?}");
        }
    }

    #[test]
    fn a_kernel_knows_whose_the_cpu_is() {
        let host = |leaf: u32, _| [leaf, AMD[0], AMD[2], AMD[1]];
        let is_amd = KINDS.map(|kind| CpuidModel::new(kind, host).is_amd());
        assert_eq!(is_amd, [false, true, true]);
        let other = CpuidModel::new(CpuModel::Host, |_, _| [7; 4]);
        assert!(!other.is_amd());
        let brand = CpuidModel::new(CpuModel::Host, host).leaf(0x8000_0003);
        assert_eq!(brand, host(0x8000_0003, 0));
    }

    #[test]
    fn the_hosts_leaf_of_structured_features_is_there_if_the_host_has_it() {
        let with = CpuidModel::new(CpuModel::Host, |_, _| [u32::MAX; 4]);
        assert!(shows(&with, "erms"));
        assert_eq!(with.leaf(0)[0], 7);
        let without = CpuidModel::new(CpuModel::Host, |_, _| [1; 4]);
        assert_eq!((without.added(7, 0), without.leaf(0)[0]), (None, 1));
    }

    proptest! {
        /// Whatever the host is, no model shows a feature that the host lacks.
        #[test]
        fn nothing_is_shown_that_the_host_lacks(answers in prop::array::uniform8(prop::array::uniform4(any::<u32>()))) {
            let host = |leaf: u32, _: u32| match leaf {
                0x8000_0000.. => answers[(leaf & 7) as usize],
                leaf => answers[(leaf & 7) as usize ^ 4],
            };
            for kind in KINDS {
                let model = CpuidModel::new(kind, host);
                for feature in CPUID_FEATURES {
                    let index = match feature.register {
                        Register::Eax => 0,
                        Register::Ebx => 1,
                        Register::Ecx => 2,
                        Register::Edx => 3,
                    };
                    let has = host(feature.leaf, feature.subleaf)[index] >> feature.bit & 1 != 0;
                    prop_assert!(has || !shows(&model, feature.name), "{:?}: {}", kind, feature.name);
                }
            }
        }
    }
}
