//! What the CPU's TLB holds when the guest goes on: each exit leaves TLB_CONTROL so that nothing
//! stale is in it, on a CPU that forgets only what VMRUN is told to (APM 5.5, 15.16).

mod machine;

use intercepts::vmcb::control::tlb;
use proptest::prelude::*;

use super::registers::at;
use super::*;
use crate::addr::PAGE;
use crate::svm::shadow::tests::agreement::how;
use crate::svm::shadow::{Access, Kind};
use machine::{Machine, PAGES, Switch, TABLES, page};

/// One thing that a guest does.
#[derive(Clone, Debug)]
enum Step {
    Access(u64, Access),
    /// Changes an entry of a table, by itself or by the VMM.
    Change(u64, u64, u64, bool),
    Invlpg(u64),
    Load(usize),
    Turn(Switch),
}

/// An entry: mostly present, and of a table where it is of an upper level.
fn entry() -> impl Strategy<Value = u64> {
    let frame = prop_oneof![6 => TABLES, 3 => 0..MEMORY as u64 / PAGE, 1 => 256..300u64];
    let flags = prop_oneof![8 => Just(0x07), 2 => any::<u8>()];
    let large = prop_oneof![4 => Just(0), 1 => Just(1u64 << 7)];
    let global = prop_oneof![3 => Just(0), 1 => Just(1u64 << 8)];
    let marks = prop_oneof![Just(0), Just(0x60u64)];
    let no_execute = prop_oneof![5 => Just(0), 1 => Just(1u64 << 63)];
    (frame, flags, large, global, marks, no_execute).prop_map(
        |(frame, flags, large, global, marks, no_execute)| {
            (frame * PAGE) | u64::from(flags & 0x67) | large | global | marks | no_execute
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let change = (0..6u64, 0..2u64, entry(), proptest::bool::weighted(0.2));
    let switch = prop_oneof![Just(Switch::Wp), Just(Switch::Pge), Just(Switch::Nxe)];
    prop_oneof![
        10 => (0..PAGES, how()).prop_map(|(page, how)| Step::Access(page, how)),
        6 => change.prop_map(|(table, index, entry, vmm)| Step::Change(table, index, entry, vmm)),
        6 => (0..PAGES).prop_map(Step::Invlpg),
        2 => (0..2usize).prop_map(Step::Load),
        1 => switch.prop_map(Step::Turn),
    ]
}

fn nothing_stale_is_used(kind: Kind, steps: &[Step]) {
    for flush_by_asid in [false, true] {
        let mut machine = Machine::new(kind, flush_by_asid);
        for step in steps {
            match *step {
                Step::Access(number, how) => machine.access(page(kind, number), how),
                Step::Change(table, index, entry, vmm) => machine.change(table, index, entry, vmm),
                Step::Invlpg(number) => machine.invlpg(page(kind, number)),
                Step::Load(root) => machine.load_cr3(root),
                Step::Turn(switch) => machine.turn(switch),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_stale_is_used_through_tables_of_two_levels(steps in proptest::collection::vec(step(), 1..150)) {
        nothing_stale_is_used(Kind::TwoLevel, &steps);
    }

    #[test]
    fn nothing_stale_is_used_through_pae_tables(steps in proptest::collection::vec(step(), 1..150)) {
        nothing_stale_is_used(Kind::Pae, &steps);
    }

    #[test]
    fn nothing_stale_is_used_through_tables_of_four_levels(steps in proptest::collection::vec(step(), 1..150)) {
        nothing_stale_is_used(Kind::Long, &steps);
    }
}

/// What each instruction that the VMM performs has to flush under nested paging, without and with
/// FlushByASID: there the CPU's translations are by the guest's own tables.
#[test]
fn an_instruction_that_the_vmm_performs_flushes_what_the_cpu_would_have() {
    const NOTHING: (u8, u8) = (tlb::NOTHING, tlb::NOTHING);
    const NON_GLOBAL: (u8, u8) = (tlb::EVERYTHING, tlb::THIS_ASID_NON_GLOBAL);
    const ALL: (u8, u8) = (tlb::EVERYTHING, tlb::THIS_ASID);
    type Performed = (&'static [u8], ExitCode, Handler);
    const CR0: Performed = (&[0x0f, 0x22, 0xc0], ExitCode::Cr0Write, cr::emulate);
    const CLTS: Performed = (&[0x0f, 0x06], ExitCode::Cr0Write, cr::emulate);
    const CR3: Performed = (&[0x0f, 0x22, 0xd8], ExitCode::Cr3Write, cr::emulate);
    const CR4: Performed = (&[0x0f, 0x22, 0xe0], ExitCode::Cr4Write, cr::emulate);
    const INVLPG: Performed = (&[0x0f, 0x01, 0x38], ExitCode::Invlpg, invlpg::emulate);
    const CPUID: Performed = (&[0x0f, 0xa2], ExitCode::Cpuid, cpuid::emulate);
    let table = [
        (CR0, 0x8000_0011, ALL),
        (CR0, 0x0001_0011, ALL),
        (CR0, 0x4000_0011, ALL),
        (CR0, 0x19, NOTHING),
        (CLTS, 0, NOTHING),
        (CR3, 0x5000, NON_GLOBAL),
        (CR4, 1 << 4, ALL),
        (CR4, 1 << 5, ALL),
        (CR4, 1 << 7, ALL),
        (CR4, 1 << 2, NOTHING),
        (INVLPG, 0x5000, ALL),
        (CPUID, 0, NOTHING),
    ];
    for ((code, exit, handler), eax, (without, with)) in table {
        for (flush_by_asid, expected) in [(false, without), (true, with)] {
            let mut instance = at(code, exit);
            let Instance { vcpu, vm } = &mut instance;
            vcpu.save_mut().cr0 |= 0x10;
            vcpu.flush_by_asid = flush_by_asid;
            vcpu.set_rax(eax);
            handler(vcpu, vm);
            let found = vcpu.control().tlb_control;
            assert_eq!(found, expected, "{code:x?} with {eax:#x}");
        }
    }
}
