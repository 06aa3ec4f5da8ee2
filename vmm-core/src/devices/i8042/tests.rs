//! Sections are those of IBM's PS/2 Technical Reference: "Keyboard/Auxiliary Device Controller"
//! and "Keyboard".

mod mouse;

use super::*;
use proptest::prelude::*;

/// The controller with a keyboard on its first port and nothing on the other.
fn keyboard_alone() -> I8042 {
    I8042::new(true, false)
}

/// Everything in the output buffer and behind it.
fn drain(controller: &mut I8042) -> Vec<u8> {
    let mut bytes = Vec::new();
    while controller.read_status() & status::OUTPUT_FULL != 0 {
        bytes.push(controller.read_data());
    }
    bytes
}

fn command(controller: &mut I8042, command: u8) -> Vec<u8> {
    assert!(!controller.write_command(command));
    drain(controller)
}

fn data(controller: &mut I8042, value: u8) -> Vec<u8> {
    assert!(!controller.write_data(value));
    drain(controller)
}

/// Sets the command byte.
fn configure(controller: &mut I8042, value: u8) {
    command(controller, 0x60);
    data(controller, value);
}

fn type_keys(controller: &mut I8042, codes: &[u8]) -> Vec<u8> {
    for &code in codes {
        assert!(controller.key(code));
    }
    drain(controller)
}

/// "Controller Commands": each answer.
#[test]
fn controller_commands_answer() {
    for (number, answer) in [
        (0x20, &[0x65][..]),
        (0x3f, &[0x00]),
        (0xa4, &[0xf1]),
        (0xa7, &[]),
        (0xa8, &[]),
        (0xa9, &[0x01]),
        (0xaa, &[0x55]),
        (0xab, &[0x00]),
        (0xad, &[]),
        (0xae, &[]),
        (0xc0, &[0x80]),
        (0xd0, &[0xc3]),
        (0xe0, &[0x01]),
        (0xff, &[]),
    ] {
        let mut controller = keyboard_alone();
        assert_eq!(command(&mut controller, number), answer, "{number:#x}");
    }
}

/// "Status Register": who wrote last, and the system flag.
#[test]
fn the_status_tells_what_was_written_last() {
    let mut controller = keyboard_alone();
    assert_eq!(controller.read_status(), status::UNLOCKED | status::SYSTEM);
    command(&mut controller, 0xae);
    assert_eq!(controller.read_status() & status::COMMAND, status::COMMAND);
    data(&mut controller, 0xee);
    assert_eq!(controller.read_status() & status::COMMAND, 0);
    configure(&mut controller, 0x00);
    assert_eq!(controller.read_status(), status::UNLOCKED);
}

/// "Controller Command Byte": reads back, and without a mouse its disable bit is stuck.
#[test]
fn the_command_byte_reads_back_with_the_mouse_off() {
    let mut controller = keyboard_alone();
    configure(&mut controller, 0x45);
    assert_eq!(command(&mut controller, 0x20), [0x65]);
    command(&mut controller, 0xa8);
    assert_eq!(command(&mut controller, 0x20), [0x65]);
    command(&mut controller, 0xad);
    assert_eq!(command(&mut controller, 0x20), [0x75]);
    command(&mut controller, 0x65);
    data(&mut controller, 0x5a);
    assert_eq!(command(&mut controller, 0x25), [0x5a], "RAM byte 5");
}

/// "Controller Commands", D2h, D3h and D4h: echoes come back, a mouse does not.
#[test]
fn echoes_come_back_and_the_absent_mouse_times_out() {
    let mut controller = keyboard_alone();
    for echo in [0xd2, 0xd3] {
        command(&mut controller, echo);
        assert_eq!(data(&mut controller, 0x5a), [0x5a]);
    }
    command(&mut controller, 0xd4);
    controller.write_data(0xff);
    let status = controller.read_status();
    assert_eq!(status & 0x61, status::OUTPUT_FULL | status::TIMEOUT);
    assert_eq!(drain(&mut controller), [0xfe]);
    assert_eq!(controller.read_status() & status::TIMEOUT, 0);
}

/// "Controller Commands", FEh and D1h: the output port's bit 0 resets.
#[test]
fn a_low_reset_line_resets() {
    for value in 0xf0..=0xff {
        let reset = keyboard_alone().write_command(value);
        assert_eq!(reset, value & 1 == 0, "{value:#x}");
    }
    let mut controller = keyboard_alone();
    command(&mut controller, 0xd1);
    assert!(!controller.write_data(0xdf));
    assert_eq!(command(&mut controller, 0xd0), [0xcf]);
    command(&mut controller, 0xd1);
    assert!(controller.write_data(0xde));
}

/// "Keyboard Commands": each answer, with translation off.
#[test]
fn keyboard_commands_answer() {
    for (bytes, answer) in [
        (&[0xed, 0x05][..], &[0xfa, 0xfa][..]),
        (&[0xee], &[0xee]),
        (&[0xf0, 0x00], &[0xfa, 0xfa, 0x02]),
        (&[0xf0, 0x01, 0xf0, 0x00], &[0xfa, 0xfa, 0xfa, 0xfa, 0x01]),
        (&[0xf0, 0x03], &[0xfa, 0xfe]),
        (&[0xf2], &[0xfa, 0xab, 0x83]),
        (&[0xf3, 0x20], &[0xfa, 0xfa]),
        (&[0xf4], &[0xfa]),
        (&[0xf5], &[0xfa]),
        (&[0xf6], &[0xfa]),
        (&[0xf8], &[0xfa]),
        (&[0xff], &[0xfa, 0xaa]),
        (&[0xee, 0xfe], &[0xee, 0xee]),
        (&[0x00], &[0xfe]),
        (&[0xed, 0xf4], &[0xfa, 0xfa]),
    ] {
        let mut controller = keyboard_alone();
        configure(&mut controller, 0x04);
        let mut answers = Vec::new();
        for byte in bytes {
            answers.extend(data(&mut controller, *byte));
        }
        assert_eq!(answers, answer, "{bytes:x?}");
    }
}

#[test]
fn the_lights_are_those_last_set() {
    let mut controller = keyboard_alone();
    data(&mut controller, 0xed);
    data(&mut controller, 0x07);
    assert_eq!(controller.leds(), 7);
    data(&mut controller, 0xed);
    data(&mut controller, 0xf4);
    assert_eq!(controller.leds(), 7, "a command is no parameter");
}

/// "Scan Code Translation": answers are translated too.
#[test]
fn translation_applies_to_answers() {
    let mut controller = keyboard_alone();
    assert_eq!(data(&mut controller, 0xf2), [0xfa, 0xab, 0x41]);
    data(&mut controller, 0xf0);
    assert_eq!(data(&mut controller, 0x00), [0xfa, 0x41]);
}

/// "Scan Codes": one key in the three ways a guest can choose.
#[test]
fn keys_come_in_the_set_the_guest_chose() {
    // Pressed and released: A, the right control key, and Pause.
    let keys = [
        0x1e, 0x9e, 0xe0, 0x1d, 0xe0, 0x9d, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5,
    ];
    let set_2 = [
        0x1c, 0xf0, 0x1c, 0xe0, 0x14, 0xe0, 0xf0, 0x14, 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0,
        0x77,
    ];
    let by_half = |controller: &mut I8042| {
        let (first, second) = keys.split_at(6);
        [type_keys(controller, first), type_keys(controller, second)].concat()
    };
    let mut controller = keyboard_alone();
    assert_eq!(by_half(&mut controller), keys, "translated set 2");
    configure(&mut controller, 0x05);
    assert_eq!(by_half(&mut controller), set_2, "set 2");
    data(&mut controller, 0xf0);
    data(&mut controller, 0x01);
    assert_eq!(by_half(&mut controller), keys, "set 1");
    data(&mut controller, 0xf6);
    assert_eq!(type_keys(&mut controller, &[0x1e]), [0x1c], "the default");
}

/// "Keyboard Commands", F4h and F5h.
#[test]
fn a_disabled_keyboard_sends_nothing() {
    let mut controller = keyboard_alone();
    data(&mut controller, 0xf5);
    assert_eq!(type_keys(&mut controller, &[0x1e]), []);
    data(&mut controller, 0xf4);
    assert_eq!(type_keys(&mut controller, &[0x1e]), [0x1e]);
}

/// "Controller Command Byte", bit 4: the keyboard's line is held, and its keys wait.
#[test]
fn a_disabled_interface_keeps_keys_waiting() {
    let mut controller = keyboard_alone();
    command(&mut controller, 0xad);
    assert_eq!(type_keys(&mut controller, &[0x1e]), []);
    assert_eq!(command(&mut controller, 0xae), [0x1e]);
    command(&mut controller, 0xad);
    type_keys(&mut controller, &[0x1f]);
    assert_eq!(
        data(&mut controller, 0xee),
        [0xee, 0x1f],
        "sending opens it"
    );
}

/// "Controller Command Byte", bit 0: the line follows the output buffer.
#[test]
fn line_1_says_that_a_byte_waits() {
    let mut controller = keyboard_alone();
    assert!(!controller.irq());
    controller.key(0x1e);
    assert!(controller.irq());
    controller.read_data();
    assert!(!controller.irq());
    configure(&mut controller, 0x44);
    controller.key(0x9e);
    assert!(!controller.irq());
    assert_eq!(drain(&mut controller), [0x9e]);
}

#[test]
fn an_empty_buffer_repeats_the_last_byte() {
    let mut controller = keyboard_alone();
    controller.key(0x1e);
    assert_eq!(controller.read_data(), 0x1e);
    assert_eq!(controller.read_data(), 0x1e);
}

#[test]
fn an_answer_overtakes_keys_but_not_the_byte_in_the_buffer() {
    let mut controller = keyboard_alone();
    controller.key(0x1e);
    controller.key(0x1f);
    assert_eq!(command(&mut controller, 0xaa), [0x1e, 0x55, 0x1f]);
}

#[test]
fn a_full_keyboard_refuses_keys_until_they_are_read() {
    let mut controller = keyboard_alone();
    let typed = (1..100).take_while(|key| controller.key(*key)).count();
    assert!((15..=16).contains(&typed), "{typed}");
    let expected: Vec<u8> = (1..=typed as u8).collect();
    assert_eq!(drain(&mut controller), expected);
    assert!(controller.key(0x1e));
}

/// "Controller Commands": a command cancels the one that waits for its data.
#[test]
fn a_command_cancels_the_one_before() {
    let mut controller = keyboard_alone();
    command(&mut controller, 0x60);
    command(&mut controller, 0xae);
    assert_eq!(data(&mut controller, 0xee), [0xee], "to the keyboard");
    assert_eq!(command(&mut controller, 0x20), [0x65]);
}

/// "Keyboard Commands", F4h, F5h, F6h and FFh: what was typed before is forgotten.
#[test]
fn keys_typed_before_a_new_start_are_forgotten() {
    for (start, answer) in [
        (0xf4, &[0xfa][..]),
        (0xf5, &[0xfa]),
        (0xf6, &[0xfa]),
        (0xff, &[0xfa, 0xaa]),
    ] {
        let mut controller = keyboard_alone();
        command(&mut controller, 0xad);
        type_keys(&mut controller, &[0x1e, 0x9e]);
        assert_eq!(data(&mut controller, start), answer, "{start:#x}");
    }
}

proptest! {
    /// With the controller as it starts, any typing arrives as it was typed.
    #[test]
    fn typing_arrives_unchanged(keys in prop::collection::vec((1u8..0x80, any::<bool>()), 0..100)) {
        let codes: Vec<u8> = keys
            .into_iter()
            .map(|(key, released)| key | u8::from(released) << 7)
            // 60h and 61h released would be the prefixes E0h and E1h: no keyboard has these keys.
            .filter(|code| !matches!(code, 0x60 | 0x61 | 0xe0 | 0xe1))
            .collect();
        let mut controller = keyboard_alone();
        let mut got = Vec::new();
        for code in &codes {
            while !controller.key(*code) {
                got.push(controller.read_data());
            }
        }
        got.extend(drain(&mut controller));
        prop_assert_eq!(got, codes);
    }
}
