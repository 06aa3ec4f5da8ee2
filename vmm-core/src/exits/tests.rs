//! Handlers as functions of a vCPU and a VM: no CPU is needed to test them.

mod assists;
mod clean_bits;
mod debug_registers;
mod delivery;
mod exceptions;
mod instructions;
mod interrupts;
mod mmio;
mod msrs;
mod ports;
mod register_rules;
mod registers;
mod remedies;
mod rules;
mod shadow_paging;
mod stepping;
mod task_switches;
mod tlb;
mod waiting;

use intercepts::vmcb::control::{shadow, vintr};
use intercepts::vmcb::{intercepts, set_intercept};
use intercepts::{Event, ExitCode};

use super::*;
use crate::addr::Gpa;
use crate::devices::{DeviceSet, Devices, UnixTime};
use crate::host::tsc::Tsc;
use crate::journal::Seen;
use crate::policy::{
    Counters, CpuModel, Dispatch, IoAction, IoRule, MsrAction, MsrRule, Restart, Ticks, TlbFlush,
    VmPolicy,
};
use crate::vm::clock::GuestClock;
use crate::vm::cpuid::CpuidModel;
use crate::vm::denials::Denials;
use crate::vm::line::Line;
use crate::vm::memory::tests::leaked;
use crate::vm::pvclock::Pvclock;
use crate::vm::stats::{Books, Stats};
use crate::vm::vcpu::RFLAGS_IF;
use crate::vm::{How, State};

static DISPATCH: Dispatch = Dispatch::empty()
    .with(ExitCode::Cpuid, cpuid::emulate)
    .with(ExitCode::Npf, npf::emulate);

const QUIET: VmPolicy = VmPolicy {
    name: "test",
    protocol: None,
    cmdline: "",
    initrd: false,
    modules: &[],
    memory: MEMORY as u64,
    asid: 1,
    npt: true,
    shadow_tables: 0,
    tlb: TlbFlush::Auto,
    cpu: CpuModel::Minimal,
    cpuid: &[],
    halted_is_crash: false,
    autostart: true,
    restart: Restart::Never,
    restart_limit: 0,
    weight: 1,
    counters: Counters::Totals,
    ticks: Ticks::CatchUp,
    trace: 0,
    devices: DeviceSet::PC,
    init_vmcb: |_| (),
    dispatch: &DISPATCH,
    io: &[],
    msrs: &[],
    needs: &[],
};

const MEMORY: usize = 0x10_0000;
const CODE: u64 = 0x8000;
const CR0_PE: u64 = 1;

/// A VM in flat 32-bit protected mode, with `code` at RIP.
fn guest(policy: &'static VmPolicy, code: &[u8]) -> Instance {
    let mut vcpu = Vcpu::new(false);
    let save = vcpu.save_mut();
    save.cr0 = CR0_PE;
    save.efer = 1 << 12;
    save.cs.attributes = 0xc9b;
    for segment in [&mut save.es, &mut save.ss, &mut save.ds] {
        segment.attributes = 0xc93;
        segment.limit = u32::MAX;
    }
    save.rip = CODE;
    save.rflags = 2;
    let mut memory = leaked(MEMORY);
    memory.write(Gpa(CODE), code).unwrap();
    let vm = Vm {
        policy,
        dispatch: policy.dispatch,
        behind: policy.dispatch,
        shadow: None,
        memory,
        devices: Devices::new(policy.devices, policy.memory, UnixTime(0)),
        cpuid: CpuidModel::minimal(|_| [u32::MAX; 4]),
        clock: GuestClock::start(Tsc::new(1_000_000_000).unwrap()),
        pvclock: policy
            .devices
            .contains(DeviceSet::PVCLOCK)
            .then(|| Pvclock::new(UnixTime(0x1234_5678))),
        stats: Stats::new(books()),
        denials: Denials::default(),
        marker: None,
        is_marked: false,
        line: Line::default(),
        state: State::Runnable,
        paused: false,
        end: None,
        awaits_end_of_interrupt: false,
        retry_soon: false,
        seen: Seen::default(),
    };
    Instance { vcpu, vm }
}

/// A VM for tests of other modules.
#[cfg(feature = "journal")]
pub(crate) fn any_guest() -> Instance {
    guest(&QUIET, &[0x0f, 0xa2])
}

/// Books of the test's own.
fn books() -> Books {
    Books {
        totals: Some(Box::leak(Box::default())),
        ..Books::NONE
    }
}

/// An exit, handled and counted as the world switch does both.
fn handled(instance: &mut Instance) -> Outcome {
    let outcome = dispatch::<true>(instance);
    count(&instance.vm, instance.vm.stats.slot);
    outcome
}

fn count(vm: &Vm, slot: u8) {
    if let Some(totals) = vm.stats.books.totals {
        totals.note(slot, 0);
    }
}

/// How the VM ended, if it did.
fn end(vm: &Vm) -> Option<How> {
    vm.end.as_ref().map(|end| end.how)
}

/// Makes the guest's PIC assert an interrupt: line 1, vector 21h.
fn raise_line_1(vm: &mut Vm) {
    for (port, value) in [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 1),
        (0x21, 0xfd),
    ] {
        vm.devices.pic.write(port, value);
    }
    vm.devices.pic.set_line(1, true);
    assert!(vm.devices.interrupt_pending());
}
