//! By the sections of the APM's chapter 16; no sequence of accesses may break a law.

use super::*;
use proptest::prelude::*;

const START: GuestTime = GuestTime(0);

const TPR: u32 = 0x080;
const PPR: u32 = 0x0a0;
const EOI: u32 = 0x0b0;
const SVR: u32 = 0x0f0;
const ISR: u32 = 0x100;
const TMR: u32 = 0x180;
const IRR: u32 = 0x200;
const ESR: u32 = 0x280;
const COMMAND: u32 = 0x300;
const TIMER: u32 = 0x320;
const LINT0: u32 = 0x350;
const ERROR: u32 = 0x370;
const INITIAL: u32 = 0x380;
const CURRENT: u32 = 0x390;
const DIVIDE: u32 = 0x3e0;

const SELF: u32 = 1 << 18;

fn write(apic: &mut LocalApic, offset: u32, value: u32) {
    assert_eq!(apic.write(offset, value, START), Written::Nothing);
}

fn read(apic: &mut LocalApic, offset: u32) -> u32 {
    apic.read(offset, START)
}

fn vectors(apic: &mut LocalApic, first: u32) -> Vec<u8> {
    (0..=255u8)
        .filter(|vector| {
            let word = read(apic, first + u32::from(vector >> 5) * 16);
            word >> (vector & 31) & 1 != 0
        })
        .collect()
}

/// 16.3.2, as a BIOS leaves it: what it did not touch is as after a reset.
#[test]
fn registers_begin_with_their_values() {
    let mut apic = LocalApic::new();
    let table = [
        (0x020, 0),
        (0x030, 0x0005_0014),
        (TPR, 0),
        (0x0d0, 0),
        (0x0e0, 0xffff_ffff),
        (SVR, 0x1ff),
        (ESR, 0),
        (COMMAND, 0),
        (TIMER, 0x1_0000),
        (0x330, 0x1_0000),
        (0x340, 0x1_0000),
        (LINT0, 0x700),
        (0x360, 0x400),
        (ERROR, 0x1_0000),
        (INITIAL, 0),
        (CURRENT, 0),
        (DIVIDE, 0),
    ];
    for (offset, value) in table {
        assert_eq!(read(&mut apic, offset), value, "{offset:#x}");
    }
    assert_eq!(apic.base_register(), 0xfee0_0900);
}

/// 16.3.1.
#[test]
fn the_base_register_switches_it_off_and_moves_nothing() {
    let mut apic = LocalApic::new();
    write(&mut apic, TIMER, 0x30);
    assert_eq!(apic.write_base_register(0xfee0_0100), Some(()));
    assert!(!apic.is_enabled() && apic.passes_external());
    assert!(!apic.accept(0x30, false), "it is off");
    assert_eq!(apic.write_base_register(0xfee0_0900), Some(()));
    assert_eq!(read(&mut apic, SVR), 0xff, "as after a reset");
    assert_eq!(read(&mut apic, TIMER), 0x1_0000);
    for refused in [0xfed0_0900, 0xfee0_0d00, 0xfee0_0901, 0xfee0_0800] {
        assert_eq!(apic.write_base_register(refused), None, "{refused:#x}");
    }
}

/// 16.4: bits that are reserved or only read do not take what is written.
#[test]
fn each_local_vector_takes_its_own_bits() {
    let table = [
        (TIMER, 0x7_00ff),
        (0x330, 0x1_07ff),
        (0x340, 0x1_07ff),
        (LINT0, 0x1_a7ff),
        (0x360, 0x1_a7ff),
        (ERROR, 0x1_00ff),
    ];
    for (offset, expected) in table {
        let mut apic = LocalApic::new();
        write(&mut apic, offset, u32::MAX);
        assert_eq!(read(&mut apic, offset), expected, "{offset:#x}");
    }
}

/// 16.6.1, 16.6.3, 16.6.4: the highest class first, and only above what is served.
#[test]
fn interrupts_come_by_their_class() {
    let mut apic = LocalApic::new();
    for vector in [0x31, 0x51, 0x5f, 0x92] {
        assert!(apic.accept(vector, false));
    }
    assert_eq!(vectors(&mut apic, IRR), [0x31, 0x51, 0x5f, 0x92]);
    assert_eq!((apic.pending(), apic.acknowledge()), (Some(0x92), 0x92));
    assert_eq!((apic.pending(), read(&mut apic, PPR)), (None, 0x90));
    assert!(apic.accept(0xa0, false));
    assert_eq!(apic.acknowledge(), 0xa0, "a higher one interrupts");
    assert_eq!(vectors(&mut apic, ISR), [0x92, 0xa0]);
    write(&mut apic, EOI, 0);
    assert_eq!(vectors(&mut apic, ISR), [0x92]);
    assert_eq!(apic.pending(), None, "5Fh is below what is served");
    write(&mut apic, EOI, 0);
    assert_eq!(apic.acknowledge(), 0x5f);
    assert_eq!(apic.pending(), None, "51h is of the same class");
    write(&mut apic, EOI, 0);
    assert_eq!(apic.acknowledge(), 0x51);
}

/// 16.6.4: TPR, and CR8, which is its upper half.
#[test]
fn the_task_priority_holds_back_its_class_and_those_below() {
    let mut apic = LocalApic::new();
    apic.accept(0x5f, false);
    for (priority, comes) in [(0x4f, true), (0x50, false), (0x60, false), (0x00, true)] {
        write(&mut apic, TPR, priority);
        assert_eq!(apic.pending().is_some(), comes, "{priority:#x}");
        assert_eq!(apic.highest_waiting(), Some(0x5f));
        assert_eq!(read(&mut apic, PPR), priority);
        assert_eq!(u32::from(apic.cr8()), priority >> 4);
    }
    apic.set_cr8(7);
    assert_eq!((read(&mut apic, TPR), apic.pending()), (0x70, None));
}

/// 16.4.7: a vector that went before it was taken is answered with the spurious one.
#[test]
fn an_acknowledge_of_nothing_is_spurious_and_leaves_no_trace() {
    let mut apic = LocalApic::new();
    write(&mut apic, SVR, 0x1ef);
    assert_eq!(apic.acknowledge(), 0xef);
    assert!(vectors(&mut apic, ISR).is_empty());
}

/// 16.4.7.
#[test]
fn disabled_by_software_it_takes_nothing_and_masks_its_vectors() {
    let mut apic = LocalApic::new();
    write(&mut apic, SVR, 0xff);
    assert!(!apic.accept(0x40, false));
    assert_eq!(read(&mut apic, LINT0), 0x1_0700);
    write(&mut apic, LINT0, 0x700);
    assert_eq!(read(&mut apic, LINT0), 0x1_0700, "the mask stays");
    assert!(!apic.passes_external());
}

/// 16.5: who gets what the command register sends.
#[test]
fn a_command_reaches_the_cpu_if_it_is_meant() {
    // Command, destination, and whether it arrives.
    let table = [
        (SELF | 0x40, 0, true),
        (2 << 18 | 0x40, 0, true),
        (3 << 18 | 0x40, 0, false),
        (0x40, 0, true),
        (0x40, 0xff, true),
        (0x40, 7, false),
        (0x140, 0, true),
        // Logical, as LDR has it below.
        (1 << 11 | 0x40, 0b100, true),
        (1 << 11 | 0x40, 0b011, false),
        // SMI, NMI, INIT, start.
        (0x200 | SELF, 0, false),
        (0x400, 0, false),
        (0x500, 0, false),
        (0x640, 0, false),
    ];
    for (command, destination, arrives) in table {
        let mut apic = LocalApic::new();
        write(&mut apic, 0x0d0, 0b100 << 24);
        write(&mut apic, 0x310, destination << 24);
        write(&mut apic, COMMAND, command);
        assert_eq!(apic.pending().is_some(), arrives, "{command:#x}");
        assert_eq!(read(&mut apic, COMMAND) >> 12 & 1, 0, "it is never pending");
    }
}

/// 16.6.2: clusters of four.
#[test]
fn a_cluster_and_a_bit_of_it_are_meant() {
    let mut apic = LocalApic::new();
    write(&mut apic, 0x0e0, 0x0fff_ffff);
    write(&mut apic, 0x0d0, 0x21 << 24);
    for (destination, is_meant) in [(0x21, true), (0x23, true), (0x22, false), (0x31, false)] {
        assert_eq!(apic.is_meant(destination, true), is_meant);
    }
}

/// 16.4.6: errors are shown by a write, and by a vector of their own.
#[test]
fn errors_gather_until_software_looks() {
    let mut apic = LocalApic::new();
    write(&mut apic, ERROR, 0xfe);
    write(&mut apic, COMMAND, SELF | 0x0f);
    read(&mut apic, 0x3f0);
    apic.accept(3, false);
    write(&mut apic, 0x310, 5 << 24);
    write(&mut apic, COMMAND, 0x40);
    assert_eq!(read(&mut apic, ESR), 0);
    write(&mut apic, ESR, 0);
    assert_eq!(read(&mut apic, ESR), 0b1110_0100);
    write(&mut apic, ESR, 0);
    assert_eq!(read(&mut apic, ESR), 0);
    assert_eq!(apic.pending(), Some(0xfe));
}

/// 16.6.3: the end of a level-triggered interrupt is told, of an edge it is not.
#[test]
fn the_end_of_a_level_is_for_the_io_apic() {
    let mut apic = LocalApic::new();
    apic.accept(0x40, true);
    assert_eq!(vectors(&mut apic, TMR), [0x40]);
    apic.acknowledge();
    assert_eq!(apic.write(EOI, 0, START), Written::EndOfLevel(0x40));
    apic.accept(0x40, false);
    apic.acknowledge();
    assert_eq!(apic.write(EOI, 0, START), Written::Nothing);
    assert_eq!(
        apic.write(EOI, 0, START),
        Written::Nothing,
        "nothing is served"
    );
}

/// 16.4.4: LINT0 as the 8259A's way through, and as an input of its own.
#[test]
fn lint0_passes_the_8259_or_sends_a_vector() {
    let mut apic = LocalApic::new();
    assert!(apic.passes_external());
    apic.set_lint0(true);
    assert_eq!(apic.pending(), None);
    apic.set_lint0(false);
    write(&mut apic, LINT0, 0x1_0700);
    assert!(!apic.passes_external());
    write(&mut apic, LINT0, 0x31);
    apic.set_lint0(true);
    apic.set_lint0(true);
    assert_eq!(apic.acknowledge(), 0x31);
    assert_eq!(apic.pending(), None, "one edge is one interrupt");
}

/// 16.4.1: 2, 4 … 128 and 1, by bits 3, 1 and 0.
#[test]
fn the_timer_counts_at_a_divided_clock() {
    let divisors = [2, 4, 8, 16, 32, 64, 128, 1];
    for (code, divisor) in (0u32..).zip(divisors) {
        let mut apic = LocalApic::new();
        write(&mut apic, DIVIDE, (code & 4) << 1 | code & 3);
        write(&mut apic, TIMER, 0x40);
        write(&mut apic, INITIAL, 1000);
        assert_eq!(apic.due(), GuestTime(1000 * divisor));
        assert_eq!(apic.read(CURRENT, GuestTime(10 * divisor)), 990);
        apic.advance(GuestTime(1000 * divisor - 1));
        assert_eq!(apic.pending(), None);
        apic.advance(GuestTime(1000 * divisor));
        assert_eq!(apic.acknowledge(), 0x40);
        assert_eq!(apic.due(), GuestTime::MAX, "it is one-shot");
        assert_eq!(apic.read(CURRENT, GuestTime(5000 * divisor)), 0);
    }
}

/// 16.4.1.
#[test]
fn a_periodic_timer_keeps_its_beat_however_late_it_is_looked_at() {
    let mut apic = LocalApic::new();
    write(&mut apic, DIVIDE, 0b1011);
    write(&mut apic, TIMER, 1 << 17 | 0x40);
    write(&mut apic, INITIAL, 1000);
    apic.advance(GuestTime(3700));
    assert_eq!(apic.acknowledge(), 0x40);
    assert_eq!(apic.pending(), None, "those that were missed are one");
    assert_eq!(apic.due(), GuestTime(4000));
    assert_eq!(apic.read(CURRENT, GuestTime(3900)), 100);
    write(&mut apic, INITIAL, 0);
    assert_eq!(apic.due(), GuestTime::MAX, "0 stops it");
}

#[test]
fn a_new_divisor_goes_on_from_the_count() {
    let mut apic = LocalApic::new();
    write(&mut apic, DIVIDE, 0b1011);
    write(&mut apic, TIMER, 0x40);
    let _ = apic.write(INITIAL, 1000, GuestTime(10_000));
    let _ = apic.write(DIVIDE, 0, GuestTime(10_600));
    assert_eq!(apic.read(CURRENT, GuestTime(10_600)), 400);
    assert_eq!(apic.due(), GuestTime(10_600 + 800));
}

/// Intel, volume 3, "TSC-Deadline Mode".
#[test]
fn a_deadline_comes_once_and_only_in_its_mode() {
    let mut apic = LocalApic::new();
    apic.write_deadline(77, GuestTime(500));
    assert_eq!((apic.deadline(), apic.due()), (0, GuestTime::MAX));
    write(&mut apic, TIMER, 2 << 17 | 0x40);
    write(&mut apic, INITIAL, 5);
    assert_eq!(read(&mut apic, CURRENT), 0, "the counter does not run");
    apic.write_deadline(77, GuestTime(500));
    assert_eq!((apic.deadline(), apic.due()), (77, GuestTime(500)));
    apic.advance(GuestTime(499));
    assert_eq!(apic.pending(), None);
    apic.advance(GuestTime(500));
    assert_eq!(apic.acknowledge(), 0x40);
    assert_eq!((apic.deadline(), apic.due()), (0, GuestTime::MAX));
    apic.write_deadline(99, GuestTime(900));
    apic.write_deadline(0, GuestTime(900));
    assert_eq!(apic.due(), GuestTime::MAX, "0 disarms");
    apic.write_deadline(99, GuestTime(900));
    write(&mut apic, TIMER, 0x40);
    assert_eq!(
        (apic.deadline(), apic.due()),
        (0, GuestTime::MAX),
        "so does another mode"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Read(u32),
    Write(u32, u32),
    Accept(u8, bool),
    Lint0(bool),
    Deadline(u64, u64),
    Base(u64),
    Pass(u64),
    Take,
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![(0u32..0x40).prop_map(|index| index * 16), 0u32..0x1000];
    let value = prop_oneof![any::<u32>(), 0u32..0x200, Just(0x2_0040), Just(0x4_0040)];
    let time = prop_oneof![0u64..5000, any::<u64>()];
    prop_oneof![
        1 => offset.clone().prop_map(Step::Read),
        4 => (offset, value).prop_map(|(at, value)| Step::Write(at, value)),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(vector, level)| Step::Accept(vector, level)),
        1 => any::<bool>().prop_map(Step::Lint0),
        1 => (any::<u64>(), time.clone()).prop_map(|(value, due)| Step::Deadline(value, due)),
        1 => prop_oneof![Just(0xfee0_0900), Just(0xfee0_0100), any::<u64>()].prop_map(Step::Base),
        1 => time.prop_map(Step::Pass),
        1 => Just(Step::Take),
    ]
}

proptest! {
    #[test]
    fn whatever_is_done_to_it_priorities_hold_and_time_goes_on(steps in prop::collection::vec(step(), 0..200)) {
        let mut apic = LocalApic::new();
        let mut now = START;
        for step in steps {
            match step {
                Step::Read(offset) => { apic.read(offset, now); }
                Step::Write(offset, value) => { let _ = apic.write(offset, value, now); }
                Step::Accept(vector, level) => { apic.accept(vector, level); }
                Step::Lint0(high) => apic.set_lint0(high),
                Step::Deadline(value, due) => apic.write_deadline(value, GuestTime(due)),
                Step::Base(value) => { let _ = apic.write_base_register(value); }
                Step::Pass(ns) => {
                    now = now.after(ns);
                    apic.advance(now);
                    prop_assert!(apic.due() > now || apic.due() == GuestTime::MAX);
                }
                Step::Take => {
                    let (priority, pending) = (apic.processor_priority(), apic.pending());
                    let vector = apic.acknowledge();
                    if let Some(pending) = pending {
                        prop_assert_eq!(vector, pending);
                        prop_assert!(vector >> 4 > priority >> 4 && vector >= FIRST_VECTOR);
                    }
                }
            }
            // What is served nests: each is of a higher class than those below it.
            let classes: Vec<u8> = vectors(&mut apic, ISR).iter().map(|vector| vector >> 4).collect();
            prop_assert!(classes.is_sorted_by(|low, high| low < high), "{:?}", classes);
        }
    }
}
