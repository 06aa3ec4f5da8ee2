//! Starting and stopping, with frames out of the test's own heap: there, addresses are physical.

use intercepts::vmcb::control::tlb;

use super::*;
use crate::devices::DeviceSet;
use crate::host::span::Span;
use crate::policy::{Counters, CpuModel, Dispatch, Restart, Ticks};

static DISPATCH: Dispatch = Dispatch::empty();

const POLICY: VmPolicy = VmPolicy {
    name: "test",
    protocol: None,
    cmdline: "",
    initrd: false,
    modules: &[],
    // Not a whole number of large pages: tables of every level.
    memory: 2 * LARGE_PAGE + 3 * PAGE,
    asid: 1,
    npt: true,
    shadow_tables: 0,
    halted_is_crash: false,
    autostart: true,
    restart: Restart::Always,
    restart_limit: 1000,
    weight: 1,
    counters: Counters::Totals,
    ticks: Ticks::CatchUp,
    trace: 0,
    tlb: TlbFlush::Auto,
    cpu: CpuModel::Minimal,
    cpuid: &[],
    devices: DeviceSet::PC,
    init_vmcb: |control| control.nested_control = nested::NP_ENABLE,
    dispatch: &DISPATCH,
    io: &[],
    msrs: &[],
    needs: &[],
};

const SHADOWED: VmPolicy = VmPolicy {
    npt: false,
    shadow_tables: 64 * PAGE,
    init_vmcb: |_| (),
    ..POLICY
};

const FLUSHES_ALL: VmPolicy = VmPolicy {
    tlb: TlbFlush::All,
    ..POLICY
};

/// `bytes` of frames, filled with what nobody may see; never freed.
fn frames(bytes: u64) -> Frames {
    let heap =
        Box::leak(vec![0xa5a5_a5a5_u32; (bytes + LARGE_PAGE) as usize / 4].into_boxed_slice());
    let start = (heap.as_mut_ptr() as u64).next_multiple_of(LARGE_PAGE);
    Frames::new([Span::sized(start, bytes)], [])
}

fn start(
    policy: &'static VmPolicy,
    frames: &mut Frames,
) -> Result<&'static mut Instance, TooLittleMemory> {
    let mut around = Surroundings {
        frames,
        svm: Svm {
            revision: 1,
            asids: 16,
            nrip: true,
            flush_by_asid: true,
            clean_bits: false,
            decode_assists: false,
            injects_twice: false,
            max_physical: 48,
        },
        tsc: Tsc::new(1_000_000_000).unwrap(),
        cpuid: |_, _| [0; 4],
        wall: UnixTime(0),
        books: Books::NONE,
    };
    create(policy, Err(NotThere("image")), &mut around)
}

#[test]
fn a_thousand_lives_leak_nothing_and_each_begins_with_zeroes() {
    let mut frames = frames(4 * LARGE_PAGE);
    let free = frames.free_bytes();
    for round in 0..1000 {
        let policy = if round % 2 == 0 { &POLICY } else { &SHADOWED };
        let instance = start(policy, &mut frames).unwrap();
        let memory = &mut instance.vm.memory;
        let last = crate::addr::Gpa(POLICY.memory - 8);
        assert_eq!(memory.read_u64(last), Some(0), "round {round}");
        memory.write(last, &[0xff; 8]).unwrap();
        // SAFETY: `start` has made it with these frames.
        unsafe { destroy(instance, &mut frames) };
        assert_eq!(frames.free_bytes(), free, "round {round}");
    }
}

/// However little there is: a VM that cannot be made leaves no trace.
#[test]
fn a_start_that_fails_gives_back_what_it_took() {
    let enough = 2 * LARGE_PAGE + 16 * PAGE + size_of::<Instance>() as u64;
    let shadows = Room::new(SHADOWED.shadow_tables, POLICY.memory).bytes();
    for (policy, enough) in [(&POLICY, enough), (&SHADOWED, enough + shadows)] {
        let mut results = Vec::new();
        for bytes in (POLICY.memory..enough).step_by(PAGE as usize) {
            let mut frames = frames(bytes);
            let started = start(policy, &mut frames);
            results.push(started.is_ok());
            if let Ok(instance) = started {
                // SAFETY: `start` has made it with these frames.
                unsafe { destroy(instance, &mut frames) };
            }
            assert_eq!(frames.free_bytes(), bytes);
        }
        assert!(
            results.contains(&false) && results.contains(&true),
            "{results:?}"
        );
    }
}

/// The TLB may hold translations of the ASID's last owner.
#[test]
fn a_new_vm_begins_with_an_empty_tlb() {
    for (policy, expected) in [
        (&POLICY, tlb::THIS_ASID),
        (&SHADOWED, tlb::THIS_ASID),
        (&FLUSHES_ALL, tlb::EVERYTHING),
    ] {
        let mut frames = frames(4 * LARGE_PAGE);
        let instance = start(policy, &mut frames).unwrap();
        assert_eq!(instance.vcpu.control().tlb_control, expected);
    }
}

/// G_PAT counts under nested paging alone.
#[test]
fn page_attributes_are_shown_where_the_vmm_keeps_them() {
    const PAT: u32 = 1 << 16;
    let shows = |npt| {
        let policy = VmPolicy {
            npt,
            cpu: CpuModel::Host,
            ..POLICY
        };
        let model = cpuid_of(&policy, |_, _| [u32::MAX; 4]);
        [1, 0x8000_0001].map(|leaf| model.leaf(leaf)[3] & PAT != 0)
    };
    assert_eq!((shows(true), shows(false)), ([true; 2], [false; 2]));
}
