//! The command line of `vmm`, and of the aliases that call it.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::{Result, Status};
use crate::progress::say;
use crate::run::guest::{self, RunGuest};
use crate::run::terminal;
use crate::run::vmm::{self, RunQemu};
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// Tollgate's host tool.
#[derive(Parser, Debug)]
#[command(name = "vmm", bin_name = "cargo vmm", version, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    RunQemu(RunQemu),
    RunGuest(RunGuest),
    /// Installs what is missing to build and boot, and nothing if nothing is
    Setup,
}

/// The program.
pub fn main() -> ExitCode {
    // The development profile aborts on a panic, so no destructor would put
    // the terminal back.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        terminal::restore();
        report(panic);
    }));
    let command_line = CommandLine::parse();
    match perform(&command_line.command) {
        Ok(status) => status.into(),
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.status.into()
        }
    }
}

fn perform(command: &Command) -> Result<Status> {
    let workspace = Workspace::find();
    match command {
        Command::RunQemu(command) => vmm::run(&workspace, command),
        Command::RunGuest(command) => guest::run(&workspace, command),
        Command::Setup => {
            setup::ensure(&workspace, &[Need::LibrarySources, Need::Emulator])?;
            say("nothing is missing");
            Ok(Status::Good)
        }
    }
}
