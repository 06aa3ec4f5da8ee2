//! The second port. Sections are those of IBM's PS/2 Technical Reference: "Keyboard/Auxiliary
//! Device Controller" and "Mouse".

use super::*;

/// The controller with both ports taken, the second one on.
fn both() -> I8042 {
    let mut controller = I8042::new(true, true);
    command(&mut controller, 0xa8);
    controller
}

/// Bytes to the mouse; what it answers.
fn to_mouse(controller: &mut I8042, bytes: &[u8]) -> Vec<u8> {
    let mut answers = Vec::new();
    for byte in bytes {
        command(controller, 0xd4);
        answers.extend(data(controller, *byte));
    }
    answers
}

/// "Commands": each answer.
#[test]
fn mouse_commands_answer() {
    for (bytes, answer) in [
        (&[0xff][..], &[0xfa, 0xaa, 0x00][..]),
        (&[0xf2], &[0xfa, 0x00]),
        (&[0xe9], &[0xfa, 0x00, 0x02, 0x64]),
        (&[0xe8, 0x03, 0xe9], &[0xfa, 0xfa, 0xfa, 0x00, 0x03, 0x64]),
        (&[0xe8, 0x04], &[0xfa, 0xfe]),
        (&[0xf3, 0x28, 0xe9], &[0xfa, 0xfa, 0xfa, 0x00, 0x02, 0x28]),
        (&[0xf3, 0x29], &[0xfa, 0xfe]),
        (&[0xe7, 0xe9], &[0xfa, 0xfa, 0x10, 0x02, 0x64]),
        (&[0xe7, 0xe6, 0xe9], &[0xfa, 0xfa, 0xfa, 0x00, 0x02, 0x64]),
        (&[0xf4, 0xe9], &[0xfa, 0xfa, 0x20, 0x02, 0x64]),
        (&[0xf4, 0xf5, 0xe9], &[0xfa, 0xfa, 0xfa, 0x00, 0x02, 0x64]),
        (&[0xf0, 0xe9], &[0xfa, 0xfa, 0x40, 0x02, 0x64]),
        (&[0xf0, 0xea, 0xe9], &[0xfa, 0xfa, 0xfa, 0x00, 0x02, 0x64]),
        (
            &[0xf4, 0xe7, 0xf6, 0xe9],
            &[0xfa, 0xfa, 0xfa, 0xfa, 0x00, 0x02, 0x64],
        ),
        (&[0xeb], &[0xfa, 0x08, 0x00, 0x00]),
        (
            &[0xee, 0x55, 0xf4, 0xec, 0xe9],
            &[0xfa, 0x55, 0xf4, 0xfa, 0xfa, 0x00, 0x02, 0x64],
        ),
        (&[0xee, 0xff], &[0xfa, 0xfa, 0xaa, 0x00]),
        (&[0xf2, 0xfe], &[0xfa, 0x00, 0xfa, 0x00]),
        (&[0xe1], &[0xfe]),
        (&[0xe8, 0xf4, 0xe9], &[0xfa, 0xfa, 0xfa, 0x20, 0x02, 0x64]),
    ] {
        assert_eq!(to_mouse(&mut both(), bytes), answer, "{bytes:x?}");
    }
}

/// "Controller Commands": what the second port changes in the answers.
#[test]
fn the_second_port_is_tested_and_switched() {
    let mut controller = I8042::new(true, true);
    assert_eq!(command(&mut controller, 0xa9), [0x00]);
    assert_eq!(command(&mut controller, 0x20), [0x65], "off at first");
    assert_eq!(command(&mut controller, 0xe0), [0x01]);
    command(&mut controller, 0xa8);
    assert_eq!(command(&mut controller, 0x20), [0x45]);
    assert_eq!(command(&mut controller, 0xe0), [0x03]);
    command(&mut controller, 0xa7);
    assert_eq!(command(&mut controller, 0x20), [0x65]);
    configure(&mut controller, 0x47);
    assert_eq!(command(&mut controller, 0x20), [0x47]);
}

/// "Status Register", bit 5, and "Controller Command Byte", bits 0 and 1: each device has its own
/// interrupt.
#[test]
fn a_byte_of_the_mouse_is_told_apart() {
    let mut controller = both();
    configure(&mut controller, 0x47);
    controller.write_command(0xd4);
    controller.write_data(0xf4);
    let full = status::OUTPUT_FULL | status::OF_MOUSE;
    assert_eq!(controller.read_status() & full, full);
    assert!(controller.mouse_irq() && !controller.irq());
    assert_eq!(controller.read_data(), 0xfa);
    assert!(!controller.mouse_irq() && !controller.irq());
    controller.key(0x1e);
    assert_eq!(controller.read_status() & full, status::OUTPUT_FULL);
    assert!(controller.irq() && !controller.mouse_irq());
    controller.read_data();
    configure(&mut controller, 0x45);
    command(&mut controller, 0xd4);
    controller.write_data(0xf4);
    assert!(!controller.mouse_irq(), "its interrupt is off");
}

/// "Controller Commands", D3h: as if the mouse had sent it. Linux looks for the port by that.
#[test]
fn an_echo_comes_from_the_second_port() {
    let mut controller = both();
    controller.write_command(0xd3);
    controller.write_data(0x5a);
    assert_eq!(
        controller.read_status() & status::OF_MOUSE,
        status::OF_MOUSE
    );
    assert_eq!(drain(&mut controller), [0x5a]);
    controller.write_command(0xd2);
    controller.write_data(0x5a);
    assert_eq!(controller.read_status() & status::OF_MOUSE, 0);
}

/// "Controller Command Byte", bit 5: what the mouse has to say waits.
#[test]
fn a_disabled_second_port_keeps_the_mouse_waiting() {
    let mut controller = both();
    controller.write_command(0xd4);
    controller.write_data(0xe9);
    assert_eq!(controller.read_data(), 0xfa);
    controller.write_command(0xa7);
    assert_eq!(drain(&mut controller), [0x00], "it was on its way");
    assert_eq!(command(&mut controller, 0xa8), [0x02, 0x64]);
}

/// A new command ends the answer to the one before.
#[test]
fn a_command_to_the_mouse_cancels_the_answer_before() {
    let mut controller = both();
    controller.write_command(0xd4);
    controller.write_data(0xe9);
    controller.write_command(0xd4);
    controller.write_data(0xf2);
    assert_eq!(drain(&mut controller), [0xfa, 0xfa, 0x00]);
}

/// A keyboard that is not there does not answer, and the mouse does.
#[test]
fn the_mouse_is_there_without_a_keyboard() {
    let mut controller = I8042::new(false, true);
    assert_eq!(command(&mut controller, 0xab), [0x01]);
    assert!(!controller.write_data(0xff));
    assert_eq!(controller.read_status() & status::TIMEOUT, status::TIMEOUT);
    assert_eq!(drain(&mut controller), [0xfe]);
    assert!(controller.key(0x1e), "a key goes nowhere");
    assert_eq!(drain(&mut controller), []);
    assert_eq!(to_mouse(&mut controller, &[0xf2]), [0xfa, 0x00]);
}
