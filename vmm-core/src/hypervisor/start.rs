//! Before the first turn: what the machine must have, the VMs, the first records.

use intercepts::Feature;
use ledger::Account;

use super::files::Files;
use super::{Guest, Hypervisor, Life, MAX_VMS, accounts, cpuid, traces};
use crate::addr::PAGE;
use crate::devices::{DeviceSet, SECOND, UnixTime};
use crate::error;
use crate::host::canary::Canary;
use crate::host::frames::Frames;
use crate::host::{Machine, ending, record};
use crate::info;
use crate::policy::{Counters, VmPolicy};
use crate::svm::debug_registers::DebugRegisters;
use crate::svm::features::{self, Svm};
use crate::svm::instructions::{self, FxImage};
use crate::svm::tsc_aux::TscAux;
use crate::vm::Instance;
use crate::vm::create::{self, Surroundings, TooLittleMemory, piece};
use crate::vm::loader;
use crate::vm::marker::Marker;
use crate::vm::refusal::Entered;
use crate::vm::stats::Books;

/// Refuses to run a VM that relies on what this CPU lacks, naming the line that does.
pub(super) fn check_needs(vm: &VmPolicy, svm: &Svm) {
    for need in vm.needs {
        if !features::has(cpuid, need.feature) {
            ending::refused(format_args!(
                "this CPU lacks `{}` ({}), which {} asks for",
                need.feature.name, need.feature.meaning, need.origin
            ));
        }
    }
    if vm.asid >= svm.asids {
        ending::refused(format_args!(
            "VM `{}` has ASID {}, but this CPU has ASIDs 1 to {}",
            vm.name,
            vm.asid,
            svm.asids.saturating_sub(1)
        ));
    }
}

impl Hypervisor {
    /// Makes a place for every VM, and starts those that start by themselves. A machine that
    /// lacks the memory for that is refused.
    pub(super) fn create_vms(&mut self, images: &'static [Option<&'static [u8]>]) {
        let asked = accounts::asked_for(&self.machine.boot.command_line);
        traces::begin_journal(&self.machine.boot.command_line);
        self.streams = traces::is_asked_for(&self.machine.boot.command_line);
        self.marker = self
            .machine
            .boot
            .command_line
            .split_ascii_whitespace()
            .find_map(|word| Marker::from_hex(word.strip_prefix("until=")?));
        for (index, policy) in self.policy.vms.iter().enumerate() {
            let linked = images.get(index).copied().flatten();
            let files = Files::find(policy, linked, &self.machine.boot.modules);
            let counters = policy.counters.max(asked);
            let trace = match policy.trace {
                0 if self.streams => traces::USUAL,
                exits => exits,
            };
            let guest = self
                .open_account(index, counters, trace)
                .and_then(|(account, books)| {
                    let guest = Guest::new(policy, files, account, books);
                    piece(&mut self.machine.frames, guest)
                });
            let Some((guest, _)) = guest else {
                ending::refused(format_args!("no memory left for VM `{}`", policy.name));
            };
            if self.guests.push(guest).is_err() {
                ending::refused(format_args!("more than {MAX_VMS} VMs"));
            }
            if policy.autostart
                && let Err(error) = self.give_life(index)
            {
                ending::refused(error);
            }
        }
    }

    /// The account and the books of VM `index`, if there is the memory for them.
    fn open_account(
        &mut self,
        index: usize,
        counters: Counters,
        trace: u32,
    ) -> Option<(&'static Account, Books)> {
        let books = Books::open(counters, trace, &mut self.machine.frames)?;
        let name = self.policy.vms.get(index)?.name;
        let account = accounts::open(self.ledger, index, name, &books)?;
        Some((account, books))
    }

    /// Starts a VM that is off, if there is the memory for it.
    pub(super) fn start_vm(&mut self, index: usize) {
        if let Err(error) = self.give_life(index) {
            error!("{error}");
        }
    }

    fn give_life(&mut self, index: usize) -> Result<(), TooLittleMemory> {
        let wall = UnixTime(self.wall.0 + self.now() / SECOND);
        let guest = &mut *self.guests[index];
        let policy = guest.policy;
        let files = guest.files.as_ref().map(|files| loader::Files {
            protocol: policy.protocol,
            image: files.image,
            command_line: policy.cmdline,
            initrd: files.initrd,
            modules: &files.modules,
            text_screen: policy.devices.contains(DeviceSet::VGA),
        });
        let mut around = Surroundings {
            frames: &mut self.machine.frames,
            svm: self.svm,
            tsc: self.machine.tsc,
            cpuid: instructions::cpuid,
            wall,
            books: guest.books,
        };
        let instance = create::create(policy, files.map_err(|missing| *missing), &mut around)?;
        let life = place(instance, &mut self.machine.frames)?;
        life.instance.vm.marker.clone_from(&self.marker);
        if self.streams {
            life.instance.vm.stats.expect_stream();
        }
        guest.life = Some(life);
        guest.ended = None;
        guest.account.lives.add(1);
        self.news.insert(index);
        info!(
            "{}: {} KiB of memory, ASID {}, {}",
            policy.name,
            policy.memory >> 10,
            policy.asid,
            if policy.npt {
                "nested paging"
            } else {
                "shadow paging"
            },
        );
        Ok(())
    }

    pub(super) fn hello(&self) {
        let machine = &self.machine;
        let guests: u64 = self
            .guests
            .iter()
            .filter(|guest| guest.life.is_some())
            .map(|guest| guest.policy.memory.next_multiple_of(PAGE))
            .sum();
        let taken = self.free_at_first - machine.frames.free_bytes() - guests;
        record::send("hello", |record| {
            record.number("version", 1);
            record.texts("vms", self.policy.vms.iter().map(|vm| vm.name));
            record.number("tsc_hz", machine.tsc.hz());
            record.number("vmm_bytes", machine.own_bytes + taken);
            record.number("ledger", &raw const *self.ledger as u64);
        });
    }

    /// Does what the words of the VMM's own command line ask for: `floor` measures the bare
    /// VMRUN loop, `panic` is a drill of the VMM's end, `canary` one of isolation.
    pub(super) fn obey_command_line(&mut self) {
        let boot = self.machine.boot;
        for word in boot.command_line.split_ascii_whitespace() {
            match word {
                "floor" if !self.guests.is_empty() => self.measure_floor(),
                "switches" => self.measure_switches(),
                "canary" => {
                    let Machine {
                        frames, constant, ..
                    } = &self.machine;
                    // SAFETY: what is free is nobody's, and all memory is mapped.
                    self.canary = Some(unsafe { Canary::set(frames, *constant) });
                }
                "panic" => panic!("the command line asks for it"),
                _ => {}
            }
        }
    }
}

/// A life of its own for `instance`; without room for it, all that the instance has goes back.
fn place(
    instance: &'static mut Instance,
    frames: &mut Frames,
) -> Result<&'static mut Life, TooLittleMemory> {
    let bytes = size_of::<Life>() as u64;
    let too_little = TooLittleMemory {
        name: instance.vm.policy.name,
        wanted: bytes,
        largest: frames.largest(PAGE),
    };
    if too_little.largest < bytes {
        // SAFETY: `create` has just made it with these frames, for this function alone.
        unsafe { create::destroy(instance, frames) };
        return Err(too_little);
    }
    let life = Life {
        instance,
        fpu: FxImage::reset(),
        debug: DebugRegisters::default(),
        tsc_aux: TscAux::new(features::has(cpuid, Feature::RDTSCP)),
        entered: Entered::default(),
    };
    piece(frames, life).map(|(life, _)| life).ok_or(too_little)
}
