//! What the CPU must forget of the guest's translations before the guest goes on (APM 15.16).
//!
//! It has global translations where the guest has, and they outlive a change of the address space,
//! as in the guest's own TLB. One of a space that was left is not to be found any more by INVLPG,
//! which then forgets everything.

use crate::svm::tlb::Flush;

const NON_GLOBAL: u8 = 1 << 0;
const ALL: u8 = 1 << 1;

/// What has been asked for since the guest ran.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owed {
    asked: u8,
    /// Global translations of another address space may be there.
    is_mixed: bool,
}

impl Owed {
    /// A translation is gone, or has lost rights, if `holds`.
    #[inline(always)]
    pub(super) fn all_if(&mut self, holds: bool) {
        self.asked |= u8::from(holds) * ALL;
    }

    /// Another address space is in use.
    pub(super) fn non_global(&mut self) {
        self.asked |= NON_GLOBAL;
    }

    /// The guest has INVLPG forget a page, be it global or not.
    pub(super) fn page(&mut self) {
        self.all_if(self.is_mixed);
    }

    /// What to flush, which is done then.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Flush {
        if self.asked == 0 {
            return Flush::Nothing;
        }
        self.is_mixed = self.asked == NON_GLOBAL;
        self.asked = 0;
        if self.is_mixed {
            Flush::NonGlobal
        } else {
            Flush::All
        }
    }
}
