//! The ledger: the VMs' accounts, and the report at the end.

use ledger::{Account, Ledger, OWN, State as Shown, Subject};

use super::Guest;
use crate::host::record::{self, Object};
use crate::policy::Counters;
use crate::vm::stats::{Books, address};
use crate::vm::{State, Vm};

/// What a VM does now, for its account.
pub(super) fn shown(guest: &Guest) -> Shown {
    match guest.life.as_ref().map(|life| &life.instance.vm) {
        None => Shown::Off,
        Some(vm) if vm.paused => Shown::Paused,
        Some(vm) if vm.state == State::Waiting => Shown::Waiting,
        Some(_) => Shown::Running,
    }
}

/// Opens the account of VM `index` with its books.
pub(super) fn open(
    ledger: &'static Ledger,
    index: usize,
    name: &str,
    books: &Books,
) -> Option<&'static Account> {
    let account = ledger.accounts.get(index)?;
    account.set_name(name);
    account.totals.set(address(books.totals).0);
    account.times.set(address(books.times).0);
    account.details.set(address(books.details).0);
    if let Some(ring) = books.ring {
        let entries = ring.entries();
        account.progress.set(address(Some(ring.progress())).0);
        account.ring.set(address(entries.first()).0);
        account.ring_entries.set(entries.len() as u64);
    }
    ledger.vms.set(index as u64 + 1);
    Some(account)
}

/// What the VMM's own command line has kept of every VM's exits, beyond what the policy asks:
/// `counters=details`. A word that means nothing is passed over.
pub(super) fn asked_for(command_line: &str) -> Counters {
    command_line
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("counters="))
        .filter_map(|name| Counters::ALL.into_iter().find(|kept| kept.name() == name))
        .max()
        .unwrap_or(Counters::Off)
}

/// What a VM stopped for in all of its lives, as a record.
pub(super) fn send_exits(guest: &Guest) {
    let (account, books) = (guest.account, guest.books);
    record::send("exits", |record| {
        record.text("vm", guest.policy.name);
        record.objects("exits", books.exits(), |object, (exit, slot)| {
            let (count, cycles) = books.total(slot);
            object.text("name", exit.name);
            object.number("code", exit.code as u64);
            object.number("count", count);
            object.number("cycles", cycles);
            send_times(object, &books, slot);
        });
        send_details(record, &books);
        let (own, _) = books.total(OWN);
        let vmm = books.vmm_cycles();
        record.number("own_exits", own);
        record.number("lives", account.lives.get());
        record.number("guest_cycles", account.run_cycles.get().saturating_sub(vmm));
        record.number("vmm_cycles", vmm);
        record.number("slowest_input_cycles", guest.slowest_input);
    });
}

/// What a VM was refused in its life, as a record, if anything.
pub(super) fn send_denials(vm: &Vm) {
    if vm.denials.iter().next().is_none() {
        return;
    }
    record::send("refusals", |record| {
        record.text("vm", vm.policy.name);
        record.objects("refusals", vm.denials.iter(), |object, (what, count)| {
            object.text("what", what);
            object.number("count", count);
        });
        record.number("others", vm.denials.others());
    });
}

fn send_times<W: core::fmt::Write>(object: &mut Object<'_, W>, books: &Books, slot: u8) {
    let Some(times) = books.times else { return };
    let time = times.of(slot);
    object.number("least", time.least.get());
    object.number("most", time.most.get());
    let buckets = &time.buckets;
    let used = buckets
        .iter()
        .rposition(|bucket| bucket.get() != 0)
        .map_or(0, |last| last + 1);
    object.numbers(
        "histogram",
        buckets.iter().take(used).map(ledger::Number::get),
    );
}

fn send_details<W: core::fmt::Write>(record: &mut Object<'_, W>, books: &Books) {
    let Some(details) = books.details else { return };
    let subjects = Subject::ALL.into_iter().flat_map(|subject| {
        details
            .iter()
            .filter(move |(detail, _)| detail.subject == subject)
    });
    record.objects("details", subjects, |object, (detail, row)| {
        object.text("subject", detail.subject.name());
        object.number("number", detail.number.into());
        object.number("count", row.count.get());
        object.number("cycles", row.cycles.get());
    });
    record.number("other_details", details.others.get());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_the_command_line_names_is_kept() {
        assert_eq!(asked_for("tollgate floor"), Counters::Off);
        assert_eq!(asked_for("tollgate counters=times"), Counters::Times);
        assert_eq!(
            asked_for("counters=details counters=off"),
            Counters::Details
        );
        assert_eq!(asked_for("counters=everything counters="), Counters::Off);
    }
}
