//! The CPU's TLB: what it may hold until VMRUN is told to flush it, by ASID and page.

use std::collections::BTreeMap;

use super::*;

/// The ASID of the guest, and one of somebody else.
const ASID: u32 = 1;
const OTHER: u32 = 2;

#[derive(Default)]
pub(crate) struct Tlb(BTreeMap<(u32, u64), Translation>);

struct Translation {
    frame: u64,
    allowed: Vec<Access>,
    is_global: bool,
    /// It was there, and global, when the guest changed to another address space: the guest may
    /// not have meant it to be there any more.
    is_left: bool,
}

impl Tlb {
    /// What VMRUN does as TLB_CONTROL says (APM 15.16.1). Something of somebody else is there.
    pub(crate) fn enter(&mut self, control: u8) {
        let other = Translation {
            frame: 0,
            allowed: Vec::new(),
            is_global: false,
            is_left: false,
        };
        self.0.insert((OTHER, 0), other);
        match control {
            0 => {}
            1 => self.0.clear(),
            3 => self.0.retain(|(asid, _), _| *asid != ASID),
            7 => self
                .0
                .retain(|(asid, _), entry| *asid != ASID || entry.is_global),
            other => panic!("TLB_CONTROL {other}"),
        }
    }

    /// Whether somebody else's is still there.
    pub(crate) fn has_other(&self) -> bool {
        self.0.contains_key(&(OTHER, 0))
    }

    /// The guest has changed to another address space, which spares what is global.
    pub(crate) fn leave(&mut self) {
        let global = self.0.values_mut().filter(|entry| entry.is_global);
        global.for_each(|entry| entry.is_left = true);
    }

    /// The guest has had everything flushed.
    pub(crate) fn expect_all_fresh(&mut self) {
        let all = self.0.values_mut();
        all.for_each(|entry| entry.is_left = false);
    }

    /// The guest has had one page flushed.
    pub(crate) fn expect_fresh(&mut self, linear: u64) {
        if let Some(entry) = self.0.get_mut(&(ASID, linear / PAGE)) {
            entry.is_left = false;
        }
    }

    /// What a translation is that the TLB has, if it allows the access, and whether it may be one
    /// that was left.
    pub(crate) fn find(&self, linear: u64, how: Access) -> Option<(u64, bool)> {
        let entry = self.0.get(&(ASID, linear / PAGE))?;
        let found = (entry.frame * PAGE + linear % PAGE, entry.is_left);
        entry.allowed.contains(&how).then_some(found)
    }

    /// How many translations there are of the guest's.
    pub(super) fn len(&self) -> usize {
        self.0.keys().filter(|(asid, _)| *asid == ASID).count()
    }

    /// Takes in what a walk of the shadow tables finds, with all that it allows: the CPU asks no
    /// more, whatever the walk was for.
    pub(crate) fn fill(&mut self, shadow: &Shadow, linear: u64) {
        let ways = [0, 0b10, 0b100, 0b110, 0b1_0000, 0b1_0100].map(Access::of);
        let found = |how: &Access| cpu_find(shadow, linear, *how);
        if let Some((gpa, is_global)) = ways.iter().find_map(found) {
            let new = Translation {
                frame: gpa / PAGE,
                allowed: ways
                    .into_iter()
                    .filter(|how| found(how).is_some())
                    .collect(),
                is_global,
                is_left: false,
            };
            self.0.insert((ASID, linear / PAGE), new);
        }
    }
}
