//! A set of interrupt vectors, as IRR, ISR and TMR hold them: eight registers of 32 bits (APM
//! 16.6.1).

/// Some of the vectors 0 to 255.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Vectors([u32; 8]);

impl Vectors {
    pub const NONE: Vectors = Vectors([0; 8]);

    pub fn insert(&mut self, vector: u8) {
        self.0[usize::from(vector >> 5)] |= 1 << (vector & 31);
    }

    pub fn remove(&mut self, vector: u8) {
        self.0[usize::from(vector >> 5)] &= !(1 << (vector & 31));
    }

    pub const fn contains(&self, vector: u8) -> bool {
        self.0[(vector >> 5) as usize] >> (vector & 31) & 1 != 0
    }

    /// The vector of the highest priority.
    pub fn highest(&self) -> Option<u8> {
        let (index, word) = self.0.iter().enumerate().rfind(|(_, word)| **word != 0)?;
        Some((index * 32) as u8 + word.ilog2() as u8)
    }

    /// The register that has vectors from `32 * index` on.
    pub fn word(&self, index: u32) -> u32 {
        self.0.get(index as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_highest_vector_is_the_highest(vectors in prop::collection::btree_set(any::<u8>(), 0..20)) {
            let mut set = Vectors::default();
            for vector in &vectors {
                set.insert(*vector);
            }
            for vector in vectors.iter().rev() {
                prop_assert_eq!(set.highest(), Some(*vector));
                prop_assert!(set.word(u32::from(vector >> 5)) >> (vector & 31) & 1 != 0);
                set.remove(*vector);
            }
            prop_assert_eq!(set, Vectors::default());
            prop_assert_eq!(set.highest(), None);
        }
    }
}
