//! A guest that pages, its VM, and the CPU that it runs on, of which the TLB is what counts.

use std::collections::BTreeSet;

use intercepts::vmcb::control::tlb;

use super::super::shadow_paging::{executes, shadowed_by};
use super::super::*;
use crate::addr::PAGE;
use crate::svm::shadow::tests::reference::{Entries, walk};
use crate::svm::shadow::tests::tlb::Tlb;
use crate::svm::shadow::tests::{Outcome as Found, cpu_find, holds_together};
use crate::svm::shadow::{Access, Kind, Registers, Shadow};

const CR0_WP: u64 = 1 << 16;
const CR0_PG: u64 = 1 << 31;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_PGE: u64 = 1 << 7;
const FRAME: u64 = 0x000f_ffff_ffff_f000;
const POINTER_RESERVED: u64 = 1 << 63 | 0x1e6;
const EFER: u64 = 0xc000_0080;
const EFER_LONG: u64 = 1 << 8 | 1 << 10;
const EFER_NXE: u64 = 1 << 11;
const EFER_SVME: u64 = 1 << 12;

static SHADOWED: VmPolicy = VmPolicy {
    npt: false,
    dispatch: &BY_THE_VMM,
    ..QUIET
};

static BY_THE_VMM: Dispatch = Dispatch::empty()
    .with(ExitCode::Cr0Write, cr::emulate)
    .with(ExitCode::Cr3Write, cr::emulate)
    .with(ExitCode::Cr4Write, cr::emulate)
    .with(ExitCode::Invlpg, invlpg::emulate)
    .with(ExitCode::Msr, msr::emulate)
    .with(ExitCode::ExceptionPf, exception::reflect)
    .with(ExitCode::Npf, |_, _| Outcome::Resume)
    .with(ExitCode::Vmmcall, write_for_the_guest);

/// A device that writes to guest memory, as INS does: an entry in RCX, of RDX bytes, at RBX.
fn write_for_the_guest(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let bytes = vcpu.gprs.rcx.to_le_bytes();
    let entry = &bytes[..vcpu.gprs.rdx as usize];
    vm.memory.write(Gpa(vcpu.gprs.rbx), entry).unwrap();
    Outcome::Resume
}

/// Two roots, the tables that their first entries lead to in long mode, the directory of what is
/// mapped where it is, and tables that are led to at random.
const ROOTS: [u64; 2] = [0x1_0000, 0x1_1000];
const POINTERS: [u64; 2] = [0x1_2000, 0x1_3000];
const DIRECTORY: u64 = 0x1_4000;
pub(super) const TABLES: core::ops::Range<u64> = 0x15..0x19;

/// A page that everything may happen to: the first two of each of two tables.
pub(super) fn page(kind: Kind, number: u64) -> u64 {
    let (low, middle) = (number & 1, number >> 1 & 1);
    match kind {
        Kind::TwoLevel => (1 + middle) << 22 | low << 12,
        _ => 1 << 30 | middle << 21 | low << 12,
    }
}

/// How many there are.
pub(super) const PAGES: u64 = 4;

/// What decides how a guest pages, and is turned on or off.
#[derive(Clone, Copy, Debug)]
pub(super) enum Switch {
    Wp,
    Pge,
    Nxe,
}

/// A guest in 32-bit code that pages, with its code and tables mapped where they are by a global
/// page, and the CPU that it runs on.
pub(super) struct Machine {
    instance: Instance,
    tlb: Tlb,
    kind: Kind,
    /// Pages whose entries have changed since they were last flushed.
    unsettled: BTreeSet<u64>,
}

impl Machine {
    pub(super) fn new(kind: Kind, flush_by_asid: bool) -> Machine {
        let mut instance = shadowed_by(&SHADOWED);
        let Instance { vcpu, vm } = &mut instance;
        vcpu.flush_by_asid = flush_by_asid;
        let mut entry = |at: u64, entry: u64| {
            vm.memory.write(Gpa(at), &entry.to_le_bytes()).unwrap();
        };
        entry(DIRECTORY, 0x1e3);
        for (root, pointers) in ROOTS.into_iter().zip(POINTERS) {
            entry(pointers, DIRECTORY | 0x27);
            let first = match kind {
                Kind::Long => pointers | 0x27,
                Kind::Pae => DIRECTORY | 1,
                _ => 0x1e3,
            };
            entry(root, first);
        }
        let (cr4, efer) = match kind {
            Kind::Long => (CR4_PAE, EFER_LONG),
            Kind::Pae => (CR4_PAE, 0),
            _ => (CR4_PSE, 0),
        };
        let guest = Registers {
            cr0: CR0_PG | CR0_WP | 0x11,
            cr3: ROOTS[0],
            cr4: cr4 | CR4_PGE,
            efer: efer | EFER_SVME,
        };
        vm.memory.take_written();
        let shadow = vm.shadow.as_mut().unwrap();
        shadow.activate(&vm.memory, guest);
        shadow.hardware().put(vcpu.save_mut());
        let mut machine = Machine {
            instance,
            tlb: Tlb::default(),
            kind,
            unsettled: BTreeSet::new(),
        };
        machine.tlb.enter(tlb::EVERYTHING);
        machine
    }

    fn shadow(&self) -> &Shadow {
        self.instance.vm.shadow.as_ref().unwrap()
    }

    /// After an exit: VMRUN.
    fn enter(&mut self) {
        assert!(self.instance.vm.end.is_none());
        holds_together(self.shadow());
        let Instance { vcpu, .. } = &mut self.instance;
        let control = vcpu.control().tlb_control;
        self.tlb.enter(control);
        let is_spared = vcpu.flush_by_asid || control == tlb::NOTHING;
        assert_eq!(self.tlb.has_other(), is_spared);
        vcpu.inject(Event::NONE);
    }

    /// The guest executes this code with this in EAX, and it takes this exit.
    fn executes(&mut self, code: &[u8], eax: u64, exit: ExitCode) {
        self.instance.vcpu.set_rax(eax);
        executes(&mut self.instance, code, exit);
        let event = self.instance.vcpu.control().event_injection;
        assert!(!event.is_valid(), "{code:x?} faults: {event:?}");
        self.enter();
    }

    /// What the CPU comes to with an access, and whether the TLB may have it from an address space
    /// that was left.
    fn reach(&mut self, linear: u64, how: Access) -> (Found, bool) {
        for _ in 0..2 {
            if let Some((gpa, is_left)) = self.tlb.find(linear, how) {
                return (Found::At(gpa), is_left);
            }
            if cpu_find(self.shadow(), linear, how).is_some() {
                let Machine { instance, tlb, .. } = self;
                tlb.fill(instance.vm.shadow.as_ref().unwrap(), linear);
                continue;
            }
            let control = self.instance.vcpu.control_mut();
            control.exit_code = ExitCode::ExceptionPf as u64;
            control.exit_info1 =
                u64::from(how.write) << 1 | u64::from(how.user) << 2 | u64::from(how.fetch) << 4;
            control.exit_info2 = linear;
            dispatch::<true>(&mut self.instance);
            let control = self.instance.vcpu.control();
            let event = control.event_injection;
            let error = control.exit_info1 as u32;
            let is_outside = control.exit_code == ExitCode::Npf as u64;
            self.enter();
            if is_outside {
                return (Found::Outside, false);
            }
            if event.is_valid() {
                assert_eq!(event, Event::exception_with_error(14, error));
                return (Found::Fault(error), false);
            }
        }
        let found = self.tlb.find(linear, how);
        match found.or_else(|| cpu_find(self.shadow(), linear, how)) {
            Some((gpa, _)) => (Found::At(gpa), false),
            None => panic!("the same fault again and again at {linear:#x}, {how:?}"),
        }
    }

    /// An access of the guest's, which is to come to what its tables say.
    pub(super) fn access(&mut self, linear: u64, how: Access) {
        let entries = |machine: &Machine| {
            let (first, end) = (ROOTS[0] / PAGE, TABLES.end);
            Entries::of(&machine.instance.vm.memory, first..end)
        };
        let before = entries(self);
        let expected = walk(self.shadow().guest(), &self.instance.vm.memory, linear, how);
        let (found, is_left) = self.reach(linear, how);
        if !is_left && !self.unsettled.contains(&linear) {
            assert_eq!(found, expected.outcome, "{linear:#x}, {how:?}");
            before.are_marked(&entries(self), &expected, how);
        }
    }

    /// The entries of two levels have half as many bytes.
    fn width(&self) -> u64 {
        if self.kind == Kind::TwoLevel { 4 } else { 8 }
    }

    /// Where an entry is that may change: in the tables, or that of a root's which leads to them.
    fn place(&self, table: u64, index: u64) -> Gpa {
        Gpa(match (table, self.kind) {
            (0 | 1, Kind::TwoLevel) => ROOTS[table as usize] + (1 + index) * 4,
            (0 | 1, Kind::Pae) => ROOTS[table as usize] + 8,
            (0 | 1, _) => POINTERS[table as usize] + 8,
            _ => (TABLES.start + table - 2) * PAGE + index * self.width(),
        })
    }

    /// The guest writes an entry, or has the VMM write it; it has flushed nothing yet.
    pub(super) fn change(&mut self, table: u64, index: u64, entry: u64, by_the_vmm: bool) {
        let place = self.place(table, index);
        // What a pointer of PAE's has reserved would be #GP with the next load of CR3: so it has
        // none of it, and is in no table of another level, which are marked.
        let is_pae = self.kind == Kind::Pae;
        let reserved = if is_pae && table < 2 {
            POINTER_RESERVED
        } else {
            0
        };
        let leads_to_pointers = is_pae && ROOTS.contains(&(entry & FRAME));
        let moved = if leads_to_pointers { 2 * PAGE } else { 0 };
        let entry = (entry & !reserved) + moved;
        if by_the_vmm {
            let width = self.width();
            let gprs = &mut self.instance.vcpu.gprs;
            (gprs.rbx, gprs.rcx, gprs.rdx) = (place.0, entry, width);
            self.executes(&[0x0f, 0x01, 0xd9], 0, ExitCode::Vmmcall);
        } else {
            let (found, _) = self.reach(place.0, Access::of(0b10));
            assert_eq!(found, Found::At(place.0));
            let width = self.width() as usize;
            let memory = &mut self.instance.vm.memory;
            memory.write(place, &entry.to_le_bytes()[..width]).unwrap();
            memory.take_written();
        }
        self.unsettled = (0..PAGES).map(|number| page(self.kind, number)).collect();
    }

    pub(super) fn invlpg(&mut self, linear: u64) {
        self.executes(&[0x0f, 0x01, 0x38], linear, ExitCode::Invlpg);
        self.unsettled.remove(&linear);
        self.tlb.expect_fresh(linear);
    }

    pub(super) fn load_cr3(&mut self, root: usize) {
        self.executes(&[0x0f, 0x22, 0xd8], ROOTS[root], ExitCode::Cr3Write);
        self.unsettled.clear();
        self.tlb.leave();
    }

    /// Changes one of the registers that decide how the guest pages.
    pub(super) fn turn(&mut self, switch: Switch) {
        let guest = self.shadow().guest();
        match switch {
            Switch::Wp => {
                let cr0 = guest.cr0 ^ CR0_WP;
                self.executes(&[0x0f, 0x22, 0xc0], cr0, ExitCode::Cr0Write);
            }
            Switch::Pge => {
                let cr4 = guest.cr4 ^ CR4_PGE;
                self.executes(&[0x0f, 0x22, 0xe0], cr4, ExitCode::Cr4Write);
            }
            Switch::Nxe => {
                self.instance.vcpu.gprs.rcx = EFER;
                self.instance.vcpu.gprs.rdx = 0;
                self.instance.vcpu.control_mut().exit_info1 = 1;
                let efer = (guest.efer ^ EFER_NXE) & !EFER_SVME;
                self.executes(&[0x0f, 0x30], efer, ExitCode::Msr);
            }
        }
        // Without 64-bit entries NXE means nothing.
        if self.shadow().guest().mode() != guest.mode() || matches!(switch, Switch::Pge) {
            self.unsettled.clear();
            self.tlb.expect_all_fresh();
        }
    }
}
