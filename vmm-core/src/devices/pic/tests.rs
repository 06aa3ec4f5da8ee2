//! Section names are those of Intel's 8259A data sheet.

use super::*;

mod laws;
mod pair;

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
