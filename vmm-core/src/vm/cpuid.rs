//! What a guest's CPU claims to be: the CPUID model `minimal`, and the changes of a policy.
//!
//! `minimal` promises only what the VMM keeps: no APIC where there is none, x2APIC, XSAVE, AVX, MTRR, PAT, MCA, MONITOR
//! or SVM. What the host itself lacks is not promised either.

mod models;

use heapless::Vec;
use intercepts::has_subleaves;

use crate::policy::CpuidRule;

/// EAX, EBX, ECX, EDX.
pub type Leaf = [u32; 4];

/// The answers of CPUID for one VM.
#[derive(Clone, Debug)]
pub struct CpuidModel {
    /// Leaves 0 and 1, leaves 8000_0000h to 8000_0008h, and the zeroes of all others.
    leaves: [Leaf; STANDARD + EXTENDED + 1],
    /// Leaves that the policy adds, by leaf and subleaf.
    added: Vec<((u32, u32), Leaf), { MAX_ADDED + OF_HOST + OF_APIC + OF_PVCLOCK }>,
}

/// As many leaves as a policy may add to the model.
pub const MAX_ADDED: usize = 16;
/// Leaves that the model `host` adds itself.
const OF_HOST: usize = 1;
/// Leaves that a local APIC adds.
const OF_APIC: usize = 1;
/// Leaves that the paravirtual clock adds.
const OF_PVCLOCK: usize = 2;

const STANDARD: usize = 2;
const EXTENDED: usize = 9;

/// The first of the extended leaves, and the last that the model has.
const EXTENDED_FIRST: u32 = 0x8000_0000;
const EXTENDED_LAST: u32 = 0x8000_0008;

/// The first of the three leaves with the CPU's name.
const BRAND_FIRST: u32 = 0x8000_0002;

const VENDOR: &[u8; 12] = b"Tollgate CPU";
const BRAND: &[u8; 20] = b"Tollgate virtual CPU";

/// Leaf 1 EDX: FPU, DE, PSE, TSC, MSR, PAE, CX8, SEP, PGE, CMOV, CLFSH, MMX, FXSR, SSE, SSE2.
const LEAF1_EDX: u32 = 1 << 0
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 8
    | 1 << 11
    | 1 << 13
    | 1 << 15
    | 1 << 19
    | 1 << 23
    | 1 << 24
    | 1 << 25
    | 1 << 26;
/// Leaf 1 ECX: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT.
const LEAF1_ECX: u32 = 1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23;
/// The part of leaf 1 EDX that AMD repeats in leaf 8000_0001 EDX.
const REPEATED_EDX: u32 = LEAF1_EDX & 0x0183_f3ff & !(1 << 11);
/// Leaf 8000_0001 EDX: SYSCALL, NX, FFXSR, 1 GiB pages, RDTSCP, long mode.
const EXTENDED_EDX: u32 = 1 << 11 | 1 << 20 | 1 << 25 | 1 << 26 | 1 << 27 | 1 << 29;
/// Leaf 8000_0001 ECX: LAHF in long mode, ABM, SSE4A, 3DNow! prefetch.
const EXTENDED_ECX: u32 = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 8;
/// CLFLUSH line of 64 bytes, in units of 8, in leaf 1 EBX bits 15:8.
const CLFLUSH_64: u32 = 8 << 8;

impl CpuidModel {
    /// The model `minimal` on a host that answers CPUID with `host`.
    pub fn minimal(host: impl Fn(u32) -> Leaf) -> Self {
        let [signature, _, ecx, edx] = host(1);
        let [_, _, extended_ecx, extended_edx] = host(0x8000_0001);
        let [sizes, ..] = host(0x8000_0008);
        let word = |text: &[u8], index: usize| {
            text.iter()
                .skip(index * 4)
                .take(4)
                .rev()
                .fold(0, |word, byte| word << 8 | u32::from(*byte))
        };
        let vendor = |largest| [largest, word(VENDOR, 0), word(VENDOR, 2), word(VENDOR, 1)];
        let brand = |leaf: usize| core::array::from_fn(|i| word(BRAND, leaf * 4 + i));
        CpuidModel {
            leaves: [
                vendor(1),
                [signature, CLFLUSH_64, ecx & LEAF1_ECX, edx & LEAF1_EDX],
                vendor(0x8000_0008),
                [
                    signature,
                    0,
                    extended_ecx & EXTENDED_ECX,
                    extended_edx & (EXTENDED_EDX | REPEATED_EDX),
                ],
                brand(0),
                brand(1),
                brand(2),
                [0; 4],
                [0; 4],
                [0; 4],
                [sizes & 0xffff, 0, 0, 0],
                [0; 4],
            ],
            added: Vec::new(),
        }
    }

    /// The model of a CPU with a local APIC, whose timer runs while the CPU waits and, if the CPU
    /// has a TSC, knows its deadlines.
    pub fn show_apic(&mut self) {
        const APIC: u32 = 1 << 9;
        const TSC: u32 = 1 << 4;
        const TSC_DEADLINE: u32 = 1 << 24;
        const POWER: u32 = 6;
        const TIMER_ALWAYS_RUNS: u32 = 1 << 2;
        self.change(1, |[eax, ebx, ecx, edx]| {
            let deadline = if edx & TSC != 0 { TSC_DEADLINE } else { 0 };
            [eax, ebx, ecx | deadline, edx | APIC]
        });
        self.change(0x8000_0001, |[eax, ebx, ecx, edx]| {
            [eax, ebx, ecx, edx | APIC]
        });
        let [eax, ebx, ecx, edx] = self.added(POWER, 0).unwrap_or_default();
        self.add((POWER, 0), [eax | TIMER_ALWAYS_RUNS, ebx, ecx, edx]);
    }

    /// The model of a CPU under a hypervisor with KVM's paravirtual clock, and nothing else of KVM.
    pub fn show_pvclock(&mut self) {
        const HYPERVISOR: u32 = 1 << 31;
        const NAME: u32 = 0x4000_0000;
        const FEATURES: u32 = NAME + 1;
        const KVM: [u32; 3] = [0x4b4d_564b, 0x564b_4d56, 0x4d];
        const CLOCK: u32 = 1 << 3;
        const CLOCK_IS_STABLE: u32 = 1 << 24;
        self.change(1, |[eax, ebx, ecx, edx]| [eax, ebx, ecx | HYPERVISOR, edx]);
        let [ebx, ecx, edx] = KVM;
        self.set_added((NAME, 0), [FEATURES, ebx, ecx, edx]);
        self.set_added((FEATURES, 0), [CLOCK | CLOCK_IS_STABLE, 0, 0, 0]);
    }

    /// The model as a policy changes it, on a host that answers a leaf and a subleaf of CPUID
    /// with `host`. The largest leaf grows with what is added, unless a rule is about it.
    pub fn with(mut self, rules: &[CpuidRule], host: impl Fn(u32, u32) -> Leaf) -> Self {
        for rule in rules {
            let host = host(rule.leaf, rule.subleaf);
            let place = (rule.leaf, rule.subleaf);
            let before = self.added.iter().find(|(at, _)| *at == place);
            let model = before.map_or_else(|| self.leaf(rule.leaf), |(_, leaf)| *leaf);
            let changed = core::array::from_fn(|i| {
                model[i] & rule.keep[i] | host[i] & rule.host[i] | rule.set[i]
            });
            match index(rule.leaf) {
                Some(index) if rule.subleaf == 0 => self.leaves[index] = changed,
                _ => self.set_added(place, changed),
            }
        }
        for largest in [0, EXTENDED_FIRST] {
            if rules.iter().all(|rule| rule.leaf != largest) {
                self.reach_added(largest);
            }
        }
        self
    }

    /// Changes a leaf that the model has.
    fn change(&mut self, leaf: u32, to: impl FnOnce(Leaf) -> Leaf) {
        if let Some(index) = index(leaf) {
            self.leaves[index] = to(self.leaves[index]);
        }
    }

    /// Adds a leaf, and has the largest of its range reach it.
    fn add(&mut self, place: (u32, u32), leaf: Leaf) {
        self.set_added(place, leaf);
        self.reach_added(place.0 & EXTENDED_FIRST);
    }

    fn set_added(&mut self, place: (u32, u32), leaf: Leaf) {
        match self.added.iter_mut().find(|(at, _)| *at == place) {
            Some((_, before)) => *before = leaf,
            // There is room for the host's own, and the policy's checks hold it to as many as fit.
            None => drop(self.added.push((place, leaf))),
        }
    }

    /// Has a range's first leaf tell of the largest that was added to the range.
    fn reach_added(&mut self, first: u32) {
        let added = self.added.iter().map(|((leaf, _), _)| *leaf);
        let range = added.filter(|leaf| (first..=first | 0xffff).contains(leaf));
        if let Some(last) = range.max() {
            self.change(first, |[eax, ebx, ecx, edx]| [last.max(eax), ebx, ecx, edx]);
        }
    }

    /// What CPUID returns for a leaf that the policy added.
    pub fn added(&self, leaf: u32, subleaf: u32) -> Option<Leaf> {
        let subleaf = if has_subleaves(leaf) { subleaf } else { 0 };
        let added = self.added.iter().find(|(at, _)| *at == (leaf, subleaf));
        added.map(|(_, registers)| *registers)
    }

    /// What CPUID returns for `leaf`; zeroes for a leaf that the model does not have.
    #[inline(always)]
    pub fn leaf(&self, leaf: u32) -> Leaf {
        self.leaves[index(leaf).unwrap_or(STANDARD + EXTENDED)]
    }

    /// Whether the model has a CPU with this leaf 8000_0001 EDX bit.
    pub fn has_extended_edx(&self, bit: u8) -> bool {
        self.leaf(0x8000_0001)[3] >> bit & 1 != 0
    }
}

/// Where the model has a leaf.
#[inline(always)]
const fn index(leaf: u32) -> Option<usize> {
    match leaf {
        0..=1 => Some(leaf as usize),
        EXTENDED_FIRST..=EXTENDED_LAST => Some((leaf - EXTENDED_FIRST) as usize + STANDARD),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything(_: u32) -> Leaf {
        [u32::MAX; 4]
    }

    #[test]
    fn the_model_hides_what_the_vmm_does_not_keep() {
        let model = CpuidModel::minimal(everything);
        let [_, _, ecx, edx] = model.leaf(1);
        for (name, bit) in [
            ("MONITOR", 3),
            ("x2APIC", 21),
            ("XSAVE", 26),
            ("AVX", 28),
            ("hypervisor", 31),
        ] {
            assert_eq!(ecx >> bit & 1, 0, "{name}");
        }
        for (name, bit) in [
            ("MCE", 7),
            ("APIC", 9),
            ("MTRR", 12),
            ("MCA", 14),
            ("PAT", 16),
        ] {
            assert_eq!(edx >> bit & 1, 0, "{name}");
        }
        let [_, _, ecx, edx] = model.leaf(0x8000_0001);
        assert_eq!(ecx >> 2 & 1, 0, "SVM");
        for (name, bit) in [
            ("MCE", 7),
            ("APIC", 9),
            ("MTRR", 12),
            ("MCA", 14),
            ("PAT", 16),
        ] {
            assert_eq!(edx >> bit & 1, 0, "{name}");
        }
    }

    #[test]
    fn the_model_promises_nothing_that_the_host_lacks() {
        let model = CpuidModel::minimal(|_| [0; 4]);
        assert_eq!(model.leaf(1)[2..], [0, 0]);
        assert_eq!(model.leaf(0x8000_0001)[2..], [0, 0]);
    }

    #[test]
    fn leaves_beyond_the_model_are_zero() {
        let model = CpuidModel::minimal(everything);
        for leaf in [2, 7, 0x4000_0000, 0x8000_0009, 0x8000_000a, u32::MAX] {
            assert_eq!(model.leaf(leaf), [0; 4], "{leaf:#x}");
        }
        assert_eq!(model.leaf(0)[0], 1);
        assert_eq!(model.leaf(0x8000_0000)[0], 0x8000_0008);
    }
}
