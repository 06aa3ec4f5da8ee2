//! Physical interrupt lines that the policy gives to VMs (`[irq]` in `vm.toml`).
//!
//! A line that came stays masked in the machine's controllers until its guest has ended the
//! interrupt in its own. So a level-triggered line does not storm, and a guest that never
//! answers blocks nobody else.

use super::Guest;
use crate::host::irq::{self, LineSet};
use crate::host::pic::Pic;
use crate::host::ports::Ports;
use crate::policy::{Route, RouteTo};

/// The second controller's line on the first: it carries lines 8 to 15.
const CASCADE: u8 = 2;

/// Which VM has each line, and which lines wait for their guest.
pub(super) struct Routes {
    owners: [Option<usize>; 16],
    waiting: LineSet,
}

impl Routes {
    /// Opens the lines that have an owner in `routes`, and closes all others but the VMM's timer.
    pub fn open(routes: &[Route], pic: &mut Pic<impl Ports>) -> Routes {
        let mut owners = [None; 16];
        for line in (0..16).filter(|line| ![irq::TIMER, CASCADE].contains(line)) {
            match routes.iter().find(|route| route.line == line) {
                Some(route) => {
                    pic.enable(line);
                    if let RouteTo::Vm(index) = route.to {
                        owners[usize::from(line)] = Some(index);
                    }
                }
                None => pic.disable(line),
            }
        }
        Routes {
            owners,
            waiting: LineSet::default(),
        }
    }

    /// Raises the virtual line of each of `lines` that a VM owns.
    pub fn deliver(&mut self, lines: LineSet, guests: &mut [&'static mut Guest]) {
        for line in lines.iter() {
            let owner = self.owners[usize::from(line)];
            let guest = owner.and_then(|index| guests.get_mut(index));
            if let Some(vm) = guest.and_then(|guest| guest.vm()) {
                vm.devices.pic.pulse(line);
                vm.awaits_end_of_interrupt = true;
                self.waiting.0 |= 1 << line;
            }
        }
    }

    /// Opens again each line whose guest has ended its interrupt.
    pub fn reopen(&mut self, guests: &mut [&'static mut Guest], pic: &mut Pic<impl Ports>) {
        if self.waiting.is_empty() {
            return;
        }
        let waiting = self.waiting;
        for (index, guest) in guests.iter_mut().enumerate() {
            let Some(vm) = guest.vm() else { continue };
            vm.awaits_end_of_interrupt = false;
            for line in waiting.iter() {
                if self.owners[usize::from(line)] != Some(index) {
                    continue;
                }
                if vm.devices.pic.is_busy(line) {
                    vm.awaits_end_of_interrupt = true;
                } else {
                    vm.devices.pic.set_line(line, false);
                    pic.enable(line);
                    self.waiting.0 &= !(1 << line);
                }
            }
        }
    }
}
