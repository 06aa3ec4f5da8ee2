//! The screen of the VM in focus, on the machine's.

use super::Hypervisor;
use crate::addr::Gpa;
use crate::devices::DeviceSet;
use crate::host::screen::{CELLS, Cell, SCREEN};

impl Hypervisor {
    /// Shows the page that the VM in focus has in its text memory.
    pub(super) fn paint(&mut self) {
        const TEXT: u64 = 0xb_8000;
        if self.keys.is_open() {
            return;
        }
        let guest = self.guests.get(self.focus);
        let Some(life) = guest.and_then(|guest| guest.life.as_ref()) else {
            return;
        };
        let vm = &life.instance.vm;
        if !vm.policy.devices.contains(DeviceSet::VGA) {
            return;
        }
        let start = vm.devices.vga.start_address();
        let mut cells = [0; CELLS];
        vm.memory
            .read_cells(Gpa(TEXT + 2 * u64::from(start)), &mut cells);
        let cursor = vm
            .devices
            .vga
            .cursor()
            .and_then(|cursor| cursor.cell.checked_sub(start))
            .map(usize::from);
        SCREEN.lock().show_page(&cells.map(Cell), cursor);
    }
}
