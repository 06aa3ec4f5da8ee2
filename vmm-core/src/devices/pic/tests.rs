//! Section names are those of Intel's 8259A data sheet.

use super::*;
use proptest::prelude::*;

/// Initialised as PC kernels do: vectors 20h and 28h, ICW4 as given, nothing masked.
fn pic_with_icw4(icw4: u8) -> Pic {
    let mut pic = Pic::new();
    for (port, words) in [
        (0x20, [0x11, 0x20, 0x04, icw4]),
        (0xa0, [0x11, 0x28, 0x02, icw4]),
    ] {
        pic.write(port, words[0]);
        for word in &words[1..] {
            pic.write(port | 1, *word);
        }
    }
    pic
}

fn pic() -> Pic {
    pic_with_icw4(0x01)
}

/// OCW3 chooses the register, then it is read.
fn irr(pic: &mut Pic, port: u16) -> u8 {
    pic.write(port, 0x0a);
    pic.read(port)
}

fn isr(pic: &mut Pic, port: u16) -> u8 {
    pic.write(port, 0x0b);
    pic.read(port)
}

fn raise(pic: &mut Pic, lines: &[u8]) {
    for &line in lines {
        pic.set_line(line, true);
    }
}

/// "Initialization Command Words 1 and 2": ICW1 clears the mask, the edge detection, special
/// mask mode, and selects the IRR; IR7 gets the lowest priority.
#[test]
fn icw1_starts_from_scratch() {
    let mut pic = pic();
    raise(&mut pic, &[3]);
    for value in [0xc5, 0x68, 0x0b] {
        pic.write(0x20, value);
    }
    pic.write(0x21, 0xa5);
    pic.write(0x20, 0x11);
    assert_eq!(pic.read(0x20), 0, "the high line must rise again to count");
    assert_eq!(pic.read(0x21), 0);
    assert!(!pic.interrupt_pending());
    for word in [0x20, 0x04, 0x01] {
        pic.write(0x21, word);
    }
    raise(&mut pic, &[7, 6]);
    assert_eq!(pic.acknowledge(), 0x26);
}

/// "Initialization Sequence": without IC4 the sequence ends with ICW3, with SNGL it skips ICW3.
#[test]
fn the_initialization_sequence_is_as_long_as_icw1_says() {
    for (icw1, words) in [
        (0x10, &[0x40, 0x04][..]),
        (0x11, &[0x40, 0x04, 0x01]),
        (0x12, &[0x40]),
        (0x13, &[0x40, 0x01]),
    ] {
        let mut pic = pic();
        pic.write(0x20, icw1);
        for word in words {
            pic.write(0x21, *word);
        }
        pic.write(0x21, 0xf7);
        assert_eq!(pic.read(0x21), 0xf7, "ICW1 {icw1:#x}");
        raise(&mut pic, &[3]);
        assert_eq!(pic.acknowledge(), 0x43, "ICW1 {icw1:#x}");
    }
}

/// "Initialization Sequence": a chip that is being initialised requests nothing.
#[test]
fn nothing_interrupts_an_initialization() {
    let mut pic = pic();
    pic.write(0x20, 0x11);
    raise(&mut pic, &[1]);
    assert!(!pic.interrupt_pending());
    pic.write(0x21, 0x20);
    pic.write(0x21, 0x04);
    assert!(!pic.interrupt_pending());
    pic.write(0x21, 0x01);
    assert!(pic.interrupt_pending());
}

/// "Operation Command Word 1": the mask reads back and holds requests, which it does not forget.
#[test]
fn a_masked_request_waits_for_its_mask() {
    let mut pic = pic();
    pic.write(0x21, 0xfe);
    assert_eq!(pic.read(0x21), 0xfe);
    raise(&mut pic, &[1]);
    assert!(!pic.interrupt_pending());
    assert_eq!(irr(&mut pic, 0x20), 0x02);
    pic.write(0x21, 0xfc);
    assert!(pic.interrupt_pending());
    assert_eq!(pic.acknowledge(), 0x21);
}

/// "Fully Nested Mode": IR0 is the highest; one in service holds back its equals and lower ones.
#[test]
fn fully_nested_priorities_are_fixed() {
    let mut pic = pic();
    raise(&mut pic, &[7, 5, 3]);
    assert_eq!(pic.acknowledge(), 0x23);
    assert_eq!(isr(&mut pic, 0x20), 0x08);
    assert!(!pic.interrupt_pending());
    raise(&mut pic, &[1]);
    assert_eq!(pic.acknowledge(), 0x21);
    assert_eq!(isr(&mut pic, 0x20), 0x0a);
    pic.write(0x20, 0x20);
    assert_eq!(isr(&mut pic, 0x20), 0x08, "the highest one ends");
    pic.write(0x20, 0x20);
    assert_eq!(pic.acknowledge(), 0x25);
}

/// "End of Interrupt": specific EOI ends the level it names, whatever its priority.
#[test]
fn specific_eoi_ends_the_level_it_names() {
    let mut pic = pic();
    raise(&mut pic, &[4]);
    pic.acknowledge();
    raise(&mut pic, &[1]);
    pic.acknowledge();
    pic.write(0x20, 0x64);
    assert_eq!(isr(&mut pic, 0x20), 0x02);
}

/// "Automatic End of Interrupt Mode": nothing stays in service.
#[test]
fn auto_eoi_leaves_nothing_in_service() {
    let mut pic = pic_with_icw4(0x03);
    raise(&mut pic, &[2, 4, 5]);
    assert_eq!(pic.acknowledge(), 0x24);
    assert_eq!(isr(&mut pic, 0x20), 0);
    assert_eq!(pic.acknowledge(), 0x25);
    assert!(!pic.interrupt_pending());
}

/// "Automatic Rotation": the level just served becomes the lowest, by EOI or by AEOI.
#[test]
fn automatic_rotation_takes_turns() {
    let mut pic = pic();
    raise(&mut pic, &[0, 1]);
    assert_eq!(pic.acknowledge(), 0x20);
    pic.write(0x20, 0xa0);
    pic.pulse(0);
    assert_eq!(pic.acknowledge(), 0x21);

    let mut pic = pic_with_icw4(0x03);
    pic.write(0x20, 0x80);
    raise(&mut pic, &[0, 1]);
    assert_eq!(pic.acknowledge(), 0x20);
    pic.pulse(0);
    assert_eq!(pic.acknowledge(), 0x21);
    assert_eq!(pic.acknowledge(), 0x20);
    pic.write(0x20, 0x00);
    raise(&mut pic, &[5]);
    pic.acknowledge();
    pic.pulse(5);
    pic.pulse(3);
    assert_eq!(pic.acknowledge(), 0x23, "level 0 stays the lowest");
}

/// "Specific Rotation": the named level becomes the lowest, with or without an EOI.
#[test]
fn specific_rotation_sets_the_lowest_level() {
    let mut pic = pic();
    pic.write(0x20, 0xc4);
    raise(&mut pic, &[0, 4, 5]);
    assert_eq!(pic.acknowledge(), 0x25);
    pic.write(0x20, 0xe0 | 5);
    assert_eq!(isr(&mut pic, 0x20), 0);
    pic.pulse(5);
    assert_eq!(pic.acknowledge(), 0x20, "5 is the lowest now");
}

/// "Special Mask Mode": a masked level in service holds back nobody, and non-specific EOI
/// does not end it.
#[test]
fn special_mask_mode_lets_lower_levels_through() {
    let mut pic = pic();
    raise(&mut pic, &[1]);
    pic.acknowledge();
    raise(&mut pic, &[5]);
    assert!(!pic.interrupt_pending());
    pic.write(0x21, 0x02);
    assert!(!pic.interrupt_pending(), "the mask alone is not enough");
    pic.write(0x20, 0x68);
    assert_eq!(pic.acknowledge(), 0x25);
    pic.write(0x20, 0x20);
    assert_eq!(isr(&mut pic, 0x20), 0x02);
    pic.write(0x20, 0x48);
    raise(&mut pic, &[6]);
    assert!(!pic.interrupt_pending(), "normal mask mode again");
}

/// "Poll Command": the next read acknowledges and tells the level.
#[test]
fn a_poll_is_an_acknowledge_by_reading() {
    let mut pic = pic();
    pic.write(0x20, 0x0c);
    assert_eq!(pic.read(0x20) & 0x80, 0, "no request");
    raise(&mut pic, &[3, 6]);
    pic.write(0x20, 0x0c);
    assert_eq!(pic.read(0x20), 0x83);
    assert_eq!(isr(&mut pic, 0x20), 0x08);
    assert!(!pic.interrupt_pending());
    raise(&mut pic, &[10]);
    pic.write(0x20, 0x0c);
    assert_eq!(pic.read(0x21), 0x82, "either port answers");
    pic.write(0xa0, 0x0c);
    assert_eq!(pic.read(0xa0), 0x82);
    assert_eq!(isr(&mut pic, 0xa0), 0x04);
}

/// "Cascade Mode": the slave's vector comes, and both chips have it in service.
#[test]
fn the_slave_interrupts_through_the_master() {
    let mut pic = pic();
    raise(&mut pic, &[12, 4]);
    assert_eq!(pic.acknowledge(), 0x2c, "the cascade is above line 4");
    assert_eq!(isr(&mut pic, 0x20), 0x04);
    assert_eq!(isr(&mut pic, 0xa0), 0x10);
    pic.write(0xa0, 0x20);
    pic.write(0x20, 0x20);
    assert_eq!(pic.acknowledge(), 0x24);
}

/// "Cascade Mode": each request of the slave is an edge for the master.
#[test]
fn requests_of_the_slave_come_one_after_another() {
    let mut pic = pic();
    raise(&mut pic, &[8, 9]);
    assert_eq!(pic.acknowledge(), 0x28);
    pic.write(0xa0, 0x60);
    assert!(
        !pic.interrupt_pending(),
        "the master still serves the cascade"
    );
    pic.write(0x20, 0x62);
    assert_eq!(pic.acknowledge(), 0x29);

    let mut pic = pic_with_icw4(0x03);
    raise(&mut pic, &[8, 9]);
    assert_eq!((pic.acknowledge(), pic.acknowledge()), (0x28, 0x29));
    assert!(!pic.interrupt_pending());
}

/// "Cascade Mode": a slave answers only to its own identity.
#[test]
fn a_slave_with_another_identity_leaves_the_bus_floating() {
    let mut pic = pic();
    for (port, value) in [(0xa0, 0x11), (0xa1, 0x28), (0xa1, 0x05), (0xa1, 0x01)] {
        pic.write(port, value);
    }
    raise(&mut pic, &[8]);
    assert_eq!(pic.acknowledge(), 0xff);
}

/// "Special Fully Nested Mode": a higher request of the slave passes the one in service.
#[test]
fn special_fully_nested_mode_nests_within_the_slave() {
    for (icw4, nests) in [(0x01, false), (0x11, true)] {
        let mut pic = pic_with_icw4(icw4);
        raise(&mut pic, &[12]);
        assert_eq!(pic.acknowledge(), 0x2c);
        raise(&mut pic, &[9]);
        assert_eq!(pic.interrupt_pending(), nests, "ICW4 {icw4:#x}");
        if nests {
            assert_eq!(pic.acknowledge(), 0x29);
        }
        pic.set_line(3, true);
        assert!(!pic.interrupt_pending(), "line 3 is below the cascade");
    }
}

/// "Interrupt Sequence": a request that goes before INTA ends as level 7, with nothing in service.
#[test]
fn a_request_that_goes_away_is_spurious() {
    let mut pic = pic();
    raise(&mut pic, &[3]);
    pic.set_line(3, false);
    assert!(!pic.interrupt_pending());
    assert_eq!(pic.acknowledge(), 0x27);
    assert_eq!(isr(&mut pic, 0x20), 0);
}

/// "Interrupt Sequence", on the slave: the request went between the two INTA pulses.
#[test]
fn the_slave_alone_can_be_spurious() {
    let mut pic = pic();
    raise(&mut pic, &[9]);
    pic.slave.set_line(1, false);
    assert_eq!(pic.acknowledge(), 0x2f);
    assert_eq!(isr(&mut pic, 0xa0), 0);
    assert_eq!(isr(&mut pic, 0x20), 0x04, "the master knows nothing of it");
}

/// "Edge and Level Triggered Modes": an edge counts once, a level as long as it lasts.
#[test]
fn an_edge_counts_once_and_a_level_until_it_ends() {
    let mut pic = pic();
    pic.write(0x4d0, 0x20);
    raise(&mut pic, &[4, 5]);
    assert_eq!(pic.acknowledge(), 0x24);
    pic.write(0x20, 0x20);
    assert_eq!(pic.acknowledge(), 0x25);
    pic.write(0x20, 0x20);
    assert!(pic.interrupt_pending());
    assert_eq!(irr(&mut pic, 0x20), 0x20);
    pic.set_line(5, false);
    assert!(!pic.interrupt_pending());
}

/// "Initialization Command Words 1 and 2", LTIM: all inputs by level.
#[test]
fn ltim_makes_every_input_level_triggered() {
    let mut pic = pic();
    raise(&mut pic, &[6]);
    for (port, value) in [(0x20, 0x19), (0x21, 0x20), (0x21, 0x04), (0x21, 0x01)] {
        pic.write(port, value);
    }
    assert_eq!(pic.acknowledge(), 0x26);
    pic.write(0x20, 0x20);
    assert_eq!(pic.acknowledge(), 0x26);
}

/// Intel 82371AB (PIIX4), "Edge/Level Control Registers": lines 0, 1, 2, 8 and 13 are edges.
#[test]
fn the_elcr_reads_back_but_for_its_fixed_lines() {
    let mut pic = pic();
    pic.write(0x4d0, 0xff);
    pic.write(0x4d1, 0xff);
    assert_eq!((pic.read(0x4d0), pic.read(0x4d1)), (0xf8, 0xde));
}

#[test]
fn lines_that_do_not_exist_do_nothing() {
    let mut pic = pic();
    for line in [2, 16, 255] {
        pic.set_line(line, true);
    }
    assert!(!pic.interrupt_pending());
}

#[derive(Clone, Debug)]
enum Step {
    Write(u16, u8),
    Read(u16),
    Line(u8, bool),
    Acknowledge,
}

fn step() -> impl Strategy<Value = Step> {
    let port = prop::sample::select(vec![0x20u16, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1]);
    prop_oneof![
        (port.clone(), any::<u8>()).prop_map(|(port, value)| Step::Write(port, value)),
        port.prop_map(Step::Read),
        (0u8..16, any::<bool>()).prop_map(|(line, high)| Step::Line(line, high)),
        Just(Step::Acknowledge),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The laws of an acknowledge, after any history.
    #[test]
    fn an_acknowledge_serves_what_is_requested_and_not_masked(
        steps in prop::collection::vec(step(), 0..60)
    ) {
        let mut pic = pic();
        for step in steps {
            match step {
                Step::Write(port, value) => pic.write(port, value),
                Step::Read(port) => { pic.read(port); }
                Step::Line(line, high) => pic.set_line(line, high),
                Step::Acknowledge => {
                    let before = pic.clone();
                    let vector = pic.acknowledge();
                    let served = pic.master.isr & !before.master.isr;
                    prop_assert!(served.count_ones() <= 1);
                    prop_assert_eq!(served & before.master.imr, 0);
                    prop_assert_eq!(served & !before.master.irr(), 0);
                    let served = pic.slave.isr & !before.slave.isr;
                    prop_assert!(served.count_ones() <= 1);
                    prop_assert_eq!(served & before.slave.imr, 0);
                    prop_assert_eq!(served & !before.slave.irr(), 0);
                    if !before.interrupt_pending() {
                        prop_assert_eq!(vector, before.master.base | 7);
                        prop_assert_eq!(pic.master.isr, before.master.isr);
                    }
                }
            }
            prop_assert_eq!(pic.intr, pic.master.request().is_some(), "INTR is up to date");
            prop_assert_eq!(pic.master.lines & 4 != 0, pic.slave.request().is_some());
        }
    }

    /// "Fully Nested Mode": whatever the lines, acknowledge and EOI by turns serves each request
    /// once, in the order of priority, and ends.
    #[test]
    fn every_request_is_served_once_in_order(lines in any::<u16>()) {
        let mut pic = pic();
        for line in (0..16).filter(|line| *line != 2 && lines >> line & 1 != 0) {
            pic.set_line(line, true);
        }
        let mut served = Vec::new();
        while pic.interrupt_pending() {
            prop_assert!(served.len() < 16);
            let vector = pic.acknowledge();
            served.push(vector - 0x20);
            if vector >= 0x28 {
                pic.write(0xa0, 0x20);
            }
            pic.write(0x20, 0x20);
        }
        let order = [0, 1, 8, 9, 10, 11, 12, 13, 14, 15, 3, 4, 5, 6, 7];
        let expected: Vec<u8> = order.into_iter().filter(|line| lines >> line & 1 != 0).collect();
        prop_assert_eq!(served, expected);
    }
}
