//! The two chips together, and what triggers them.

use super::*;

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
    pic.write_elcr(0x4d0, 0x20);
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
    pic.write_elcr(0x4d0, 0xff);
    pic.write_elcr(0x4d1, 0xff);
    assert_eq!((pic.read_elcr(0x4d0), pic.read_elcr(0x4d1)), (0xf8, 0xde));
}

#[test]
fn lines_that_do_not_exist_do_nothing() {
    let mut pic = pic();
    for line in [2, 16, 255] {
        pic.set_line(line, true);
    }
    assert!(!pic.interrupt_pending());
}

/// 82371AB, "Edge/Level Control Registers": a line that is high requests as soon as it counts
/// by level.
#[test]
fn a_high_line_requests_when_it_becomes_level_triggered() {
    let mut pic = pic();
    raise(&mut pic, &[5]);
    pic.acknowledge();
    pic.write(0x20, 0x20);
    assert!(!pic.interrupt_pending());
    pic.write_elcr(0x4d0, 0x20);
    assert!(pic.interrupt_pending());
}

/// "Special Fully Nested Mode": it changes nothing between the slave and higher levels.
#[test]
fn special_fully_nested_mode_keeps_higher_levels_above_the_slave() {
    let mut pic = pic_with_icw4(0x11);
    raise(&mut pic, &[1]);
    pic.acknowledge();
    raise(&mut pic, &[9]);
    assert!(!pic.interrupt_pending());
}

/// "Poll Command", on the slave: a further request is a new edge for the master.
#[test]
fn a_polled_slave_requests_again() {
    let mut pic = pic_with_icw4(0x03);
    raise(&mut pic, &[10, 11]);
    for expected in [0x82, 0x83] {
        pic.write(0x20, 0x0c);
        assert_eq!(pic.read(0x20), 0x82);
        pic.write(0xa0, 0x0c);
        assert_eq!(pic.read(0xa0), expected);
    }
    pic.write(0x20, 0x0c);
    assert_eq!(pic.read(0x20), 0x07);
}
