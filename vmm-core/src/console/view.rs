//! The console's list of VMs, in lines of at most 74 characters: with the log's `[vmm] ` before
//! each they fit a screen of 80. Plain text, legible in a log file too.

use core::fmt;

/// The heading over the rows.
pub const HEADING: &str =
    "   # VM                 state        run time  share   exits/s    memory";

/// What the keys do.
pub const HELP: [&str; 2] = [
    "1-9 switch to  n next  s start or stop  p pause or go on  r reset  e exits",
    "b power button  l older log  q quit all  ] a Ctrl-]  Enter to the guest",
];

/// A VM's counts, as the console saw them last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When: ns since the VMM began.
    pub at: u64,
    /// Ns that it has run, in all of its lives.
    pub run: u64,
    /// Its exits, in all of its lives.
    pub exits: u64,
}

/// One VM in the list.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// Its name.
    pub name: &'a str,
    /// What it does: `running`, `crashed`.
    pub state: &'a str,
    /// Whether it has the keyboard.
    pub has_focus: bool,
    /// Memory that it has, in bytes; 0 while it is off.
    pub memory: u64,
    /// Its counts now.
    pub now: Sample,
    /// Its counts when the console looked last.
    pub before: Sample,
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (now, before) = (self.now, self.before);
        let passed = now.at.saturating_sub(before.at);
        let run = per(now.run.saturating_sub(before.run), 1000, passed).min(1000);
        let exits = per(
            now.exits.saturating_sub(before.exits),
            1_000_000_000,
            passed,
        );
        let tenths = now.run / 100_000_000;
        let mark = if self.has_focus { '>' } else { ' ' };
        write!(
            f,
            "{mark}{:>3} {:<18.18} {:<10.10} {:>7}.{} s {:>3}.{} % {:>9} {:>5} MiB",
            self.number,
            self.name,
            self.state,
            tenths / 10,
            tenths % 10,
            run / 10,
            run % 10,
            exits.min(999_999_999),
            self.memory >> 20,
        )
    }
}

/// `part` times `scale` for each of `whole`; 0 of nothing.
fn per(part: u64, scale: u64, whole: u64) -> u64 {
    let scaled = u128::from(part) * u128::from(scale);
    let result = scaled.checked_div(whole.into()).unwrap_or(0);
    u64::try_from(result).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WIDTH: usize = 80 - "[vmm] ".len();

    fn row(now: Sample, before: Sample) -> Row<'static> {
        Row {
            number: 2,
            name: "demo",
            state: "running",
            has_focus: true,
            memory: 64 << 20,
            now,
            before,
        }
    }

    #[test]
    fn the_list_is_legible() {
        let before = Sample {
            at: 1_000_000_000,
            run: 500_000_000,
            exits: 10,
        };
        let now = Sample {
            at: 3_000_000_000,
            run: 1_500_000_000,
            exits: 4010,
        };
        let text = format!("{HEADING}\n{}", row(now, before));
        assert_eq!(
            text,
            "   # VM                 state        run time  share   exits/s    memory\n\
             >  2 demo               running          1.5 s  50.0 %      2000    64 MiB"
        );
    }

    #[test]
    fn the_keys_fit_the_screen() {
        assert!(HELP.iter().all(|line| line.len() <= WIDTH));
        assert!(HEADING.len() <= WIDTH);
    }

    proptest! {
        /// Whatever the counts, clocks that stand still or go back included.
        #[test]
        fn every_row_fits_the_screen(
            now: (u64, u64, u64), before: (u64, u64, u64), number in 1usize..=64, memory in 0u64..=3 << 30,
        ) {
            let sample = |(at, run, exits): (u64, u64, u64)| Sample { at, run: run % (1 << 52), exits };
            let name = "a-name-of-two-and-thirty-letters";
            let row = Row { number, name, memory, state: "turned-off", ..row(sample(now), sample(before)) };
            let text = row.to_string();
            prop_assert!(text.len() <= WIDTH, "{text}");
            prop_assert!(text.is_ascii());
        }
    }
}
