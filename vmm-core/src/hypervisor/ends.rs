//! The end of a VM, and of everything: what is said, and the status.

use super::Hypervisor;
use crate::host::ending::{self, Status};
use crate::host::log::{self, Level};
use crate::host::record;
use crate::vm::{End, Vm};

impl Hypervisor {
    /// Tells of each VM that has ended since the last call; `true` when all have.
    pub(super) fn report_ends(&mut self) -> bool {
        let mut all_ended = true;
        for guest in &mut self.guests {
            match &guest.instance.vm.end {
                Some(end) if !guest.reported => {
                    report_end(&guest.instance.vm, end);
                    guest.reported = true;
                }
                Some(_) => {}
                None => all_ended = false,
            }
        }
        all_ended
    }

    /// All VMs have ended, or the person wants it so: the counts of those that live, and the
    /// status, for which living is no fault.
    pub(super) fn finish(mut self) -> ! {
        self.paint();
        self.unload();
        for guest in self.guests.iter().filter(|guest| !guest.reported) {
            guest.instance.vm.report_denials();
            send_exits(&guest.instance.vm);
        }
        let is_good = self.guests.iter().all(|guest| {
            guest
                .instance
                .vm
                .end
                .as_ref()
                .is_none_or(|end| end.how.is_good())
        });
        ending::done(if is_good { Status::Good } else { Status::Bad })
    }
}

/// One VM's end, on the log and as records.
fn report_end(vm: &Vm, end: &End) {
    let name = vm.policy.name;
    log::line(
        if end.how.is_good() {
            Level::Info
        } else {
            Level::Error
        },
        format_args!("{name}: {}: {}", end.how.name(), end.reason),
    );
    vm.report_denials();
    send_exits(vm);
    record::send("ended", |record| {
        record.text("vm", name);
        record.text("how", end.how.name());
        record.flag("good", end.how.is_good());
        record.text("reason", &end.reason);
    });
}

/// What a VM stopped for, as a record.
fn send_exits(vm: &Vm) {
    record::send("exits", |record| {
        record.text("vm", vm.policy.name);
        record.objects("exits", vm.stats.iter(), |object, (exit, count)| {
            object.text("name", exit.name);
            object.number("code", exit.code as u64);
            object.number("count", count.count);
            object.number("cycles", count.cycles);
        });
        let vmm = vm.stats.vmm_cycles();
        record.number("guest_cycles", vm.stats.run_cycles.saturating_sub(vmm));
        record.number("vmm_cycles", vmm);
    });
}
