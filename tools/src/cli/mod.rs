//! The command line of `vmm`, and of the aliases that call it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::bench::linux::{self, BenchLinux};
use crate::bench::{self, BenchExits};
use crate::build;
use crate::failure::{Result, Status};
use crate::image::{self, MakeImage};
use crate::lab::compare::{self, Compare};
use crate::lab::debug::{self, Debug};
use crate::lab::replay::{self, Replay};
use crate::lab::sweep::{self, Sweep};
use crate::lab::top::{self, Top};
use crate::lab::trace::{self, ShowTrace};
use crate::policy::check::{self, Check};
use crate::policy::diff::{self, Diff};
use crate::policy::expand::{self, Expand};
use crate::policy::explain::{self, Explain};
use crate::progress::{has_colour, produce, say, tell};
use crate::reference::command::{self as vmcb_docs, VmcbDocs};
use crate::run::guest::{self, RunGuest};
use crate::run::matrix::{self, Matrix};
use crate::run::on_bochs::{self, RunBochs};
use crate::run::on_qemu::{self, RunQemu};
use crate::run::options::config_file;
use crate::run::policy::Policy;
use crate::run::terminal;
use crate::setup::{self, Need};
use crate::test::{self, Test};
use crate::workspace::Workspace;

/// Tollgate's host tool.
#[derive(Parser, Debug)]
#[command(name = "vmm", bin_name = "cargo vmm", version, max_term_width = 100)]
struct CommandLine {
    /// Show no colour, as with NO_COLOR in the environment
    // Looked for where colour is: this only has it accepted and listed.
    #[arg(long = "no-color", global = true)]
    _no_colour: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    RunQemu(RunQemu),
    RunBochs(RunBochs),
    RunGuest(RunGuest),
    Image(MakeImage),
    Test(Test),
    BenchExits(BenchExits),
    BenchLinux(BenchLinux),
    Build(Build),
    Check(Check),
    Expand(Expand),
    Diff(Diff),
    Compare(Compare),
    Sweep(Sweep),
    Trace(ShowTrace),
    Top(Top),
    Replay(Replay),
    Debug(Debug),
    Explain(Explain),
    Matrix(Matrix),
    VmcbDocs(VmcbDocs),
    /// Installs what is missing to build and boot, and nothing if nothing is
    Setup,
}

/// Builds the VMM with the policy of vm.toml and prints where the file is
#[derive(Args, Debug)]
struct Build {
    /// The policy [default: the workspace's vm.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
    let command_line = parse();
    match perform(&command_line.command) {
        Ok(status) => status.into(),
        Err(failure) => {
            tell(&format!("error: {failure}\n"));
            failure.status.into()
        }
    }
}

/// The command line, or its help in the colours that the person wants.
fn parse() -> CommandLine {
    let colour = if has_colour(&std::io::stdout()) {
        ColorChoice::Auto
    } else {
        ColorChoice::Never
    };
    let words = CommandLine::command().color(colour).get_matches();
    CommandLine::from_arg_matches(&words).unwrap_or_else(|error| error.exit())
}

fn perform(command: &Command) -> Result<Status> {
    let workspace = Workspace::find();
    match command {
        Command::RunQemu(command) if command.top => top::with_machine(&workspace, without_top()),
        Command::RunQemu(command) => on_qemu::run(&workspace, command),
        Command::RunBochs(command) => on_bochs::run(&workspace, command),
        Command::Test(command) => test::run(&workspace, command),
        Command::Image(command) => image::run(&workspace, command),
        Command::RunGuest(command) => guest::run(&workspace, command),
        Command::BenchExits(command) => bench::run(command),
        Command::BenchLinux(command) => linux::run(&workspace, command),
        Command::Build(Build { config }) => {
            let config = config_file(&workspace, config.as_deref())?;
            let policy = Policy::load(&workspace, &config)?;
            setup::ensure(&workspace, &[Need::LibrarySources])?;
            let binary = build::vmm(&workspace, &config, &policy.linked_images())?;
            produce(&format!("{}\n", binary.display()));
            Ok(Status::Good)
        }
        Command::Check(command) => check::run(&workspace, command),
        Command::Expand(command) => expand::run(&workspace, command),
        Command::Diff(command) => diff::run(&workspace, command),
        Command::Compare(command) => compare::run(&workspace, command),
        Command::Sweep(command) => sweep::run(&workspace, command),
        Command::Trace(command) => trace::run(command),
        Command::Top(command) => top::run(command),
        Command::Debug(command) => debug::run(&workspace, command),
        Command::Replay(command) => replay::run(&workspace, command),
        Command::Explain(command) => explain::run(command),
        Command::Matrix(command) => matrix::run(&workspace, command),
        Command::VmcbDocs(command) => vmcb_docs::run(&workspace, command),
        Command::Setup => {
            setup::ensure(&workspace, &[Need::LibrarySources, Need::Emulator])?;
            say("nothing is missing");
            Ok(Status::Good)
        }
    }
}

/// The words of a `run-qemu --top` but these two. What is behind `--` is QEMU's.
fn without_top() -> Vec<OsString> {
    let mut words: Vec<_> = std::env::args_os().skip(2).collect();
    let ours = words.iter().position(|word| word == "--");
    let place = words[..ours.unwrap_or(words.len())]
        .iter()
        .position(|word| word == "--top");
    if let Some(place) = place {
        words.remove(place);
    }
    words
}
