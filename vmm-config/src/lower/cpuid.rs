//! What a policy makes of the CPU model that the guest sees.

use std::collections::BTreeMap;

use intercepts::{CpuidFeature, Register};

use crate::lowered::{CpuidRule, Origin};
use crate::source::{At, Span};
use crate::written::{CpuidChange, CpuidLeaf};

/// EAX, EBX, ECX, EDX.
type Registers = [u32; 4];

/// Whether the VMM's own model has the leaf.
pub fn is_of_model(leaf: CpuidLeaf) -> bool {
    matches!(leaf.leaf, 0..=1 | 0x8000_0000..=0x8000_0008) && leaf.subleaf == 0
}

/// The leaf that a change is about.
pub fn leaf_of(change: CpuidChange) -> CpuidLeaf {
    match change {
        CpuidChange::HideFeature(feature) | CpuidChange::ShowFeature(feature) => CpuidLeaf {
            leaf: feature.leaf,
            subleaf: feature.subleaf,
        },
        CpuidChange::HideLeaf(leaf) | CpuidChange::ShowLeaf(leaf) | CpuidChange::Set(leaf, _) => {
            leaf
        }
    }
}

/// The bits of the leaf that a change decides.
pub fn touched(change: CpuidChange) -> Registers {
    match change {
        CpuidChange::HideFeature(feature) | CpuidChange::ShowFeature(feature) => bit(feature),
        CpuidChange::HideLeaf(_) | CpuidChange::ShowLeaf(_) => [u32::MAX; 4],
        CpuidChange::Set(_, registers) => {
            registers.map(|register| if register.is_some() { u32::MAX } else { 0 })
        }
    }
}

fn bit(feature: &CpuidFeature) -> Registers {
    let bit = 1 << feature.bit;
    match feature.register {
        Register::Eax => [bit, 0, 0, 0],
        Register::Ebx => [0, bit, 0, 0],
        Register::Ecx => [0, 0, bit, 0],
        Register::Edx => [0, 0, 0, bit],
    }
}

/// One rule for each leaf that is changed, ascending.
pub(super) fn rules(
    changes: &[At<CpuidChange>],
    origin: &dyn Fn(Span) -> Origin,
) -> Vec<CpuidRule> {
    let mut rules: BTreeMap<CpuidLeaf, CpuidRule> = BTreeMap::new();
    for change in changes {
        let leaf = leaf_of(change.value);
        let rule = rules.entry(leaf).or_insert_with(|| CpuidRule {
            leaf,
            keep: [u32::MAX; 4],
            host: [0; 4],
            set: [0; 4],
            changes: Vec::new(),
        });
        rule.changes.push((change.value, origin(change.span)));
        let touched = touched(change.value);
        let decided = |registers: &mut Registers, bits: Registers| {
            for (register, bits) in registers.iter_mut().zip(bits) {
                *register |= bits;
            }
        };
        match change.value {
            CpuidChange::HideFeature(_) | CpuidChange::HideLeaf(_) => {}
            // No CPU has this bit: it is the VMM's to give.
            CpuidChange::ShowFeature(feature) if feature.name == "hypervisor" => {
                decided(&mut rule.set, touched);
            }
            CpuidChange::ShowFeature(_) | CpuidChange::ShowLeaf(_) => {
                decided(&mut rule.host, touched);
            }
            CpuidChange::Set(_, registers) => {
                decided(&mut rule.set, registers.map(Option::unwrap_or_default));
            }
        }
        for (keep, touched) in rule.keep.iter_mut().zip(touched) {
            *keep &= !touched;
        }
    }
    rules.into_values().collect()
}
