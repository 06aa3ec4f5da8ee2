//! The machines that a policy can be written for, and what each offers.
//!
//! Emulators: measured on QEMU 7.2 (TCG, `-cpu max`) and Bochs 2.7. Processors: the CPUID
//! flags that AMD publishes for each generation, those only that all its models share.
//! The VMM asks the real CPUID again before the first VMRUN.

use intercepts::{ExitCode, Feature};

/// A target of `[target] machine`.
#[derive(Debug)]
pub struct Machine {
    /// The name in `vm.toml`.
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// What runs it.
    pub platform: Platform,
    /// The CPUID features that a policy may rely on, each generation's own in a slice.
    pub features: &'static [&'static [Feature]],
    /// ASIDs, the host's 0 included: CPUID 8000_000A EBX.
    pub asids: u32,
    /// The most memory that all VMs together may ask for, in bytes.
    pub memory: u64,
    /// Exits that an emulator does not take although the intercept is set, and what happens instead.
    pub never_exits: &'static [(ExitCode, &'static str)],
}

/// What runs a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// QEMU without KVM, with this `-cpu`.
    Qemu {
        /// The CPU model.
        cpu: &'static str,
    },
    /// Bochs, with this `cpu: model=`.
    Bochs {
        /// The CPU model.
        cpu: &'static str,
    },
    /// The processor itself.
    Hardware,
}

impl Machine {
    /// The machine of that name.
    pub fn by_name(name: &str) -> Option<&'static Machine> {
        MACHINES.iter().find(|machine| machine.name == name)
    }

    /// The machine of a policy that names none.
    pub fn usual() -> &'static Machine {
        &MACHINES[0]
    }

    /// Whether a policy may rely on `feature`.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.iter().any(|layer| layer.contains(&feature))
    }

    /// The `-cpu` with which QEMU shows this machine; `None` if it is none of QEMU's.
    pub fn qemu_cpu(&self) -> Option<&'static str> {
        match self.platform {
            Platform::Qemu { cpu } => Some(cpu),
            _ => None,
        }
    }

    /// The `cpu: model=` with which Bochs shows this machine; `None` if it is none of Bochs'.
    pub fn bochs_cpu(&self) -> Option<&'static str> {
        match self.platform {
            Platform::Bochs { cpu } => Some(cpu),
            _ => None,
        }
    }
}

/// Every machine.
pub static MACHINES: &[Machine] = &[
    QEMU_TCG,
    BOCHS_RYZEN,
    BOCHS_PHENOM,
    zen(
        "zen1",
        "AMD family 17h, models 00h-2Fh: EPYC 7001, Ryzen 1000 and 2000",
        &[ZEN1],
    ),
    zen(
        "zen2",
        "AMD family 17h, models 30h and up: EPYC 7002, Ryzen 3000",
        &[ZEN1, ZEN2],
    ),
    zen(
        "zen3",
        "AMD family 19h, models 00h-0Fh and 20h-5Fh: EPYC 7003, Ryzen 5000",
        &[ZEN1, ZEN2, ZEN3],
    ),
    zen(
        "zen4",
        "AMD family 19h, models 10h-1Fh and 60h and up: EPYC 9004, Ryzen 7000",
        &[ZEN1, ZEN2, ZEN3, ZEN4],
    ),
    zen(
        "zen5",
        "AMD family 1Ah: EPYC 9005, Ryzen 9000",
        &[ZEN1, ZEN2, ZEN3, ZEN4, ZEN5],
    ),
];

const QEMU_TCG: Machine = Machine {
    name: "qemu-tcg",
    meaning: "QEMU without KVM, -cpu max",
    platform: Platform::Qemu { cpu: "max" },
    features: &[&[
        Feature::SVM,
        Feature::NPT,
        Feature::VGIF,
        Feature::RDTSCP,
        Feature::MONITOR,
        Feature::XSAVE,
    ]],
    asids: 16,
    memory: 1 << 40,
    never_exits: &[
        (ExitCode::Rdtscp, "RDTSCP exits as `rdtsc`"),
        (ExitCode::Xsetbv, "XSETBV never exits"),
        (
            ExitCode::Invd,
            "INVD exits as `wbinvd`, if that is intercepted",
        ),
        (ExitCode::Icebp, "ICEBP raises #UD"),
        (
            ExitCode::ExceptionDf,
            "a double fault exits as the exception that became one, or not at all",
        ),
        (ExitCode::ExceptionBp, "INT3 exits as `swint`"),
        (ExitCode::ExceptionOf, "INTO exits as `swint`"),
        (ExitCode::TaskSwitch, "a task switch never exits"),
        (ExitCode::MwaitConditional, "MWAIT exits as `mwait`"),
    ],
};

const BOCHS_RYZEN: Machine = Machine {
    name: "bochs-ryzen",
    meaning: "Bochs, cpu: model=ryzen",
    platform: Platform::Bochs { cpu: "ryzen" },
    features: &[&[
        Feature::SVM,
        Feature::NPT,
        Feature::LBR_VIRT,
        Feature::SVM_LOCK,
        Feature::NRIP,
        Feature::FLUSH_BY_ASID,
        Feature::PAUSE_FILTER,
        Feature::RDTSCP,
        Feature::MONITOR,
        Feature::XSAVE,
    ]],
    asids: 64,
    memory: 2 << 30,
    never_exits: &[(
        ExitCode::Rsm,
        "outside system-management mode RSM raises #UD first",
    )],
};

const BOCHS_PHENOM: Machine = Machine {
    name: "bochs-phenom",
    meaning: "Bochs, cpu: model=phenom_8650_toliman",
    platform: Platform::Bochs {
        cpu: "phenom_8650_toliman",
    },
    features: &[&[
        Feature::SVM,
        Feature::NPT,
        Feature::LBR_VIRT,
        Feature::SVM_LOCK,
        Feature::RDTSCP,
        Feature::MONITOR,
    ]],
    ..BOCHS_RYZEN
};

const fn zen(
    name: &'static str,
    meaning: &'static str,
    features: &'static [&'static [Feature]],
) -> Machine {
    Machine {
        name,
        meaning,
        platform: Platform::Hardware,
        features,
        asids: 0x8000,
        memory: 1 << 40,
        never_exits: &[],
    }
}

const ZEN1: &[Feature] = &[
    Feature::SVM,
    Feature::NPT,
    Feature::LBR_VIRT,
    Feature::SVM_LOCK,
    Feature::NRIP,
    Feature::TSC_RATE,
    Feature::VMCB_CLEAN,
    Feature::FLUSH_BY_ASID,
    Feature::DECODE_ASSISTS,
    Feature::PAUSE_FILTER,
    Feature::PAUSE_THRESHOLD,
    Feature::VIRT_VMSAVE,
    Feature::VGIF,
    Feature::RDTSCP,
    Feature::MONITOR,
    Feature::XSAVE,
    Feature::SKINIT,
];
const ZEN2: &[Feature] = &[Feature::GMET, Feature::RDPRU, Feature::MCOMMIT];

const ZEN3: &[Feature] = &[
    Feature::INVPCID,
    Feature::INVLPGB,
    Feature::TLB_ICTL,
    Feature::SPEC_CTRL,
];

const ZEN4: &[Feature] = &[Feature::X2AVIC, Feature::VNMI, Feature::IBS_VIRT];

const ZEN5: &[Feature] = &[Feature::BUS_LOCK_THRESHOLD, Feature::IDLE_HLT];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_found_by_their_names() {
        for machine in MACHINES {
            assert!(std::ptr::eq(
                Machine::by_name(machine.name).unwrap_or(Machine::usual()),
                machine
            ));
        }
    }

    #[test]
    fn every_machine_has_svm_nested_paging_and_an_asid_for_a_guest() {
        for machine in MACHINES {
            assert!(machine.has(Feature::SVM) && machine.has(Feature::NPT));
            assert!(machine.asids > 1, "{}", machine.name);
        }
    }

    #[test]
    fn a_later_zen_has_what_the_earlier_had() {
        let zens: Vec<_> = MACHINES
            .iter()
            .filter(|m| m.name.starts_with("zen"))
            .collect();
        for pair in zens.windows(2) {
            for feature in pair[0].features.iter().copied().flatten() {
                assert!(
                    pair[1].has(*feature),
                    "{} lost {}",
                    pair[1].name,
                    feature.name
                );
            }
        }
    }
}
