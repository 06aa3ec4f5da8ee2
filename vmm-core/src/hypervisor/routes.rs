//! Physical interrupt lines that the policy gives to VMs (`[irq]` in `vm.toml`).
//!
//! A line that came stays masked in the machine's controllers until its guest has ended the
//! interrupt in its own. So a level-triggered line does not storm, and a guest that never
//! answers blocks nobody else.

use super::Guest;
use crate::devices;
use crate::host::irq::{self, LineSet};
use crate::host::isa::IsaLines;
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
    pub fn open(routes: &[Route], controller: &mut impl IsaLines) -> Routes {
        let mut owners = [None; 16];
        for line in (0..16).filter(|line| ![irq::TIMER, CASCADE].contains(line)) {
            match routes.iter().find(|route| route.line == line) {
                Some(route) => {
                    controller.enable(line);
                    if let RouteTo::Vm(index) = route.to {
                        owners[usize::from(line)] = Some(index);
                    }
                }
                None => controller.disable(line),
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
            let Some(owner) = self.owners[usize::from(line)] else {
                continue;
            };
            // While its VM is off the line waits for a life that has not taken it.
            self.waiting.0 |= 1 << line;
            if let Some(vm) = guests.get_mut(owner).and_then(|guest| guest.vm()) {
                let pic = &mut vm.devices.pic;
                pic.take_accepted(line);
                pic.pulse(line);
                vm.awaits_end_of_interrupt = true;
            }
        }
    }

    /// Opens again each line whose guest has ended its interrupt.
    pub fn reopen(&mut self, guests: &mut [&'static mut Guest], controller: &mut impl IsaLines) {
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
                if is_done_with(&mut vm.devices.pic, line) {
                    controller.enable(line);
                    self.waiting.0 &= !(1 << line);
                } else {
                    vm.awaits_end_of_interrupt = true;
                }
            }
        }
    }
}

/// Whether the guest has taken and ended the interrupt of `line`, or has forgotten it by setting
/// up its controller anew. A line that it has level-triggered asks until it was taken.
fn is_done_with(pic: &mut devices::Pic, line: u8) -> bool {
    if pic.take_accepted(line) {
        pic.set_line(line, false);
    }
    !pic.is_requested(line) && !pic.is_in_service(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Pic;

    const LINE: u8 = 11;

    /// The guest's controllers after their set-up, with `LINE` open, and level-triggered if so.
    fn set_up(level: bool) -> Pic {
        let mut pic = Pic::new();
        for (port, values) in [
            (0x20, [0x11].as_slice()),
            (0x21, &[0x20, 4, 1, 0xfb]),
            (0xa0, &[0x11]),
            (0xa1, &[0x28, 2, 1, 0xf7]),
        ] {
            values.iter().for_each(|value| pic.write(port, *value));
        }
        if level {
            pic.write_elcr(0x4d1, 1 << (LINE - 8));
        }
        pic
    }

    fn end(pic: &mut Pic) {
        pic.write(0xa0, 0x20);
        pic.write(0x20, 0x20);
    }

    #[test]
    fn a_line_is_done_with_once_its_interrupt_was_taken_and_ended() {
        for level in [false, true] {
            let mut pic = set_up(level);
            pic.pulse(LINE);
            assert!(!is_done_with(&mut pic, LINE), "requested");
            assert_eq!(pic.acknowledge(), 0x28 + LINE - 8);
            assert!(!is_done_with(&mut pic, LINE), "in service");
            end(&mut pic);
            assert!(is_done_with(&mut pic, LINE), "level: {level}");
            assert!(!pic.interrupt_pending());
        }
    }

    #[test]
    fn a_level_that_was_taken_and_ended_between_two_looks_is_done_with() {
        let mut pic = set_up(true);
        pic.pulse(LINE);
        pic.acknowledge();
        end(&mut pic);
        assert!(pic.interrupt_pending(), "nobody has lowered the line yet");
        assert!(is_done_with(&mut pic, LINE));
        assert!(!pic.interrupt_pending());
    }

    #[test]
    fn a_line_that_the_guest_masks_waits() {
        let mut pic = set_up(true);
        pic.write(0xa1, 0xff);
        pic.pulse(LINE);
        for _ in 0..10 {
            assert!(!is_done_with(&mut pic, LINE));
        }
        pic.write(0xa1, 0xf7);
        assert!(pic.interrupt_pending());
    }

    #[test]
    fn a_guest_that_sets_up_its_controller_anew_has_forgotten_the_interrupt() {
        let mut pic = set_up(false);
        pic.pulse(LINE);
        pic.acknowledge();
        pic.write(0xa0, 0x11);
        assert!(is_done_with(&mut pic, LINE));
    }
}
