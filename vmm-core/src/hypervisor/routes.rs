//! Physical interrupt lines that the policy gives to VMs (`[irq]` in `vm.toml`).
//!
//! A line that came is held in the machine's controllers until its guest has ended the interrupt
//! in its own. So a level-triggered line does not storm, and a guest that never answers blocks
//! nobody else.

use super::Guest;
use crate::host::irq::{self, LineSet};
use crate::host::isa::IsaLines;
use crate::journal::Happening;
use crate::policy::{Route, RouteTo};
use crate::sched::VmSet;

/// The second controller's line on the first: it carries lines 8 to 15.
const CASCADE: u8 = 2;

/// Who has each line, and which lines wait.
pub(super) struct Routes {
    owners: [RouteTo; 16],
    /// Lines that have come and whose interrupt is not over.
    waiting: LineSet,
    /// The VM that was told of each of those; none while there is none to be told.
    told: [Option<usize>; 16],
}

impl Routes {
    /// Opens the lines that have an owner in `routes`, and closes all others but the VMM's timer and
    /// the serial ports' second line, which is open if the person's port is on it.
    pub fn open(routes: &[Route], controller: &mut impl IsaLines) -> Routes {
        let mut owners = [RouteTo::Vmm; 16];
        let kept = [irq::TIMER, CASCADE, irq::COM2];
        for line in (0..16).filter(|line| !kept.contains(line)) {
            match routes.iter().find(|route| route.line == line) {
                Some(route) => {
                    controller.enable(line);
                    owners[usize::from(line)] = route.to;
                }
                None => controller.disable(line),
            }
        }
        Routes {
            owners,
            waiting: LineSet::default(),
            told: [None; 16],
        }
    }

    /// Whether [`serve`](Self::serve) has something to do when `lines` have come.
    #[inline]
    pub fn concern(&self, lines: LineSet) -> bool {
        !lines.is_empty() || !self.waiting.is_empty()
    }

    /// Brings `lines`, which have come, to those VMs that own them, as far as they are on, and
    /// opens again each line whose guest has ended its interrupt. Returns the VMs that were told
    /// of one.
    pub fn serve(
        &mut self,
        lines: LineSet,
        focus: usize,
        guests: &mut [&'static mut Guest],
        controller: &mut impl IsaLines,
    ) -> VmSet {
        for line in lines.iter() {
            if self.owners[usize::from(line)] != RouteTo::Vmm {
                self.waiting.0 |= 1 << line;
                self.told[usize::from(line)] = None;
            }
        }
        let told = self.tell(focus, guests);
        self.reopen(guests, controller);
        told
    }

    /// Raises the virtual line of each line that no VM has been told of. A line whose VM is off
    /// waits until it is on.
    fn tell(&mut self, focus: usize, guests: &mut [&'static mut Guest]) -> VmSet {
        let mut all_told = VmSet::NONE;
        for line in self.waiting.iter() {
            let owner = match self.owners[usize::from(line)] {
                RouteTo::Vmm => continue,
                RouteTo::Vm(index) => index,
                RouteTo::Focus => focus,
            };
            let told = &mut self.told[usize::from(line)];
            let guest = guests.get_mut(owner);
            let instance = guest.and_then(|guest| guest.instance());
            if let (None, Some(instance)) = (*told, instance) {
                instance.happens(Happening::Line(line));
                *told = Some(owner);
                all_told.insert(owner);
            }
        }
        all_told
    }

    fn reopen(&mut self, guests: &mut [&'static mut Guest], controller: &mut impl IsaLines) {
        for guest in guests.iter_mut() {
            let instance = guest.instance();
            if let Some(instance) = instance.filter(|instance| instance.vm.awaits_end_of_interrupt)
            {
                instance.happens(Happening::Awaits(false));
            }
        }
        for line in self.waiting.iter() {
            let Some(told) = self.told[usize::from(line)] else {
                continue;
            };
            let guest = guests.get_mut(told);
            let is_over = guest
                .and_then(|guest| guest.instance())
                .is_none_or(|instance| {
                    let is_over = instance.happens(Happening::Over(line));
                    if !is_over {
                        instance.happens(Happening::Awaits(true));
                    }
                    is_over
                });
            if is_over {
                controller.enable(line);
                self.waiting.0 &= !(1 << line);
            }
        }
    }
}
