//! What holds after any history.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Write(u16, u8),
    Read(u16),
    Elcr(u16, u8),
    Line(u8, bool),
    Acknowledge,
}

fn step() -> impl Strategy<Value = Step> {
    let port = prop::sample::select(vec![0x20u16, 0x21, 0xa0, 0xa1]);
    prop_oneof![
        (port.clone(), any::<u8>()).prop_map(|(port, value)| Step::Write(port, value)),
        port.prop_map(Step::Read),
        (0x4d0u16..=0x4d1, any::<u8>()).prop_map(|(port, value)| Step::Elcr(port, value)),
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
                Step::Elcr(port, value) => pic.write_elcr(port, value),
                Step::Line(line, high) => pic.set_line(line, high),
                Step::Acknowledge => {
                    let before = pic.clone();
                    let vector = pic.acknowledge();
                    let served = pic.master.isr & !before.master.isr;
                    prop_assert!(served.count_ones() <= 1);
                    prop_assert_eq!(served & before.master.imr, 0);
                    prop_assert_eq!(served & !before.master.irr, 0);
                    let served = pic.slave.isr & !before.slave.isr;
                    prop_assert!(served.count_ones() <= 1);
                    prop_assert_eq!(served & before.slave.imr, 0);
                    prop_assert_eq!(served & !before.slave.irr, 0);
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
