//! A run again, on the host and without its guests: the policy and the handlers that are compiled
//! in answer the exits of a journal (`vmm_core::journal`), and must do what they did then.
//!
//! `cargo vmm replay` builds this with the policy of the run and starts it with the journal's file.
//! It ends with 0 if all is the same, with 1 at the first difference, with 2 if the file is none.

mod difference;
mod file;
mod machine;
mod paper;

use std::process::ExitCode;

use file::Journal;
use machine::Machine;
use paper::{Paper, Place};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("error: name the file that `run-qemu --record FILE` has written");
        return ExitCode::from(2);
    };
    let journal = match Journal::read(path.as_ref()) {
        Ok(journal) => journal,
        Err(why) => {
            eprintln!("error: {} is no journal: {why}", path.display());
            return ExitCode::from(2);
        }
    };
    let words = journal.words;
    // The VMM keeps what reads to it for ever.
    let paper: &'static Paper = Box::leak(Box::new(Paper::new(journal.items)));
    vmm_core::journal::read_from(paper);
    let mut machine = Machine::new(&boot::POLICY, &words);
    loop {
        let Some(item) = paper.next() else {
            println!(
                "the same: {} exits, {} other things that happened",
                machine.exits, machine.others
            );
            return ExitCode::SUCCESS;
        };
        if let Err(why) = machine.take(&item) {
            eprintln!("error: item {} of the journal: {why}", paper.number() + 1);
            return ExitCode::from(2);
        }
        match paper.place() {
            Place::Within => {}
            Place::End => {
                println!(
                    "the same: {} exits, {} other things that happened, as far as the journal goes: \
                     it ends in the middle of the last",
                    machine.exits, machine.others
                );
                return ExitCode::SUCCESS;
            }
            Place::Difference(difference) => {
                print!("{}", difference.told(&machine.last));
                return ExitCode::from(1);
            }
        }
    }
}
