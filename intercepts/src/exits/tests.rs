//! What must hold of the table as a whole.

use super::*;
use crate::Finish;
use crate::{SLOTS, slot};

#[test]
fn exits_are_in_the_order_of_their_codes() {
    assert!(EXITS.windows(2).all(|pair| pair[0].code < pair[1].code));
}

#[test]
fn names_are_unique() {
    for (index, exit) in EXITS.iter().enumerate() {
        assert!(EXITS[..index].iter().all(|other| other.name != exit.name));
    }
}

#[test]
fn every_exit_has_a_slot_of_its_own() {
    let mut seen = [false; SLOTS];
    for exit in EXITS {
        let slot = slot(exit.code as u64) as usize;
        assert!(!seen[slot], "{} shares slot {slot:#x}", exit.name);
        seen[slot] = true;
    }
}

#[test]
fn no_two_exits_share_an_intercept_bit() {
    for (index, exit) in EXITS.iter().enumerate() {
        if let Intercept::Bit { .. } = exit.intercept {
            let twin = EXITS[..index]
                .iter()
                .find(|e| e.intercept == exit.intercept);
            assert!(
                twin.is_none(),
                "{} and {:?}",
                exit.name,
                twin.map(|e| e.name)
            );
        }
    }
}

#[test]
fn the_default_of_every_exit_fits_it() {
    for exit in EXITS {
        assert!(
            exit.default == Action::Pass || exit.accepts(exit.default),
            "{}",
            exit.name
        );
    }
}

#[test]
fn the_floor_cannot_be_passed() {
    for exit in EXITS.iter().filter(|exit| exit.is_floor()) {
        assert!(!exit.accepts(Action::Pass), "{}", exit.name);
        assert_ne!(exit.default, Action::Pass, "{}", exit.name);
    }
}

#[test]
fn count_and_log_fit_exactly_where_there_is_a_method() {
    for exit in EXITS {
        let method = exit.finish != Finish::None;
        assert_eq!(exit.accepts(Action::Count), method, "{}", exit.name);
        assert_eq!(exit.accepts(Action::Log), method, "{}", exit.name);
    }
}

#[test]
fn every_exit_says_what_triggers_it_and_where_it_is_described() {
    for exit in EXITS {
        assert!(
            !exit.trigger.is_empty() && !exit.section.is_empty(),
            "{}",
            exit.name
        );
    }
}

#[test]
fn invalid_is_known_in_32_and_in_64_bits() {
    for code in [u64::MAX, 0xffff_ffff] {
        assert_eq!(by_code(code).map(|exit| exit.code), Some(ExitCode::Invalid));
        assert_eq!(slot(code), 0xff);
    }
}
