//! Section names are those of IBM's VGA Technical Reference.

use super::*;

fn at(ns: u64) -> impl FnOnce() -> GuestTime {
    move || GuestTime(ns)
}

fn read(vga: &mut Vga, port: u16) -> u8 {
    vga.read(port, at(0))
}

fn crtc(vga: &mut Vga, index: u8, value: u8) {
    vga.write(0x3d4, index);
    vga.write(0x3d5, value);
}

/// "CRT Controller Registers": index and data read back, and what has no register reads 0.
#[test]
fn crtc_registers_read_back() {
    let mut vga = Vga::new();
    crtc(&mut vga, 0x0f, 0xa5);
    assert_eq!((read(&mut vga, 0x3d4), read(&mut vga, 0x3d5)), (0x0f, 0xa5));
    crtc(&mut vga, 0x40, 0xff);
    assert_eq!(read(&mut vga, 0x3d5), 0);
}

/// "CRT Controller Registers": Start Address, Cursor Location, Cursor Start and End.
#[test]
fn start_address_and_cursor_are_what_the_guest_set() {
    let mut vga = Vga::new();
    assert_eq!(vga.start_address(), 0);
    let scan_lines = (13, 14);
    assert_eq!(
        vga.cursor(),
        Some(Cursor {
            cell: 0,
            scan_lines
        })
    );
    for (index, value) in [(0x0c, 0x01), (0x0d, 0x40), (0x0e, 0x07), (0x0f, 0xcf)] {
        crtc(&mut vga, index, value);
    }
    assert_eq!(vga.start_address(), 0x140);
    assert_eq!(vga.cursor().map(|cursor| cursor.cell), Some(0x7cf));
    crtc(&mut vga, 0x0a, 0x20);
    assert_eq!(vga.cursor(), None, "switched off");
    crtc(&mut vga, 0x0a, 0x0f);
    assert_eq!(vga.cursor(), None, "it ends before it starts");
}

/// "Vertical Retrace End Register": bit 7 protects registers 0-7, but for line compare.
#[test]
fn protected_registers_keep_their_values() {
    let mut vga = Vga::new();
    crtc(&mut vga, 0x00, 0x11);
    vga.write(0x3d4, 0x00);
    assert_eq!(read(&mut vga, 0x3d5), 0x5f);
    crtc(&mut vga, 0x07, 0x00);
    assert_eq!(read(&mut vga, 0x3d5), 0x0f);
    crtc(&mut vga, 0x11, 0x0e);
    crtc(&mut vga, 0x00, 0x11);
    assert_eq!(read(&mut vga, 0x3d5), 0x11);
}

/// "Attribute Controller Registers": index and data share a port; 3DAh starts with the index.
#[test]
fn attribute_writes_take_turns() {
    let mut vga = Vga::new();
    vga.write(0x3c0, 0x10);
    read(&mut vga, 0x3da);
    vga.write(0x3c0, 0x31);
    vga.write(0x3c0, 0x3f);
    assert_eq!((read(&mut vga, 0x3c0), read(&mut vga, 0x3c1)), (0x31, 0x3f));
    vga.write(0x3c0, 0x10);
    assert_eq!(read(&mut vga, 0x3c1), 0x0c);
}

/// "General Registers", "Sequencer Registers", "Graphics Controller Registers".
#[test]
fn the_other_registers_keep_what_is_written() {
    let mut vga = Vga::new();
    for (index, data) in [(0x3c4, 0x3c5), (0x3ce, 0x3cf)] {
        vga.write(index, 4);
        vga.write(data, 0x5a);
        assert_eq!((read(&mut vga, index), read(&mut vga, data)), (4, 0x5a));
    }
    for (written, value, read_at) in [
        (0x3c2, 0xe3, 0x3cc),
        (0x3da, 0x01, 0x3ca),
        (0x3c6, 0x0f, 0x3c6),
    ] {
        vga.write(written, value);
        assert_eq!(read(&mut vga, read_at), value, "port {written:#x}");
    }
}

/// "Video Digital-to-Analog Converter": three components an entry, the index counts up.
#[test]
fn the_palette_reads_what_was_written() {
    let mut vga = Vga::new();
    vga.write(0x3c8, 0xff);
    for component in [1, 2, 0x43, 4, 5, 6] {
        vga.write(0x3c9, component);
    }
    assert_eq!(read(&mut vga, 0x3c7), 0);
    vga.write(0x3c7, 0xff);
    assert_eq!(read(&mut vga, 0x3c7), 3);
    let components: Vec<u8> = (0..6).map(|_| read(&mut vga, 0x3c9)).collect();
    assert_eq!(
        components,
        [1, 2, 3, 4, 5, 6],
        "six bits, and entry 0 after 255"
    );
}

/// "Compatibility, Mode 3 colors": light grey and yellow of the text palette.
#[test]
fn the_palette_starts_with_the_text_colours() {
    for (entry, colour) in [
        (0x07, [0x2a; 3]),
        (0x3e, [0x3f, 0x3f, 0x15]),
        (0x14, [0x2a, 0x15, 0]),
    ] {
        let mut vga = Vga::new();
        vga.write(0x3c7, entry);
        assert_eq!(
            [(); 3].map(|()| read(&mut vga, 0x3c9)),
            colour,
            "{entry:#x}"
        );
    }
}

/// "Input Status Register One": both bits come and go with the beam.
#[test]
fn the_beam_blanks_and_returns() {
    let mut vga = Vga::new();
    for (line, into_line, status) in [
        (0, 0, 0x00),
        (0, LINE_VISIBLE_NS, 0x01),
        (399, 0, 0x00),
        (400, 0, 0x01),
        (412, 0, 0x09),
        (414, 0, 0x01),
        (449, 0, 0x00),
    ] {
        let ns = line * LINE_NS + into_line;
        assert_eq!(vga.read(0x3da, at(ns)), status, "line {line}");
    }
}
