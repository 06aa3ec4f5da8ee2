//! The VMCB's clean bits: whatever is changed after an exit, the CPU is told to read again.

use intercepts::vmcb::Vmcb;
use intercepts::vmcb::control::clean;
use proptest::prelude::*;

use super::registers::at;
use super::*;
use crate::vm::vcpu::{CLEAN, CLEAN_OFFSET};

/// What the CPU may keep from the last VMRUN, by its clean bit: from where to where in
/// the VMCB its fields are (APM 15.15.3).
const GROUPS: [(u32, &[(usize, usize)]); 13] = [
    (clean::I, &[(0x000, 0x018), (0x03c, 0x040), (0x050, 0x058)]),
    (clean::IOPM, &[(0x040, 0x050)]),
    (clean::ASID, &[(0x058, 0x05c)]),
    (clean::TPR, &[(0x060, 0x068)]),
    (clean::NP, &[(0x090, 0x098), (0x0b0, 0x0b8), (0x668, 0x670)]),
    (clean::CRX, &[(0x4d0, 0x4d8), (0x548, 0x560)]),
    (clean::DRX, &[(0x560, 0x570)]),
    (clean::DT, &[(0x460, 0x470), (0x480, 0x490)]),
    (clean::SEG, &[(0x400, 0x440), (0x4cb, 0x4cc)]),
    (clean::CR2, &[(0x640, 0x648)]),
    (clean::LBR, &[(0x0b8, 0x0c0), (0x670, 0x698)]),
    (
        clean::AVIC,
        &[(0x098, 0x0a0), (0x0e0, 0x0e8), (0x0f0, 0x100)],
    ),
    (clean::CET, &[(0x5e0, 0x5f8)]),
];

fn bytes(vmcb: &Vmcb) -> &[u8] {
    // SAFETY: a VMCB is plain numbers without gaps, `size_of` bytes of them.
    unsafe { core::slice::from_raw_parts((&raw const *vmcb).cast(), size_of::<Vmcb>()) }
}

/// Does `change` to a guest that has just exited, and fails if it leaves a bit set whose fields it
/// has changed. Returns the groups that it has changed.
#[track_caller]
fn is_told(instance: &mut Instance, change: impl FnOnce(&mut Vcpu, &mut Vm)) -> u32 {
    instance.vcpu.control_mut().clean = CLEAN;
    let before = bytes(instance.vcpu.vmcb()).to_vec();
    change(&mut instance.vcpu, &mut instance.vm);
    let after = bytes(instance.vcpu.vmcb());
    let changed = GROUPS
        .iter()
        .filter(|(_, places)| {
            let mut places = places.iter();
            places.any(|&(start, end)| before[start..end] != after[start..end])
        })
        .fold(0, |bits, (bit, _)| bits | bit);
    let kept = instance.vcpu.control().clean;
    assert_eq!(changed & kept, 0, "changed {changed:#x}, kept {kept:#x}");
    changed
}

#[test]
fn a_new_vmcb_is_read_whole_and_after_an_exit_nothing_is() {
    let all = GROUPS.iter().fold(0, |bits, (bit, _)| bits | bit);
    assert_eq!(Vcpu::new(false).control().clean, 0);
    assert_eq!(CLEAN, all);
    assert_eq!(CLEAN_OFFSET, 0x0c0);
}

#[test]
fn whoever_may_change_an_area_has_all_of_it_read_again() {
    for (bit, places) in GROUPS {
        for &(start, _) in places {
            let mut vcpu = Vcpu::new(false);
            vcpu.control_mut().clean = CLEAN;
            if start < 0x400 {
                let _ = vcpu.control_mut();
            } else {
                let _ = vcpu.save_mut();
            }
            assert_eq!(vcpu.control().clean & bit, 0, "{start:#x}");
        }
    }
}

#[test]
fn the_registers_of_every_exit_leave_everything_clean() {
    let mut instance = at(&[0x0f, 0xa2], ExitCode::Cpuid);
    let changed = is_told(&mut instance, |vcpu, vm| {
        cpuid::emulate(vcpu, vm);
    });
    assert_eq!(changed, 0);
    let groups = GROUPS.iter().fold(0, |bits, (bit, _)| bits | bit);
    assert_eq!(
        instance.vcpu.control().clean,
        groups,
        "the usual way is quick"
    );
}

/// Instructions that exit, who performs each, a value of EAX, and what that changes.
const CHANGES: [(&[u8], ExitCode, Handler, u32, u32); 9] = [
    (
        &[0x0f, 0x22, 0xc0],
        ExitCode::Cr0Write,
        cr::emulate,
        0x31,
        clean::CRX,
    ),
    (
        &[0x0f, 0x22, 0xd0],
        ExitCode::Cr2Write,
        cr::emulate,
        1,
        clean::CR2,
    ),
    (
        &[0x0f, 0x22, 0xd8],
        ExitCode::Cr3Write,
        cr::emulate,
        0x1000,
        clean::CRX,
    ),
    (
        &[0x0f, 0x22, 0xe0],
        ExitCode::Cr4Write,
        cr::emulate,
        0x10,
        clean::CRX,
    ),
    (
        &[0x44, 0x0f, 0x22, 0xc0],
        ExitCode::Cr8Write,
        cr::emulate,
        1,
        0,
    ),
    (
        &[0x0f, 0x23, 0xf0],
        ExitCode::Dr6Write,
        dr::emulate,
        1,
        clean::DRX,
    ),
    (
        &[0x0f, 0x30],
        ExitCode::Msr,
        msr::emulate,
        0x0007_0406,
        clean::NP,
    ),
    (&[0x9c], ExitCode::Pushf, step::begin, 0, clean::I),
    (&[0xcd, 0x80], ExitCode::Swint, swint::deliver, 0, clean::I),
];
const PAT: u64 = 0x277;

fn performed(index: usize, prepare: impl Fn(&mut Vcpu)) -> u32 {
    let (code, exit, handler, ..) = CHANGES[index];
    let mut instance = at(code, exit);
    instance.vcpu.control_mut().exit_info1 = u64::from(exit == ExitCode::Msr);
    prepare(&mut instance.vcpu);
    is_told(&mut instance, |vcpu, vm| {
        handler(vcpu, vm);
    })
}

#[test]
fn each_change_is_one_of_its_group() {
    for (index, (code, .., eax, group)) in CHANGES.into_iter().enumerate() {
        let changed = performed(index, |vcpu| {
            vcpu.set_rax(eax.into());
            vcpu.gprs.rcx = PAT;
        });
        assert_eq!(changed & group, group, "{code:x?}");
    }
}

proptest! {
    /// A handler may change nothing, if the guest may not; if it does, it tells. SYSENTER's MSRs
    /// are left out: those are the loaded CPU's own, which a test has not.
    #[test]
    fn whatever_a_handler_changes_is_read_again(
        index in 0..CHANGES.len(), eax: u32,
        ecx in prop_oneof![Just(PAT), 0u64..0x174, 0x177u64..0x400], dr6: u32, trap: bool,
    ) {
        performed(index, |vcpu| {
            vcpu.set_rax(eax.into());
            vcpu.gprs.rcx = ecx;
            let save = vcpu.save_mut();
            save.dr6 = dr6.into();
            save.rflags |= u64::from(trap) << 8;
        });
    }
}

#[test]
fn the_bell_is_heard_and_silenced() {
    let mut instance = at(&[0x90], ExitCode::Intr);
    let rung = is_told(&mut instance, |vcpu, _| vcpu.ring_bell());
    let silenced = is_told(&mut instance, |vcpu, _| vcpu.silence_bell());
    assert_eq!((rung, silenced), (clean::TPR, clean::TPR));
}

#[test]
fn a_completed_single_step_is_seen_in_dr6() {
    let mut instance = at(&[0x0f, 0xa2], ExitCode::Cpuid);
    instance.vcpu.save_mut().rflags |= 1 << 8;
    let changed = is_told(&mut instance, |vcpu, vm| {
        cpuid::emulate(vcpu, vm);
    });
    assert_eq!(changed, clean::DRX);
}

/// A CPU that keeps whatever its clean bits let it keep, as the manual allows.
struct Keeper {
    /// What it believes the VMCB to hold.
    kept: Vec<u8>,
}

impl Keeper {
    /// The first VMRUN reads everything.
    fn new(vcpu: &Vcpu) -> Keeper {
        let kept = bytes(vcpu.vmcb()).to_vec();
        Keeper { kept }
    }

    /// VMRUN, and the exit right after it. Fails if the CPU goes by a value that has changed.
    #[track_caller]
    fn runs(&mut self, vcpu: &mut Vcpu) {
        let clean = vcpu.control().clean;
        let now = bytes(vcpu.vmcb());
        for (bit, places) in GROUPS {
            for &(start, end) in places {
                if clean & bit == 0 {
                    self.kept[start..end].copy_from_slice(&now[start..end]);
                }
                let kept = &self.kept[start..end];
                assert_eq!(kept, &now[start..end], "{start:#x}: stale by {bit:#x}");
            }
        }
        // What the world switch does.
        vcpu.control_mut().clean = CLEAN;
    }
}

/// What may happen to a VMCB between an exit and the next VMRUN.
#[derive(Clone, Debug)]
enum Touch {
    Control(usize, u8),
    Save(usize, u8),
    Gpr(u8, u64),
    Completes(u64),
    Inject(u8),
    Bell(bool),
    Flush(bool),
    Handler(usize, u32),
    Run,
}

fn touch() -> impl Strategy<Value = Touch> {
    prop_oneof![
        (0..0x400usize, any::<u8>()).prop_map(|(at, value)| Touch::Control(at, value)),
        (0..0x298usize, any::<u8>()).prop_map(|(at, value)| Touch::Save(at, value)),
        (0..16u8, any::<u64>()).prop_map(|(gpr, value)| Touch::Gpr(gpr, value)),
        any::<u64>().prop_map(Touch::Completes),
        (0..32u8).prop_map(Touch::Inject),
        any::<bool>().prop_map(Touch::Bell),
        any::<bool>().prop_map(Touch::Flush),
        (0..CHANGES.len(), any::<u32>()).prop_map(|(index, eax)| Touch::Handler(index, eax)),
        Just(Touch::Run),
        Just(Touch::Run),
    ]
}

/// Writes a byte of `area`, which is plain numbers.
fn poke<T>(area: &mut T, at: usize, value: u8) {
    assert!(at < size_of::<T>());
    // SAFETY: the byte is in the area, which has no value that it cannot hold.
    unsafe { (&raw mut *area).cast::<u8>().add(at).write(value) };
}

proptest! {
    /// However a VMCB is changed, and whenever it runs: the CPU never goes by an old value.
    #[test]
    fn a_cpu_that_keeps_all_it_may_runs_what_the_vmcb_says(
        touches in proptest::collection::vec(touch(), 1..60),
    ) {
        let mut instance = at(&[0x90; 4], ExitCode::Intr);
        let mut cpu = Keeper::new(&instance.vcpu);
        cpu.runs(&mut instance.vcpu);
        for touch in touches {
            let Instance { vcpu, vm } = &mut instance;
            match touch {
                // Its own clean bits are the switch's.
                Touch::Control(at, _) if (0x0c0..0x0c4).contains(&at) => {}
                Touch::Control(at, value) => poke(vcpu.control_mut(), at, value),
                Touch::Save(at, value) => poke(vcpu.save_mut(), at, value),
                Touch::Gpr(gpr, value) => vcpu.set_gpr(gpr, value),
                Touch::Completes(rip) => vcpu.complete_with_rf(rip),
                Touch::Inject(vector) => vcpu.inject(Event::exception(vector)),
                Touch::Bell(true) => vcpu.ring_bell(),
                Touch::Bell(false) => vcpu.silence_bell(),
                Touch::Flush(true) => vcpu.flush_tlb(crate::svm::tlb::Flush::All),
                Touch::Flush(false) => vcpu.flush_no_tlb(),
                Touch::Handler(index, eax) => {
                    let (code, exit, handler, ..) = CHANGES[index];
                    vm.memory.write(Gpa(CODE), code).unwrap();
                    vcpu.forget_code_page();
                    *vcpu.save_mut() = guest(&QUIET, code).vcpu.save().clone();
                    vcpu.control_mut().exit_code = exit as u64;
                    vcpu.set_rax(eax.into());
                    cpu.runs(vcpu);
                    handler(vcpu, vm);
                }
                Touch::Run => {}
            }
            if matches!(touch, Touch::Run) {
                cpu.runs(&mut instance.vcpu);
            }
        }
        cpu.runs(&mut instance.vcpu);
    }
}
