//! A set of VMs, by their indexes.

use super::MAX_VMS;

/// Some of the VMs. An index that no VM can have is never in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmSet(u64);

const _: () = assert!(MAX_VMS == u64::BITS as usize, "a VM is a bit of the set");

impl VmSet {
    /// No VM.
    pub const NONE: VmSet = VmSet(0);

    /// Adds a VM.
    #[inline]
    pub fn insert(&mut self, index: usize) {
        self.0 |= bit(index);
    }

    /// Takes a VM out.
    #[inline]
    pub fn remove(&mut self, index: usize) {
        self.0 &= !bit(index);
    }

    /// Takes out the VM with the least index.
    #[inline]
    pub fn pop(&mut self) -> Option<usize> {
        let first = (self.0 != 0).then(|| self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(first)
    }

    /// Whether a VM is in it.
    #[inline]
    pub fn contains(self, index: usize) -> bool {
        self.0 & bit(index) != 0
    }

    /// Whether no VM is in it.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl core::ops::BitOrAssign for VmSet {
    #[inline]
    fn bitor_assign(&mut self, more: VmSet) {
        self.0 |= more.0;
    }
}

/// The VM's place in the set; none for an index that is too large.
#[inline]
fn bit(index: usize) -> u64 {
    u64::from(index < MAX_VMS) << (index % MAX_VMS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_the_set_of_what_was_put_in_and_not_taken_out(
            steps in prop::collection::vec((any::<bool>(), 0usize..80), 0..100),
        ) {
            let (mut set, mut model) = (VmSet::NONE, BTreeSet::new());
            for (insert, index) in steps {
                if insert {
                    set.insert(index);
                    model.extend((index < MAX_VMS).then_some(index));
                } else {
                    set.remove(index);
                    model.remove(&index);
                }
                prop_assert_eq!(set.contains(index), model.contains(&index));
            }
            prop_assert_eq!(set.is_empty(), model.is_empty());
            prop_assert!(core::iter::from_fn(|| set.pop()).eq(model));
        }
    }
}
