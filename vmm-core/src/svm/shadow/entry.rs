//! What the entries of shadow tables are made of: the guest's entries, and the way to them.

use super::guest::{
    ACCESSED, DIRTY, FRAME, GLOBAL, LARGE, NO_EXECUTE, PRESENT, Paging, USER, WRITABLE,
};
use super::key::Key;
use super::{Access, Kind, Shadow};
use crate::addr::PAGE;

impl Shadow {
    /// The table that entry `index` of a table leads to where the guest's entry is `guest`;
    /// `None`: to none.
    pub(super) fn below(&self, key: Key, index: u16, guest: u64) -> Option<Key> {
        let level = key.level - 1;
        let next = Key { level, ..key };
        if key.direct {
            let frames = u32::from(index) << (9 * level);
            return Some(Key {
                frame: key.frame.checked_add(frames)?,
                ..next
            });
        }
        let kind = key.mode.kind;
        if kind == Kind::TwoLevel && key.level == 3 {
            return Some(Key {
                part: index as u8,
                ..next
            });
        }
        let is_pointer = kind == Kind::Pae && key.level == 3;
        let paging = Paging {
            mode: key.mode,
            ..self.paging
        };
        let level = usize::from(key.level);
        if guest & PRESENT == 0
            || !is_pointer && guest & ACCESSED == 0
            || guest & paging.reserved(level, guest) != 0
        {
            return None;
        }
        let (rights, no_execute) = if is_pointer {
            (key.rights, key.no_execute)
        } else {
            let mask = guest as u8 | !(WRITABLE | USER) as u8;
            (key.rights & mask, key.no_execute || guest & NO_EXECUTE != 0)
        };
        let half = if kind == Kind::TwoLevel { index & 1 } else { 0 };
        if !paging.is_large(level, guest) {
            return Some(Key {
                frame: u32::try_from((guest & FRAME) / PAGE).ok()?,
                part: half as u8,
                rights,
                no_execute,
                ..next
            });
        }
        let first = (paging.frame(level, guest) / PAGE) & !((1 << (9 * next.level)) - 1);
        let mask = guest as u8 | !DIRTY as u8;
        let global = if guest & GLOBAL != 0 { LARGE as u8 } else { 0 };
        Some(Key {
            frame: u32::try_from(first + u64::from(half) * 512).ok()?,
            direct: true,
            part: 0,
            rights: rights & mask | global,
            no_execute,
            ..next
        })
    }

    /// The entry that maps `frame` for an access that the guest's tables allow.
    pub(super) fn leaf(&self, key: Key, guest: u64, frame: u32, access: Access) -> u64 {
        let rights = key.rights(guest);
        let may_write = rights.bits & WRITABLE != 0;
        let mut entry =
            self.pool.address_of(frame) | (PRESENT | ACCESSED) | rights.bits & USER | rights.global;
        // Without CR0.WP the supervisor writes to what the user may only read.
        let beyond = access.write && !access.user && !may_write;
        if beyond {
            entry &= !USER;
        }
        if (beyond || may_write) && rights.is_dirty && !self.pool.is_guarded(frame) {
            entry |= WRITABLE | DIRTY;
        }
        if rights.no_execute {
            entry | NO_EXECUTE
        } else {
            entry
        }
    }

    /// Whether the guest's entry allows all that the shadow entry does.
    pub(super) fn is_covered(&self, key: Key, guest: u64, entry: u64) -> bool {
        if guest & (PRESENT | ACCESSED) != PRESENT | ACCESSED {
            return false;
        }
        let paging = Paging {
            mode: key.mode,
            ..self.paging
        };
        let rights = key.rights(guest);
        let writes = entry & WRITABLE != 0;
        let by_user = entry & USER != 0;
        let may_write = rights.bits & WRITABLE != 0 || !by_user && !key.mode.write_protect;
        guest & paging.reserved(1, guest) == 0
            && paging.frame(1, guest) / PAGE == u64::from(self.pool.mapped(entry))
            && (!by_user || rights.bits & USER != 0)
            && (!writes || rights.is_dirty && may_write)
            && (entry & NO_EXECUTE != 0 || !rights.no_execute)
            && entry & GLOBAL & !rights.global == 0
    }
}
