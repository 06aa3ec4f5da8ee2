//! The end of a VM, and of everything: what is said, what is given back, and the status.

use super::accounts::{send_denials, send_exits};
use super::{Guest, Hypervisor, traces};
use crate::error;
use crate::host::canary::Intact;
use crate::host::ending::{self, Status};
use crate::host::log::{self, Level};
use crate::host::{record, tsc};
use crate::info;
use crate::journal;
use crate::policy::Restart;
use crate::vm::create::{self, free_piece};
use crate::vm::{End, How, Instance};

impl Hypervisor {
    /// Tells of a VM's end, and gives back all that it had.
    pub(super) fn bury(&mut self, index: usize, end: &End) {
        if index == self.focus {
            self.paint();
        }
        if self.loaded == Some(index) {
            self.unload();
        }
        let guest = &mut *self.guests[index];
        guest.ended = Some(end.how);
        guest.forget_input();
        let Some(life) = guest.life.take() else {
            return;
        };
        life.instance.vm.send_line();
        life.instance.vm.report_denials();
        send_denials(&life.instance.vm);
        life.instance.vm.report_hidden_faults();
        let frames = &mut self.machine.frames;
        // SAFETY: `start_vm` made the instance and placed the life, whose `take` was the last to
        // know where they are.
        unsafe {
            let instance: *mut Instance = life.instance;
            free_piece(frames, life);
            create::destroy(&mut *instance, frames);
        }
        report_end(guest, end);
    }

    /// All VMs are off, or the person wants it so: the counts of those that live, and the
    /// status, for which living is no fault. `ran`: TSC ticks of the whole run.
    pub(super) fn finish(&mut self, ran: u64) -> ! {
        self.paint();
        self.unload();
        self.ledger.now.set(tsc::now());
        for guest in &mut self.guests {
            if let Some(life) = guest.life.take() {
                life.instance.vm.send_line();
                life.instance.vm.report_denials();
                send_denials(&life.instance.vm);
                traces::send(guest);
                send_exits(guest);
            }
        }
        journal::send();
        record::send("ran", |record| {
            record.number("cycles", ran);
            record.number("free_bytes", self.machine.frames.free_bytes());
        });
        let is_intact = self.look_at_canary();
        let mut ends = self.guests.iter().filter_map(|guest| guest.ended);
        ending::done(if is_intact && ends.all(How::is_good) {
            Status::Good
        } else {
            Status::Bad
        })
    }

    /// Whether the drill of isolation, if there was one, has found everything as it was.
    fn look_at_canary(&self) -> bool {
        let Some(canary) = &self.canary else {
            return true;
        };
        // SAFETY: what is free is nobody's, and all memory is mapped.
        match unsafe { canary.look(&self.machine.frames) } {
            Ok(Intact { free, constant }) => {
                info!(
                    "canary: {} KiB of free memory, {} KiB of code and constants: as they were",
                    free >> 10,
                    constant >> 10
                );
                true
            }
            Err(place) => {
                error!("canary: somebody has written to {place}, which is no VM's");
                false
            }
        }
    }
}

/// Whether a VM that has ended so is to start again, by a person's word or by the policy's.
pub(super) fn starts_again(guest: &mut Guest, how: How) -> bool {
    if core::mem::take(&mut guest.start_again) {
        guest.restarts = 0;
        return true;
    }
    let wanted = match guest.policy.restart {
        Restart::Never => false,
        Restart::OnCrash => !how.is_good(),
        Restart::Always => how != How::TurnedOff,
    };
    let limit = guest.policy.restart_limit;
    if wanted && guest.restarts < limit {
        guest.restarts += 1;
        info!(
            "{}: starts again, {} of {limit} times",
            guest.policy.name, guest.restarts
        );
        return true;
    }
    false
}

/// One VM's end, on the log and as records.
fn report_end(guest: &Guest, end: &End) {
    let name = guest.policy.name;
    log::line(
        if end.how.is_good() {
            Level::Info
        } else {
            Level::Error
        },
        format_args!("{name}: {}: {}", end.how.name(), end.reason),
    );
    traces::send(guest);
    send_exits(guest);
    record::send("ended", |record| {
        record.text("vm", name);
        record.text("how", end.how.name());
        record.flag("good", end.how.is_good());
        record.text("reason", &end.reason);
    });
}
