//! The VMs of a journal, as far as they are: their memory's contents are in the journal alone.

use std::collections::BTreeMap;

use intercepts::by_code;
use vmm_core::host::tsc::Tsc;
use vmm_core::journal::{Birth, Happening};
use vmm_core::policy::{Policy, VmPolicy};
use vmm_core::svm::instructions;
use vmm_core::vm::Instance;
use vmm_core::vm::create;
use vmm_core::vm::marker::Marker;
use vmm_core::vm::memory::GuestMemory;
use vmm_core::vm::stats::Books;

/// The VMs.
pub struct Machine {
    policy: &'static Policy,
    /// The text at which the run ended.
    marker: Option<Marker>,
    /// By ASID.
    vms: BTreeMap<u32, Vm>,
    /// Exits that were the same.
    pub exits: u64,
    /// What else happened.
    pub others: u64,
    /// What happened last, for a person.
    pub last: String,
}

struct Vm {
    books: Books,
    exits: u64,
    instance: Option<&'static mut Instance>,
}

impl Machine {
    /// One with the VMs of `policy`, none of which is on; `words`: the VMM's command line.
    pub fn new(policy: &'static Policy, words: &str) -> Machine {
        let marker = words
            .split_ascii_whitespace()
            .find_map(|word| Marker::from_hex(word.strip_prefix("until=")?));
        Machine {
            policy,
            marker,
            vms: BTreeMap::new(),
            exits: 0,
            others: 0,
            last: String::new(),
        }
    }

    /// Has happen what `item` begins.
    ///
    /// # Errors
    /// It begins nothing, or nothing that can happen now.
    pub fn take(&mut self, item: &str) -> Result<(), String> {
        let nothing = || format!("`{item}` is nothing that happens to a VM");
        let (what, asid) = item.rsplit_once(' ').ok_or_else(nothing)?;
        let asid = u32::from_str_radix(asid, 16).map_err(|_| nothing())?;
        let policy = self.policy.vms.iter().find(|vm| vm.asid == asid);
        let policy = policy.ok_or_else(|| {
            format!("it happens to a VM of ASID {asid}, and this policy has none; record anew")
        })?;
        if let Some(birth) = Birth::read(what) {
            self.last = format!("the start of VM `{}`", policy.name);
            return self.bear(policy, &birth);
        }
        let what = Happening::read(what).ok_or_else(nothing)?;
        let vm = self.vms.get_mut(&asid);
        let (vm, instance) = vm
            .and_then(
                |Vm {
                     books,
                     exits,
                     instance,
                 }| Some(((books, exits), instance.as_mut()?)),
            )
            .ok_or_else(|| format!("VM `{}` was not started before", policy.name))?;
        instance.happens(what);
        let (books, exits) = vm;
        if what == Happening::Exit {
            let code = instance.vcpu.control().exit_code;
            let name = by_code(code).map_or_else(|| format!("{code:x}h"), |exit| exit.name.into());
            self.last = format!("exit {exits} of VM `{}`: {name}", policy.name);
            // As the world switch counts it: a policy may have a limit.
            if let Some(totals) = books.totals {
                totals.note(instance.vm.stats.slot, 0);
            }
            *exits += 1;
            self.exits += 1;
        } else {
            self.last = format!("`{what}` of VM `{}`", policy.name);
            self.others += 1;
        }
        Ok(())
    }

    fn bear(&mut self, policy: &'static VmPolicy, birth: &Birth) -> Result<(), String> {
        let tsc = Tsc::new(birth.tsc_hz).ok_or("its TSC has no such speed")?;
        let vm = self.vms.entry(policy.asid).or_insert_with(|| Vm {
            books: Books {
                totals: birth.is_counted.then(|| &*Box::leak(Box::default())),
                ..Books::NONE
            },
            exits: 0,
            instance: None,
        });
        // It is never read: what a handler reads of it stands in the journal.
        let words = vec![0; (policy.memory as usize).div_ceil(8)];
        let memory = GuestMemory::over(words.leak());
        let home = Box::leak(Box::new_uninit());
        let cpuid = instructions::cpuid;
        let instance = create::born(home, policy, memory, birth, tsc, cpuid, vm.books);
        instance.vm.marker.clone_from(&self.marker);
        vm.instance = Some(instance);
        self.others += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_begin_nothing_are_refused() {
        let mut machine = Machine::new(&boot::POLICY, "journal");
        let asid = boot::POLICY.vms[0].asid;
        for item in [
            "",
            "exit",
            "exit zz",
            "tsc = 5",
            "exit 3f",
            "born 0 0 0 0 0 0 0 0",
        ] {
            assert!(machine.take(item).is_err(), "{item}");
        }
        let early = machine.take(&format!("exit {asid:x}")).unwrap_err();
        assert!(early.contains("was not started"), "{early}");
        let slow = machine
            .take(&format!("born 0 0 0 0 5 0 1 0 {asid:x}"))
            .unwrap_err();
        assert!(slow.contains("TSC"), "{slow}");
    }
}
