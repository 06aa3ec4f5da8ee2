//! What it costs to keep something on every exit: nothing, counters, a trace.

use std::path::Path;

use serde::Serialize;

use super::figures::Run;
use super::{POLICY, vmm, write};
use crate::failure::Result;
use crate::table;

/// What is kept, and the options of `run-qemu` that have it kept.
const WAYS: [(&str, &[&str]); 5] = [
    ("nothing", &[]),
    ("totals", &["--counters", "totals"]),
    ("times", &["--counters", "times"]),
    ("details", &["--counters", "details"]),
    (
        "totals, traced",
        &["--counters", "totals", "--trace", "bench.trace"],
    ),
];

/// One instruction's round trip, by what is kept on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The instruction, in the guest's words.
    pub name: String,
    /// Instructions a round, for each of [`WAYS`].
    pub instructions: Vec<u64>,
}

/// Boots once for each way; `npt`: under nested paging.
pub fn measure(folder: &Path, npt: bool) -> Result<Vec<Kept>> {
    let policy = folder.join("kept.toml");
    write(
        &policy,
        &format!("{POLICY}counters   = \"off\"\nnpt        = {npt}\n"),
    )?;
    let mut rows: Vec<Kept> = Vec::new();
    for (_, options) in WAYS {
        let run = Run {
            output: vmm(&policy, folder, &[&["--icount"], options].concat())?,
            report: serde_json::Value::Null,
        };
        put_beside(&mut rows, &run);
    }
    Ok(rows)
}

/// Adds a run's figures to the rows of their names.
fn put_beside(rows: &mut Vec<Kept>, run: &Run) {
    for (name, ticks) in run.rounds() {
        let ticks = ticks.round() as u64;
        match rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.instructions.push(ticks),
            None => rows.push(Kept {
                name: name.to_owned(),
                instructions: vec![ticks],
            }),
        }
    }
}

/// The table for a person, of what exits: on the rest, whatever is kept costs nothing.
pub fn shown(rows: &[Kept]) -> String {
    let headings = [
        "Kept on each exit",
        WAYS[0].0,
        WAYS[1].0,
        WAYS[2].0,
        WAYS[3].0,
        WAYS[4].0,
    ];
    let exits = |row: &&Kept| row.instructions.windows(2).any(|two| two[0] != two[1]);
    let rows = rows.iter().filter(exits).map(|row| {
        let figure = |way: usize| {
            let figure = row.instructions.get(way);
            figure.map_or_else(String::new, u64::to_string)
        };
        [
            row.name.clone(),
            figure(0),
            figure(1),
            figure(2),
            figure(3),
            figure(4),
        ]
    });
    table::numbers(headings, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_name_stand_in_one_row() {
        let run = |ticks: u64| Run {
            output: format!("bench| ~ bench: CPUID: 10 rounds, {ticks} ticks\n"),
            report: serde_json::Value::Null,
        };
        let mut rows = Vec::new();
        for ticks in [800, 920, 1010, 1710, 1230] {
            put_beside(&mut rows, &run(ticks));
        }
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(row.instructions, [80, 92, 101, 171, 123]);
        let nop = Kept {
            name: "NOP".to_owned(),
            instructions: vec![3; WAYS.len()],
        };
        let text = shown(&[rows.remove(0), nop]);
        assert!(text.contains("CPUID") && text.contains("123"), "{text}");
        assert!(!text.contains("NOP"), "{text}");
    }
}
