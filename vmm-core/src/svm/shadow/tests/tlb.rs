//! The CPU's TLB: what it may hold until VMRUN is told to flush it, by ASID and page.

use std::collections::BTreeMap;

use super::*;

/// The ASID of the guest, and one of somebody else.
const ASID: u32 = 1;
const OTHER: u32 = 2;

#[derive(Default)]
pub(super) struct Tlb(BTreeMap<(u32, u64), Translation>);

#[derive(Clone, Copy)]
struct Translation {
    frame: u64,
    allowed: Access,
    is_global: bool,
    /// It was there, and global, when the guest changed to another address space: the guest may
    /// not have meant it to be there any more.
    is_left: bool,
}

impl Tlb {
    /// What VMRUN does as TLB_CONTROL says (APM 15.16.1). Something of somebody else is there.
    pub(super) fn enter(&mut self, control: u8) {
        let other = Translation {
            frame: 0,
            allowed: Access::of(0),
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
    pub(super) fn has_other(&self) -> bool {
        self.0.contains_key(&(OTHER, 0))
    }

    /// The guest has changed to another address space, which spares what is global.
    pub(super) fn leave(&mut self) {
        let global = self.0.values_mut().filter(|entry| entry.is_global);
        global.for_each(|entry| entry.is_left = true);
    }

    /// The guest has had everything flushed.
    pub(super) fn expect_all_fresh(&mut self) {
        let all = self.0.values_mut();
        all.for_each(|entry| entry.is_left = false);
    }

    /// What a translation is that the TLB has, if it allows the access, and whether it may be one
    /// that was left.
    pub(super) fn find(&self, linear: u64, how: Access) -> Option<(u64, bool)> {
        let entry = self.0.get(&(ASID, linear / PAGE))?;
        let allows = entry.allowed.write >= how.write && entry.allowed.user >= how.user;
        allows.then_some((entry.frame * PAGE + linear % PAGE, entry.is_left))
    }

    /// How many translations there are of the guest's.
    pub(super) fn len(&self) -> usize {
        self.0.keys().filter(|(asid, _)| *asid == ASID).count()
    }

    /// Takes in what a walk has found.
    pub(super) fn keep(&mut self, linear: u64, gpa: u64, how: Access, is_global: bool) {
        let new = Translation {
            frame: gpa / PAGE,
            allowed: how,
            is_global,
            is_left: false,
        };
        let entry = self.0.entry((ASID, linear / PAGE)).or_insert(new);
        let wider = |a: Access, b: Access| a.write >= b.write && a.user >= b.user;
        let is_alike = entry.frame == new.frame && entry.is_global == is_global;
        // A page that is walked anew has the rights of that walk.
        if !is_alike || wider(how, entry.allowed) {
            *entry = new;
        }
    }
}
