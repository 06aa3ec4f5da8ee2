//! Whether this machine can run guests at all, and with what (APM 15.4, 15.30.1).

use core::fmt;

use intercepts::{Feature, Register};

/// EAX, EBX, ECX, EDX of CPUID.
type Leaf = [u32; 4];

/// What CPUID says about SVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Svm {
    /// Revision of the architecture: leaf 8000_000A EAX bits 7:0.
    pub revision: u8,
    /// Number of ASIDs, the host's 0 included.
    pub asids: u32,
    /// First physical address beyond the address space.
    pub max_physical: u64,
    /// The CPU saves nRIP.
    pub nrip: bool,
    /// The CPU can flush one ASID.
    pub flush_by_asid: bool,
    /// The CPU need not read again what VMCB.clean says is unchanged.
    pub clean_bits: bool,
    /// The CPU tells of the instruction that it intercepts, and where the next one is.
    pub decode_assists: bool,
    /// QUIRK: an interrupt that goes by EVENTINJ may be delivered twice, as in QEMU 7.2.
    pub injects_twice: bool,
}

impl Svm {
    /// The same, of a CPU that offers none but these features.
    pub fn limited_to(self, offers: &[Feature]) -> Svm {
        let offers = |feature| offers.contains(&feature);
        let nrip = self.nrip && offers(Feature::NRIP);
        Svm {
            nrip,
            flush_by_asid: self.flush_by_asid && offers(Feature::FLUSH_BY_ASID),
            clean_bits: self.clean_bits && offers(Feature::VMCB_CLEAN),
            decode_assists: self.decode_assists && nrip && offers(Feature::DECODE_ASSISTS),
            ..self
        }
    }
}

/// Why there is no SVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSvm {
    /// The CPU does not have it.
    NotThere,
    /// The firmware switched it off, and nothing but the firmware can switch it on.
    DisabledByFirmware,
    /// The firmware switched it off and locked it with a key.
    Locked,
}

impl fmt::Display for NoSvm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoSvm::NotThere => {
                "this CPU has no SVM (CPUID 8000_0001h ECX bit 2 is 0); Tollgate needs an AMD CPU, \
                 or an emulated one with `svm` among its features"
            }
            NoSvm::DisabledByFirmware => {
                "the firmware has disabled SVM (VM_CR.SVMDIS is 1); enable `SVM mode` or \
                 `virtualization` in the firmware's setup"
            }
            NoSvm::Locked => {
                "the firmware has disabled SVM and locked that with a key (VM_CR.SVMDIS and LOCK \
                 are 1); enable `SVM mode` or `virtualization` in the firmware's setup"
            }
        })
    }
}

const VM_CR_LOCK: u64 = 1 << 3;
const VM_CR_SVMDIS: u64 = 1 << 4;

/// The tests of APM 15.4 in their order: CPUID, then VM_CR.SVMDIS, then the lock. `vm_cr` is
/// called only on a CPU that has the register.
///
/// # Errors
/// Why SVM cannot be used.
pub fn detect(cpuid: impl Fn(u32) -> Leaf, vm_cr: impl FnOnce() -> u64) -> Result<Svm, NoSvm> {
    if !has(&cpuid, Feature::SVM) {
        return Err(NoSvm::NotThere);
    }
    let vm_cr = vm_cr();
    if vm_cr & VM_CR_SVMDIS != 0 {
        return Err(
            if has(&cpuid, Feature::SVM_LOCK) && vm_cr & VM_CR_LOCK != 0 {
                NoSvm::Locked
            } else {
                NoSvm::DisabledByFirmware
            },
        );
    }
    let [revision, asids, ..] = cpuid(0x8000_000a);
    let [sizes, ..] = cpuid(0x8000_0008);
    Ok(Svm {
        revision: revision as u8,
        asids,
        max_physical: 1 << (sizes & 0xff).clamp(32, 52),
        nrip: has(&cpuid, Feature::NRIP),
        flush_by_asid: has(&cpuid, Feature::FLUSH_BY_ASID),
        clean_bits: has(&cpuid, Feature::VMCB_CLEAN),
        decode_assists: has(&cpuid, Feature::DECODE_ASSISTS) && has(&cpuid, Feature::NRIP),
        injects_twice: is_tcg(&cpuid),
    })
}

/// Whether the CPU is one of those that QEMU emulates itself, and says so.
fn is_tcg(cpuid: impl Fn(u32) -> Leaf) -> bool {
    const HYPERVISOR: u32 = 1 << 31;
    const NAME: [u8; 12] = *b"TCGTCGTCGTCG";
    let [.., features, _] = cpuid(1);
    let [_, name @ ..] = cpuid(0x4000_0000);
    features & HYPERVISOR != 0 && name.map(u32::to_le_bytes).as_flattened() == NAME
}

/// Whether CPUID announces `feature`; a leaf beyond the largest counts as zero.
pub fn has(cpuid: impl Fn(u32) -> Leaf, feature: Feature) -> bool {
    let [largest, ..] = cpuid(feature.leaf & 0x8000_0000);
    if feature.leaf > largest {
        return false;
    }
    let [eax, ebx, ecx, edx] = cpuid(feature.leaf);
    let register = match feature.register {
        Register::Eax => eax,
        Register::Ebx => ebx,
        Register::Ecx => ecx,
        Register::Edx => edx,
    };
    register >> feature.bit & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(svm: bool, features: u32) -> impl Fn(u32) -> Leaf {
        move |leaf| match leaf {
            0x8000_0000 => [0x8000_000a, 0, 0, 0],
            0x8000_0001 => [0, 0, u32::from(svm) << 2, 0],
            0x8000_0008 => [40, 0, 0, 0],
            0x8000_000a => [1, 16, 0, features],
            _ => [0; 4],
        }
    }

    #[test]
    fn a_cpu_without_svm_is_not_asked_for_vm_cr() {
        let no_vm_cr = || -> u64 { panic!("#GP: no such MSR") };
        assert_eq!(detect(cpu(false, 0), no_vm_cr), Err(NoSvm::NotThere));
    }

    #[test]
    fn svm_switched_off_by_firmware_is_told_apart_from_locked() {
        assert_eq!(
            detect(cpu(true, 1 << 2), || VM_CR_SVMDIS),
            Err(NoSvm::DisabledByFirmware)
        );
        assert_eq!(
            detect(cpu(true, 1 << 2), || VM_CR_SVMDIS | VM_CR_LOCK),
            Err(NoSvm::Locked)
        );
        // Without the SVM-lock feature the lock bit means nothing.
        assert_eq!(
            detect(cpu(true, 0), || VM_CR_SVMDIS | VM_CR_LOCK),
            Err(NoSvm::DisabledByFirmware)
        );
    }

    #[test]
    fn features_come_from_cpuid() {
        let svm = detect(cpu(true, 1 << 3 | 1 << 5), || 0);
        assert_eq!(
            svm,
            Ok(Svm {
                revision: 1,
                asids: 16,
                max_physical: 1 << 40,
                nrip: true,
                flush_by_asid: false,
                clean_bits: true,
                decode_assists: false,
                injects_twice: false,
            })
        );
        for (features, told) in [(1 << 7, false), (1 << 7 | 1 << 3, true)] {
            let svm = detect(cpu(true, features), || 0);
            assert_eq!(svm.map(|svm| svm.decode_assists), Ok(told));
        }
    }

    #[test]
    fn what_the_target_does_not_offer_is_not_used_and_what_the_cpu_lacks_is_not_made_up() {
        const ALL: [Feature; 4] = [
            Feature::NRIP,
            Feature::FLUSH_BY_ASID,
            Feature::VMCB_CLEAN,
            Feature::DECODE_ASSISTS,
        ];
        let used = |cpu: Svm, offers: &[Feature]| {
            let svm = cpu.limited_to(offers);
            [
                svm.nrip,
                svm.flush_by_asid,
                svm.clean_bits,
                svm.decode_assists,
            ]
        };
        let with_all = detect(cpu(true, u32::MAX), || 0).expect("SVM");
        let without = detect(cpu(true, 0), || 0).expect("SVM");
        assert_eq!(used(with_all, &ALL), [true; 4]);
        assert_eq!(used(with_all, &[]), [false; 4]);
        assert_eq!(used(without, &ALL), [false; 4]);
        for (index, feature) in ALL.into_iter().enumerate() {
            let without_it = ALL.map(|other| {
                if other == feature {
                    Feature::SVM
                } else {
                    other
                }
            });
            let mut expected = [true; 4];
            expected[index] = false;
            // Decode assists are no use where the next instruction is not told.
            expected[3] &= expected[0];
            assert_eq!(used(with_all, &without_it), expected, "{}", feature.name);
        }
    }

    #[test]
    fn a_leaf_that_the_cpu_does_not_have_announces_nothing() {
        let old = |leaf| {
            if leaf == 0x8000_0000 {
                [0x8000_0001, 0, 0, 0]
            } else {
                [u32::MAX; 4]
            }
        };
        assert!(!has(old, Feature::NPT));
        assert!(has(old, Feature::SVM));
    }

    #[test]
    fn a_cpu_of_qemus_own_is_known_by_its_name() {
        let [b, c, d] = [*b"TCGT", *b"CGTC", *b"GTCG"].map(u32::from_le_bytes);
        for (hypervisor, name, expected) in [
            (1 << 31, [b, c, d], true),
            (0, [b, c, d], false),
            (1 << 31, [b, c, 0], false),
        ] {
            let cpu = |leaf| match leaf {
                1 => [0, 0, hypervisor, 0],
                0x4000_0000 => [0, name[0], name[1], name[2]],
                _ => [0; 4],
            };
            assert_eq!(is_tcg(cpu), expected);
        }
    }
}
