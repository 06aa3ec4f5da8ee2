//! The I/O and MSR permission maps: which accesses exit (APM 15.10.1, 15.11).
//!
//! Both start with every bit set: everything exits. A policy only clears bits.

use core::ops::RangeInclusive;

use intercepts::{Carrier, MSRS};

use crate::policy::{IoAction, IoRule, MsrAction, MsrRule};

/// A bit a port, and a page for accesses that run over the last one.
pub const IOPM_BYTES: usize = 12 << 10;
/// Two bits an MSR (read, write) for three ranges of 8,192 MSRs, and a reserved one.
pub const MSRPM_BYTES: usize = 8 << 10;

/// The MSR ranges that the map covers; all others always exit.
const MSR_RANGES: [u32; 3] = [0x0000_0000, 0xc000_0000, 0xc001_0000];
const MSRS_PER_RANGE: u32 = 0x2000;

/// Fills `map` so that only the ports that `rules` pass do not exit.
pub fn fill_io_map(map: &mut [u8; IOPM_BYTES], rules: &[IoRule]) {
    map.fill(0xff);
    for rule in rules.iter().filter(|rule| rule.action == IoAction::Pass) {
        for port in rule.first..=rule.last {
            map[usize::from(port / 8)] &= !(1 << (port % 8));
        }
    }
}

/// Fills `map` so that the guest reaches exactly: what VMLOAD and VMSAVE carry, unless a
/// rule says otherwise, and what `rules` pass.
pub fn fill_msr_map(map: &mut [u8; MSRPM_BYTES], rules: &[MsrRule]) {
    map.fill(0xff);
    for msr in MSRS.iter().filter(|msr| msr.carrier == Carrier::Vmload) {
        set(map, msr.number..=msr.number, false, false);
    }
    for rule in rules {
        let exits = |action| action != MsrAction::Pass;
        set(
            map,
            rule.first..=rule.last,
            exits(rule.read),
            exits(rule.write),
        );
    }
}

/// Sets or clears the read and write bits of a range of MSRs.
fn set(map: &mut [u8; MSRPM_BYTES], msrs: RangeInclusive<u32>, read: bool, write: bool) {
    for (range, first) in MSR_RANGES.into_iter().enumerate() {
        let start = first.max(*msrs.start());
        let end = (first + MSRS_PER_RANGE - 1).min(*msrs.end());
        for msr in start..=end {
            let bit = range as u32 * 2 * MSRS_PER_RANGE + (msr - first) * 2;
            let byte = &mut map[(bit / 8) as usize];
            let shift = bit % 8;
            *byte = *byte & !(0b11 << shift) | (u8::from(read) | u8::from(write) << 1) << shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(first: u32, last: u32, read: MsrAction, write: MsrAction) -> MsrRule {
        MsrRule {
            first,
            last,
            read,
            write,
        }
    }

    /// The two bits of an MSR, by the offsets that APM 15.11 gives.
    fn bits(map: &[u8; MSRPM_BYTES], msr: u32) -> u8 {
        let (base, first) = match msr {
            0..=0x1fff => (0x0000, 0),
            0xc000_0000..=0xc000_1fff => (0x0800, 0xc000_0000),
            _ => (0x1000, 0xc001_0000),
        };
        let index = msr - first;
        map[base + (index / 4) as usize] >> (index % 4 * 2) & 0b11
    }

    #[test]
    fn without_rules_every_port_exits() {
        let mut map = [0; IOPM_BYTES];
        fill_io_map(&mut map, &[]);
        assert!(map.iter().all(|byte| *byte == 0xff));
    }

    #[test]
    fn only_passed_ports_do_not_exit() {
        let mut map = [0; IOPM_BYTES];
        let rules = [
            IoRule {
                first: 0x80,
                last: 0x81,
                action: IoAction::Pass,
            },
            IoRule {
                first: 0xf4,
                last: 0xf4,
                action: IoAction::Exit,
            },
            IoRule {
                first: 0xffff,
                last: 0xffff,
                action: IoAction::Pass,
            },
        ];
        fill_io_map(&mut map, &rules);
        let clear: Vec<usize> = (0..IOPM_BYTES * 8)
            .filter(|bit| map[bit / 8] >> (bit % 8) & 1 == 0)
            .collect();
        assert_eq!(clear, [0x80, 0x81, 0xffff]);
    }

    #[test]
    fn what_vmsave_carries_does_not_exit_and_the_rest_does() {
        let mut map = [0; MSRPM_BYTES];
        fill_msr_map(&mut map, &[]);
        assert_eq!(bits(&map, 0xc000_0100), 0, "FS base");
        assert_eq!(bits(&map, 0x174), 0, "SYSENTER_CS");
        assert_eq!(bits(&map, 0xc000_0080), 0b11, "EFER");
        assert_eq!(bits(&map, 0xc001_0117), 0b11, "VM_HSAVE_PA");
        let clear: u32 = map.iter().map(|byte| byte.count_zeros()).sum();
        let carried = MSRS
            .iter()
            .filter(|msr| msr.carrier == Carrier::Vmload)
            .count();
        assert_eq!(clear as usize, carried * 2);
    }

    #[test]
    fn a_rule_opens_reads_and_writes_apart() {
        let mut map = [0; MSRPM_BYTES];
        let rules = [rule(
            0xc000_0103,
            0xc000_0103,
            MsrAction::Pass,
            MsrAction::Deny,
        )];
        fill_msr_map(&mut map, &rules);
        assert_eq!(bits(&map, 0xc000_0103), 0b10);
    }

    #[test]
    fn a_rule_may_take_back_what_is_passed_by_default() {
        let mut map = [0; MSRPM_BYTES];
        fill_msr_map(
            &mut map,
            &[rule(
                0xc000_0000,
                0xc000_0fff,
                MsrAction::Deny,
                MsrAction::Deny,
            )],
        );
        assert_eq!(bits(&map, 0xc000_0082), 0b11);
        assert_eq!(bits(&map, 0x175), 0);
    }

    #[test]
    fn a_rule_over_all_msrs_stays_within_the_map() {
        let mut map = [0; MSRPM_BYTES];
        fill_msr_map(
            &mut map,
            &[rule(0, u32::MAX, MsrAction::Ignore, MsrAction::Ignore)],
        );
        assert!(map.iter().all(|byte| *byte == 0xff));
    }
}
