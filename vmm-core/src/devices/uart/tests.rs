//! Section names are those of National's PC16550D data sheet.

use super::*;
use proptest::prelude::*;

const DATA: u8 = 0;
const IER: u8 = 1;
const IIR: u8 = 2;
const FCR: u8 = 2;
const LCR: u8 = 3;
const MCR: u8 = 4;
const LSR: u8 = 5;
const MSR: u8 = 6;
const SCR: u8 = 7;

/// FIFOs on with a trigger of 8, OUT2 on, the given interrupts enabled.
fn uart(enabled: u8) -> Uart {
    let mut uart = Uart::new();
    uart.write(FCR, 0x81);
    uart.write(MCR, mcr::OUT2);
    uart.write(IER, enabled);
    uart
}

/// Table 1, "UART Reset Configuration".
#[test]
fn reset_leaves_the_values_of_the_reset_table() {
    let mut uart = Uart::new();
    for (register, value) in [
        (IER, 0x00),
        (IIR, 0x01),
        (LCR, 0x00),
        (MCR, 0x00),
        (LSR, 0x60),
        (MSR, 0xb0),
    ] {
        assert_eq!(uart.read(register), value, "register {register}");
    }
    assert!(!uart.irq());
}

/// "Programmable Baud Generator": DLAB puts the divisor in place of data and IER.
#[test]
fn dlab_shows_the_divisor() {
    let mut uart = Uart::new();
    uart.write(LCR, 0x83);
    uart.write(DATA, 0x01);
    uart.write(IER, 0x02);
    assert_eq!((uart.read(DATA), uart.read(IER)), (0x01, 0x02));
    uart.write(LCR, 0x03);
    assert_eq!(uart.read(LCR), 0x03);
    assert_eq!((uart.read(DATA), uart.read(IER)), (0x00, 0x00));
}

#[test]
fn registers_keep_only_the_bits_they_have() {
    let mut uart = Uart::new();
    for (register, kept) in [(IER, 0x0f), (MCR, 0x1f), (LCR, 0x7f), (SCR, 0xff)] {
        uart.write(register, kept);
        assert_eq!(uart.read(register), kept, "register {register}");
    }
    uart.write(LCR, 0x00);
    uart.write(IER, 0xff);
    uart.write(MCR, 0xe0);
    assert_eq!((uart.read(IER), uart.read(MCR)), (0x0f, 0x00));
}

/// "Line Status Register" and "Modem Status Register": for reading only.
#[test]
fn status_registers_cannot_be_written() {
    let mut uart = Uart::new();
    uart.write(LSR, 0xff);
    uart.write(MSR, 0xff);
    assert_eq!((uart.read(LSR), uart.read(MSR)), (0x60, 0xb0));
}

#[test]
fn what_is_written_goes_out_at_once() {
    let mut uart = uart(0);
    assert_eq!(uart.write(DATA, b'x'), Some(b'x'));
    assert_eq!(uart.read(LSR) & lsr::EMPTY, lsr::EMPTY);
    assert_eq!(uart.write(SCR, b'x'), None);
}

/// "FIFO Control Register": the detection that tells a 16550A from its ancestors.
#[test]
fn the_iir_tells_that_there_are_fifos() {
    let mut uart = Uart::new();
    uart.write(FCR, 0x01);
    assert_eq!(uart.read(IIR), 0xc1);
    uart.write(FCR, 0xc0);
    assert_eq!(
        uart.read(IIR),
        0x01,
        "bits without the enable bit do nothing"
    );
}

/// "FIFO Control Register": switching the FIFOs and the reset bit both empty the receiver.
#[test]
fn the_receiver_is_emptied_by_its_reset_bit_and_by_switching() {
    for (before, command, left) in [
        (0x01, 0x01, true),
        (0x01, 0x03, false),
        (0x01, 0x05, true),
        (0x01, 0x00, false),
        (0x00, 0x01, false),
        (0x00, 0x02, true),
    ] {
        let mut uart = Uart::new();
        uart.write(FCR, before);
        assert!(uart.receive(b'a'));
        uart.write(FCR, command);
        let ready = uart.read(LSR) & lsr::DATA_READY != 0;
        assert_eq!(ready, left, "FCR {before:#x} then {command:#x}");
    }
}

/// "FIFO Interrupt Mode Operation": trigger levels, and the time-out below them.
#[test]
fn received_data_interrupts_at_the_trigger_and_times_out_below() {
    for (fcr, trigger) in [(0x01, 1), (0x41, 4), (0x81, 8), (0xc1, 14)] {
        let mut uart = uart(ier::RECEIVED);
        uart.write(FCR, fcr);
        assert!(!uart.irq());
        for count in 1..=FIFO {
            assert!(uart.receive(count as u8));
            let cause = if count < trigger { 0xcc } else { 0xc4 };
            assert_eq!(uart.read(IIR), cause, "trigger {trigger}, {count} bytes");
            assert!(uart.irq());
        }
        assert!(!uart.receive(0), "full");
        for count in 1..=FIFO {
            assert_eq!(uart.read(DATA), count as u8);
        }
        assert!(!uart.irq());
        assert_eq!(uart.read(LSR) & lsr::DATA_READY, 0);
    }
}

/// "Receiver Buffer Register": without FIFOs there is room for one byte.
#[test]
fn without_fifos_one_byte_fits() {
    let mut uart = Uart::new();
    assert!(uart.receive(b'a'));
    assert!(!uart.receive(b'b'));
    assert_eq!(uart.read(DATA), b'a');
    assert!(uart.receive(b'b'));
}

/// "Interrupt Identification Register": THRE is raised by an emptied transmitter and by its
/// enable bit, and taken by reading it, if it is the one that is read.
#[test]
fn the_transmitter_interrupt_is_taken_by_reading_it() {
    let mut uart = uart(0);
    uart.write(IER, ier::TRANSMITTER_EMPTY);
    assert!(uart.irq());
    assert_eq!(uart.read(IIR), 0xc2);
    assert!(!uart.irq());
    assert_eq!(uart.read(IIR), 0xc1);
    uart.write(IER, ier::TRANSMITTER_EMPTY);
    assert!(!uart.irq(), "it was enabled already");
    uart.write(DATA, b'x');
    assert!(uart.irq());
    uart.write(IER, 0);
    assert!(!uart.irq());
    uart.write(IER, ier::TRANSMITTER_EMPTY);
    assert!(uart.irq(), "enabled anew");
    uart.write(IER, ier::TRANSMITTER_EMPTY | ier::RECEIVED);
    uart.receive(b'a');
    assert_eq!(uart.read(IIR), 0xcc, "a higher cause hides it");
    uart.read(DATA);
    assert_eq!(uart.read(IIR), 0xc2, "and leaves it pending");
}

/// Table 4, "Interrupt Control Functions": line status, data, transmitter, modem, in this order.
#[test]
fn causes_are_told_by_priority_and_reset_each_in_its_way() {
    let mut uart = uart(ier::ALL);
    assert!(uart.receive_break());
    uart.write(DATA, b'x');
    uart.write(MCR, mcr::LOOP);
    uart.write(MCR, mcr::OUT2);
    assert_eq!(uart.read(IIR), 0xc6);
    uart.read(LSR);
    assert_eq!(uart.read(IIR), 0xcc);
    uart.read(DATA);
    assert_eq!(uart.read(IIR), 0xc2);
    assert_eq!(uart.read(IIR), 0xc0);
    uart.read(MSR);
    assert_eq!(uart.read(IIR), 0xc1);
    assert!(!uart.irq());
}

/// IBM PC AT Technical Reference, serial adapter: OUT2 connects the interrupt line.
#[test]
fn out2_gates_the_interrupt_line() {
    let mut uart = uart(ier::RECEIVED);
    uart.receive(b'a');
    assert!(uart.irq());
    uart.write(MCR, mcr::DTR | mcr::RTS);
    assert!(!uart.irq());
    assert_eq!(uart.read(IIR), 0xcc, "the cause is there nevertheless");
    uart.write(MCR, mcr::OUT2 | mcr::LOOP);
    assert!(!uart.irq(), "in loopback the pin is inactive");
}

/// "Modem Control Register", bit 4.
#[test]
fn loopback_returns_data_and_modem_lines() {
    let mut uart = uart(0);
    for (out, input) in [
        (mcr::RTS, msr::CTS),
        (mcr::DTR, msr::DSR),
        (mcr::OUT1, msr::RING),
        (mcr::OUT2, msr::DCD),
    ] {
        uart.write(MCR, mcr::LOOP | out);
        assert_eq!(uart.read(MSR) & 0xf0, input, "MCR {out:#x}");
    }
    assert_eq!(uart.write(DATA, b'x'), None, "nothing goes out");
    assert!(!uart.receive(b'y'), "nothing comes in");
    assert_eq!(uart.read(DATA), b'x');
    uart.write(MCR, 0);
    assert!(uart.receive(b'y'));
}

/// "Modem Status Register": changes are remembered until read; RI's only when it ends.
#[test]
fn modem_changes_are_remembered_until_they_are_read() {
    let mut uart = Uart::new();
    uart.write(MCR, mcr::LOOP);
    assert_eq!(uart.read(MSR), 0x0b);
    assert_eq!(uart.read(MSR), 0x00);
    uart.write(MCR, mcr::LOOP | mcr::OUT1);
    assert_eq!(uart.read(MSR), msr::RING, "a ring that begins");
    uart.write(MCR, mcr::LOOP);
    assert_eq!(uart.read(MSR), msr::RING_ENDED);
}

/// "Line Status Register": an error shows when its character is the next one, and bit 7 as long
/// as one is in the FIFO.
#[test]
fn errors_show_when_their_character_is_next() {
    let mut uart = uart(0);
    uart.receive(b'a');
    uart.receive_break();
    assert_eq!(uart.read(LSR), 0xe1);
    assert_eq!(uart.read(DATA), b'a');
    assert_eq!(uart.read(LSR), 0xe0 | 0x19);
    assert_eq!(uart.read(LSR), 0x61, "told once");
    assert_eq!(uart.read(DATA), 0);
    assert_eq!(uart.read(LSR), 0x60);
}

/// "Line Status Register", OE: without FIFOs the new character wins, with them the old ones.
#[test]
fn an_overrun_loses_a_character_and_says_so() {
    let mut uart = Uart::new();
    uart.write(MCR, mcr::LOOP);
    uart.write(DATA, b'a');
    uart.write(DATA, b'b');
    assert_eq!(uart.read(LSR), 0x63);
    assert_eq!(uart.read(DATA), b'b');

    uart.write(FCR, 0x01);
    for byte in 0..=16 {
        uart.write(DATA, byte);
    }
    assert_eq!(uart.read(LSR), 0x63);
    for byte in 0..16 {
        assert_eq!(uart.read(DATA), byte);
    }
    assert_eq!(uart.read(LSR), 0x60);
}

/// "Line Control Register", bit 6: in loopback a break is received once.
#[test]
fn a_break_in_loopback_is_received() {
    let mut uart = uart(0);
    uart.write(LCR, lcr::BREAK);
    assert_eq!(uart.read(LSR), 0x60, "a break on the line is nobody's here");
    uart.write(LCR, 0);
    uart.write(MCR, mcr::LOOP);
    uart.write(LCR, lcr::BREAK);
    uart.write(LCR, lcr::BREAK);
    assert_eq!(uart.read(LSR), 0xf9);
    assert_eq!(uart.read(DATA), 0);
    assert_eq!(uart.read(LSR), 0x60);
}

proptest! {
    /// What comes in comes out, in order and unharmed, however reader and line take turns.
    #[test]
    fn no_byte_is_lost_or_changed(bytes: Vec<u8>, turns in prop::collection::vec(any::<bool>(), 1..50), fifo: bool) {
        let mut uart = Uart::new();
        uart.write(FCR, u8::from(fifo));
        let (mut sent, mut got) = (0, Vec::new());
        for line_first in turns.iter().cycle() {
            if *line_first {
                while sent < bytes.len() && uart.receive(bytes[sent]) {
                    sent += 1;
                }
            } else if sent < bytes.len() {
                sent += usize::from(uart.receive(bytes[sent]));
            }
            if uart.read(LSR) & lsr::DATA_READY != 0 {
                got.push(uart.read(DATA));
            }
            if got.len() == bytes.len() {
                break;
            }
        }
        prop_assert_eq!(got, bytes);
    }

    /// An interrupt handler that serves the cause it reads, until IIR says none, comes to an end
    /// and leaves the line low.
    #[test]
    fn serving_every_cause_ends(writes in prop::collection::vec((0u8..8, any::<u8>()), 0..30), input: Vec<u8>) {
        let mut uart = Uart::new();
        for (register, value) in writes {
            uart.write(register, value);
        }
        for byte in input {
            uart.receive(byte);
        }
        uart.write(LCR, 0x03);
        for served in 0.. {
            prop_assert!(served < 64);
            match uart.read(IIR) & 0x0f {
                iir::NONE => break,
                iir::LINE_STATUS => drop(uart.read(LSR)),
                iir::RECEIVED | iir::TIMEOUT => drop(uart.read(DATA)),
                iir::MODEM_STATUS => drop(uart.read(MSR)),
                other => prop_assert_eq!(other, iir::TRANSMITTER_EMPTY),
            }
        }
        prop_assert!(!uart.irq());
    }
}
