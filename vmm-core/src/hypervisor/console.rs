//! The console: what a person types goes to the VM in focus, or is an order to the VMM.

use super::{Guest, Hypervisor};
use crate::console::{HEADING, HELP, Order, Pressed, Row, Sample, Typed};
use crate::host::log::{say, turn_back};
use crate::host::screen::SCREEN;
use crate::host::tsc;
use crate::journal::Happening;
use crate::vm::{How, State, Vm};

impl Hypervisor {
    /// A byte of the serial line.
    pub(super) fn typed(&mut self, byte: u8) {
        self.news.insert(self.focus);
        match self.keys.feed(byte) {
            Typed::Guest(byte) => {
                if let Some(guest) = self.guests.get_mut(self.focus) {
                    guest.type_byte(byte);
                    self.typed_to = Some(self.focus);
                }
            }
            Typed::Order(order) => self.obey(order),
        }
    }

    /// A byte of the keyboard.
    pub(super) fn pressed(&mut self, byte: u8) {
        self.news.insert(self.focus);
        let pressed = self.chord.feed(byte, self.keys.is_open());
        let Some(guest) = self.guests.get_mut(self.focus) else {
            return;
        };
        match pressed {
            Pressed::Guest { extended, code } => {
                const EXTENDED: u8 = 0xe0;
                if extended {
                    guest.key(EXTENDED);
                }
                guest.key(code);
                self.typed_to = Some(self.focus);
            }
            Pressed::Chord => {
                let order = self.keys.open();
                self.obey(order);
            }
            Pressed::Console(character) => {
                if let Typed::Order(order) = self.keys.feed(character) {
                    self.obey(order);
                }
            }
            Pressed::Nothing => {}
        }
    }

    /// What it takes is no VM's.
    fn obey(&mut self, order: Order) {
        self.charge();
        if let Some(guest) = self.guests.get_mut(self.focus) {
            self.chord.let_go(|byte| {
                guest.key(byte);
                self.typed_to = Some(self.focus);
            });
        }
        match order {
            Order::List => self.list(),
            Order::Close => self.go_to(self.focus),
            Order::Focus(index) => self.go_to(index),
            Order::Next => {
                self.focus = (self.focus + 1) % self.guests.len().max(1);
                self.list();
            }
            Order::Switch => {
                if self.is_ending() {
                    // It is off for the person, but not buried yet.
                    if let Some(guest) = self.guests.get_mut(self.focus) {
                        guest.start_again = !guest.start_again;
                    }
                } else if !self.turn_off("turned off at the console") {
                    if let Some(guest) = self.guests.get_mut(self.focus) {
                        guest.restarts = 0;
                    }
                    self.start_vm(self.focus);
                }
                self.list();
            }
            Order::Pause => {
                if let Some(guest) = self.guests.get_mut(self.focus) {
                    pause_or_go_on(guest);
                }
                self.list();
            }
            Order::Reset => {
                let is_on = self.turn_off("reset at the console");
                if let Some(guest) = self.guests.get_mut(self.focus) {
                    guest.start_again = is_on;
                }
                self.list();
            }
            Order::Button => self.press_power_button(),
            Order::Exits => self.exits(),
            Order::Log => turn_back(),
            Order::Quit => self.quit = true,
        }
    }

    /// Gives a VM the keyboard and the screen.
    fn go_to(&mut self, index: usize) {
        let Some(guest) = self.guests.get(index) else {
            say(format_args!("there is no VM {}", index + 1));
            return;
        };
        self.focus = index;
        self.paint_at = 0;
        let name = guest.policy.name;
        if guest.life.is_some() {
            say(format_args!(
                "{name} has the keyboard; Ctrl-] opens the console"
            ));
        } else {
            SCREEN.lock().show_log();
            say(format_args!("{name} is off; Ctrl-] s starts it"));
        }
    }

    /// Whether the VM in focus has ended a moment ago.
    fn is_ending(&mut self) -> bool {
        let vm = self.guests.get_mut(self.focus).and_then(|guest| guest.vm());
        vm.is_some_and(|vm| vm.end.is_some())
    }

    /// Ends the VM in focus; `false` if it is off.
    fn turn_off(&mut self, why: &str) -> bool {
        let vm = self.guests.get_mut(self.focus).and_then(|guest| guest.vm());
        vm.map(|vm| vm.finish(How::TurnedOff, format_args!("{why}")))
            .is_some()
    }

    /// Presses the power button of the VM in focus, which decides for itself what to do about it.
    fn press_power_button(&mut self) {
        let Some(guest) = self.guests.get_mut(self.focus) else {
            return;
        };
        let name = guest.policy.name;
        match guest
            .instance()
            .map(|instance| instance.happens(Happening::Button))
        {
            Some(true) => say(format_args!("{name}: its power button is pressed")),
            Some(false) => say(format_args!(
                "{name} does not listen for its power button; s turns it off"
            )),
            None => say(format_args!("{name} is off; s starts it")),
        }
    }

    /// Shows all VMs: their shares and exits since the list was last shown.
    fn list(&mut self) {
        SCREEN.lock().show_log();
        say(format_args!("{HEADING}"));
        let at = self.now();
        for (index, guest) in self.guests.iter_mut().enumerate() {
            let now = Sample {
                at,
                run: self.machine.tsc.ns(guest.account.run_cycles.get()),
                exits: guest.books.count(),
            };
            let before = core::mem::replace(&mut guest.sample, now);
            let row = Row {
                number: index + 1,
                name: guest.policy.name,
                state: state_of(guest),
                has_focus: index == self.focus,
                memory: guest.vm().map_or(0, |vm| vm.memory.bytes()),
                now,
                before,
            };
            say(format_args!("{row}"));
        }
        for line in HELP {
            say(format_args!("{line}"));
        }
    }

    /// Shows what the VM in focus has stopped for.
    fn exits(&mut self) {
        let Some(guest) = self.guests.get(self.focus) else {
            return;
        };
        say(format_args!("exits of {}:", guest.policy.name));
        for (exit, slot) in guest.books.exits() {
            let (count, _) = guest.books.total(slot);
            say(format_args!("{count:>12}  {}", exit.name));
        }
    }
}

fn state_of(guest: &Guest) -> &'static str {
    let vm = guest.life.as_ref().map(|life| &life.instance.vm);
    match (vm, guest.ended) {
        (Some(vm), _) => state_of_living(vm),
        (None, Some(how)) => how.name(),
        (None, None) => "off",
    }
}

fn state_of_living(vm: &Vm) -> &'static str {
    match (&vm.end, vm.paused, vm.state) {
        (Some(end), ..) => end.how.name(),
        (None, true, _) => "paused",
        (None, false, State::Runnable) => "running",
        (None, false, State::Waiting) => "waiting",
    }
}

/// Pauses a VM, or lets it go on: its clock and its TSC stand meanwhile.
fn pause_or_go_on(guest: &mut Guest) {
    let (now, since) = (tsc::now(), guest.paused_at);
    let Some(life) = guest.life.as_mut() else {
        return;
    };
    let instance = &mut life.instance;
    let pauses = !instance.vm.paused;
    instance.happens(Happening::Pause(pauses));
    if pauses {
        guest.paused_at = now;
    } else {
        instance.happens(Happening::LeaveOut(now.wrapping_sub(since)));
    }
}
