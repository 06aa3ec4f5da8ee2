//! "Mode Definitions": each mode's output, counts, and gate.

use super::*;

/// "Mode 0: Interrupt on Terminal Count".
#[test]
fn mode_0_rises_once_at_the_terminal_count() {
    let mut bench = Bench::counter_2(0, 4, true);
    assert_eq!(bench.wave(8), "____----");
    bench.count_2(2);
    assert_eq!(bench.wave(4), "__--", "a new count lowers OUT again");
    let mut bench = Bench::counter_2(0, 2, true);
    assert_eq!(bench.counts(5), [2, 1, 0, 0xffff, 0xfffe]);
}

/// "Mode 0": GATE = 0 holds the count; the first of two bytes stops it.
#[test]
fn mode_0_counts_while_the_gate_is_open() {
    let mut bench = Bench::counter_2(0, 5, true);
    bench.wait(2);
    bench.gate(false);
    assert_eq!(bench.counts(2), [3, 3]);
    bench.gate(true);
    assert_eq!(bench.wave(5), "___--");
    bench.write(0x42, 9);
    assert_eq!(bench.wave(3), "___", "the first byte lowers OUT");
    bench.write(0x42, 0);
    assert_eq!(bench.counts(2), [9, 8]);
}

/// "Mode 1: Hardware Retriggerable One-Shot".
#[test]
fn mode_1_is_one_pulse_for_each_trigger() {
    let mut bench = Bench::counter_2(1, 3, false);
    assert_eq!(bench.wave(3), "---");
    bench.gate(true);
    assert_eq!(bench.wave(5), "___--");
    bench.gate(false);
    bench.gate(true);
    assert_eq!(bench.wave(2), "__");
    bench.gate(false);
    bench.gate(true);
    assert_eq!(bench.wave(5), "___--", "retriggered");
    bench.count_2(2);
    assert_eq!(bench.wave(2), "--", "a new count waits for a trigger");
    bench.gate(false);
    bench.gate(true);
    assert_eq!(bench.wave(4), "__--");
}

/// "Mode 2: Rate Generator".
#[test]
fn mode_2_is_low_for_the_last_pulse_of_each_period() {
    let mut bench = Bench::counter_2(2, 3, true);
    assert_eq!(bench.wave(9), "--_--_--_");
    assert_eq!(bench.counts(4), [3, 2, 1, 3]);
}

/// "Mode 2": GATE = 0 stops it with OUT high, and its rise reloads; a new count enters with the
/// next period.
#[test]
fn mode_2_restarts_with_the_gate_and_changes_at_the_period() {
    let mut bench = Bench::counter_2(2, 4, true);
    bench.wait(3);
    assert!(!bench.out());
    bench.gate(false);
    assert_eq!(bench.wave(3), "---");
    bench.gate(true);
    assert_eq!(bench.counts(2), [4, 3]);
    bench.count_2(2);
    assert_eq!(bench.counts(5), [2, 1, 2, 1, 2]);
    bench.count_2(5);
    bench.gate(false);
    bench.gate(true);
    assert_eq!(bench.counts(2), [5, 4], "a trigger loads the new count");
}

/// "Mode 3: Square Wave Mode", even and odd counts.
#[test]
fn mode_3_is_a_square_wave() {
    let mut bench = Bench::counter_2(3, 4, true);
    assert_eq!(bench.wave(8), "--__--__");
    assert_eq!(bench.counts(4), [4, 2, 4, 2]);
    let mut bench = Bench::counter_2(3, 5, true);
    assert_eq!(bench.wave(10), "---__---__");
    assert_eq!(bench.counts(5), [4, 2, 0, 4, 2]);
}

/// "Mode 3": a new count enters at the end of the half cycle.
#[test]
fn mode_3_changes_at_the_half_cycle() {
    let mut bench = Bench::counter_2(3, 6, true);
    bench.wait(1);
    bench.count_2(4);
    assert_eq!(bench.wave(8), "--__--__");
    let mut bench = Bench::counter_2(3, 6, true);
    bench.wait(4);
    bench.count_2(2);
    assert_eq!(bench.wave(6), "__-_-_");
}

/// "Mode 4: Software Triggered Strobe".
#[test]
fn mode_4_strobes_once_after_the_count() {
    let mut bench = Bench::counter_2(4, 3, true);
    assert_eq!(bench.wave(7), "---_---");
    bench.count_2(2);
    bench.gate(false);
    assert_eq!(bench.wave(3), "---");
    bench.gate(true);
    assert_eq!(bench.wave(4), "--_-");
}

/// "Mode 5: Hardware Triggered Strobe (Retriggerable)".
#[test]
fn mode_5_strobes_after_a_trigger() {
    let mut bench = Bench::counter_2(5, 2, false);
    assert_eq!(bench.wave(4), "----");
    bench.gate(true);
    assert_eq!(bench.wave(4), "--_-");
}

/// "Control Word Format": modes 6 and 7 are 2 and 3.
#[test]
fn modes_6_and_7_are_2_and_3() {
    assert_eq!(Bench::counter_2(6, 3, true).wave(6), "--_--_");
    assert_eq!(Bench::counter_2(7, 4, true).wave(6), "--__--");
}

/// "Mode Definitions": OUT's level after the control word, before any count.
#[test]
fn the_control_word_sets_out_to_its_idle_level() {
    for mode in 0..6 {
        let mut bench = Bench::new();
        bench.write(0x61, 1);
        bench.write(0x43, 0xb0 | mode << 1);
        assert_eq!(bench.out(), mode != 0, "mode {mode}");
        bench.wait(100_000);
        assert_eq!(bench.out(), mode != 0, "mode {mode} waits for a count");
    }
}

/// "Mode 0": a closed gate holds OUT as it is, low before the terminal count, high after it.
#[test]
fn mode_0_keeps_its_output_while_the_gate_is_closed() {
    let mut bench = Bench::counter_2(0, 3, true);
    bench.wait(1);
    bench.gate(false);
    assert_eq!(bench.wave(3), "___");
    bench.gate(true);
    bench.wait(2);
    bench.gate(false);
    assert_eq!(bench.wave(3), "---");
}

/// "Control Word Format": a trigger without a count starts nothing.
#[test]
fn a_trigger_needs_a_count() {
    for mode in [1, 2, 3, 5] {
        let mut bench = Bench::counter_2(mode, 4, false);
        bench.write(0x43, 0xb0 | mode << 1);
        bench.gate(true);
        assert_eq!(bench.wave(10), "----------", "mode {mode}");
    }
}
