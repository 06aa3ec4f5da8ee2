//! Traces on their way out: a VM's last exits as records, when they are streamed or when it ends.

use core::fmt;

use ledger::Entry;

use super::{Guest, Hypervisor};
use crate::host::{record, tsc};
use crate::journal::{self, Happening};

/// Exits in one record.
const BATCH: usize = 64;
/// The ring of a VM that is traced because the command line says so.
pub(super) const USUAL: u32 = 4096;

/// Has the journal written if the VMM's own command line says `journal`.
pub(super) fn begin_journal(command_line: &str) {
    if command_line
        .split_ascii_whitespace()
        .any(|word| word == "journal")
    {
        journal::begin();
    }
}

/// Whether the VMM's own command line wants every exit of every VM: `trace`.
pub(super) fn is_asked_for(command_line: &str) -> bool {
    command_line
        .split_ascii_whitespace()
        .any(|word| word == "trace")
}

impl Hypervisor {
    /// Sends what a VM's ring holds if it is streamed. Its clock stands meanwhile.
    pub(super) fn stream(&mut self, index: usize) {
        let guest = &mut *self.guests[index];
        if !self.streams {
            return;
        }
        let began = tsc::now();
        send(guest);
        let Some(instance) = guest.instance() else {
            return;
        };
        instance.vm.stats.expect_stream();
        let ticks = tsc::now().wrapping_sub(began);
        instance.happens(Happening::LeaveOut(ticks));
    }

    /// Sends the journal as far as it is written. The clock of the VM that has just had a turn
    /// stands meanwhile.
    pub(super) fn send_journal(&mut self, index: usize) {
        let began = tsc::now();
        journal::send();
        let ticks = tsc::now().wrapping_sub(began);
        if let Some(instance) = self.guests[index].instance() {
            instance.happens(Happening::LeaveOut(ticks));
        }
    }
}

/// Sends the exits of a VM that wait in its ring and are still there.
pub(super) fn send(guest: &Guest) {
    let Some(ring) = guest.books.ring else { return };
    let kept = ring.kept();
    let sent = &ring.progress().sent;
    let mut first = kept.start;
    while first < kept.end {
        let end = kept.end.min(first + BATCH as u64);
        record::send("trace", |record| {
            record.text("vm", guest.policy.name);
            record.number("first", first);
            let entries = (first..end).filter_map(|number| ring.entry(number));
            record.texts("exits", entries.map(Line));
        });
        first = end;
    }
    sent.set(kept.end);
}

/// An exit in hexadecimal numbers: time, cycles, slot, whether the VMM had more to do, EXITCODE,
/// RIP, EXITINFO1, EXITINFO2, RAX, RCX, EVENTINJ.
struct Line<'e>(&'e Entry);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line(entry) = self;
        let answer = entry.answer.get();
        let [time, rip, info1, info2, rax, rcx, event] = [
            &entry.time,
            &entry.rip,
            &entry.info1,
            &entry.info2,
            &entry.rax,
            &entry.rcx,
            &entry.event,
        ]
        .map(ledger::Number::get);
        write!(
            f,
            "{time:x} {:x} {:x} {:x} {:x} {rip:x} {info1:x} {info2:x} {rax:x} {rcx:x} {event:x}",
            answer & 0xffff_ffff,
            answer >> 32 & 0xff,
            answer >> 40 & 0xff,
            answer >> 48,
        )
    }
}
