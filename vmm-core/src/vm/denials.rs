//! What a guest tried and did not get: each thing once, with how often.

use core::fmt;

use heapless::Vec;
use intercepts::by_code;

/// Something that the policy refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// A read of a port.
    In(u16),
    /// A write of a port.
    Out(u16),
    /// A read of an MSR.
    Rdmsr(u32),
    /// A write of an MSR.
    Wrmsr(u32),
    /// An exit, by its code.
    Exit(u64),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::In(port) => write!(f, "IN from port {port:#x}"),
            Denied::Out(port) => write!(f, "OUT to port {port:#x}"),
            Denied::Rdmsr(msr) => write!(f, "RDMSR of {msr:#x}"),
            Denied::Wrmsr(msr) => write!(f, "WRMSR of {msr:#x}"),
            Denied::Exit(code) => match by_code(*code) {
                Some(exit) => f.write_str(exit.apm),
                None => write!(f, "exit {code:#x}"),
            },
        }
    }
}

/// How many different things are told apart; the rest are only counted together.
const DISTINCT: usize = 64;

/// The refusals of one VM.
#[derive(Default)]
pub struct Denials {
    seen: Vec<(Denied, u64), DISTINCT>,
    others: u64,
}

impl Denials {
    /// Counts a refusal. `true` the first time: then it is worth a message.
    pub fn note(&mut self, denied: Denied) -> bool {
        if let Some((_, count)) = self.seen.iter_mut().find(|(seen, _)| *seen == denied) {
            *count += 1;
            return false;
        }
        let is_new = self.seen.push((denied, 1)).is_ok();
        if !is_new {
            self.others += 1;
        }
        is_new
    }

    /// Whether this was refused before.
    pub fn has(&self, denied: Denied) -> bool {
        self.seen.iter().any(|(seen, _)| *seen == denied)
    }

    /// Each refused thing and how often it was tried.
    pub fn iter(&self) -> impl Iterator<Item = (Denied, u64)> + '_ {
        self.seen.iter().copied()
    }

    /// How many refusals there were beyond the ones told apart.
    pub fn others(&self) -> u64 {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_new_once_and_counted_always() {
        let mut denials = Denials::default();
        assert!(denials.note(Denied::In(1)));
        assert!(!denials.note(Denied::In(1)));
        assert!(denials.note(Denied::Out(1)));
        assert!(denials.iter().eq([(Denied::In(1), 2), (Denied::Out(1), 1)]));
    }

    #[test]
    fn a_guest_that_tries_everything_fills_no_memory() {
        let mut denials = Denials::default();
        let new = (0..1000)
            .filter(|port| denials.note(Denied::In(*port)))
            .count();
        assert_eq!(new, DISTINCT);
        assert_eq!(denials.others(), 1000 - DISTINCT as u64);
    }
}
