//! Devices behind memory: the page of the local APIC, and that of the I/O APIC.
//!
//! Their registers are 32 bits wide and 16 bytes apart. What reaches across a register's end, and a
//! write of another width, does nothing: the manuals leave it undefined.

use super::{DeviceSet, Devices, Effect, GuestTime, ioapic, lapic};
use crate::addr::{Gpa, PAGE};

/// Whose page it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Page {
    Lapic,
    Ioapic,
}

impl Devices {
    /// Whose page `gpa` is in, and the offset there.
    fn page(&self, gpa: Gpa) -> Option<(Page, u32)> {
        let (page, device) = match gpa.0 & !(PAGE - 1) {
            lapic::BASE => (Page::Lapic, DeviceSet::LAPIC),
            ioapic::BASE => (Page::Ioapic, DeviceSet::IOAPIC),
            _ => return None,
        };
        let offset = (gpa.0 & (PAGE - 1)) as u32;
        self.set.contains(device).then_some((page, offset))
    }

    /// Whether a device of this VM is at `gpa`.
    pub fn has_memory_at(&self, gpa: Gpa) -> bool {
        self.page(gpa).is_some()
    }

    /// Reads from a device; the bytes from `gpa` on are the low ones.
    pub fn read_memory(&mut self, gpa: Gpa, now: GuestTime) -> u64 {
        let Some((page, offset)) = self.page(gpa) else {
            return u64::MAX;
        };
        let register = offset & !0xf;
        let value = match page {
            Page::Lapic if !self.lapic.is_enabled() => return u64::MAX,
            Page::Lapic => self.lapic.read(register, now),
            Page::Ioapic => self.ioapic.read(register),
        };
        match offset & 0xf {
            byte @ 0..4 => u64::from(value) >> (8 * byte),
            _ => 0,
        }
    }

    /// Writes the `bytes` low bytes of `value` to a device.
    pub fn write_memory(&mut self, gpa: Gpa, bytes: u8, value: u32, now: GuestTime) -> Effect {
        let Some((page, offset)) = self.page(gpa).filter(|(_, at)| at & 0xf == 0) else {
            return Effect::None;
        };
        match page {
            _ if bytes < 4 => return Effect::None,
            Page::Lapic if !self.lapic.is_enabled() => return Effect::None,
            Page::Lapic => {
                let written = self.lapic.write(offset, value, now);
                self.heed(written);
            }
            Page::Ioapic => self.ioapic.write(offset, value, &mut self.lapic),
        }
        self.timer_written()
    }
}
