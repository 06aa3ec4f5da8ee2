//! `cargo vmm top`: what the guests exit for, live, read from outside.
//!
//! QEMU keeps the machine's memory in a file that others may read (`run-qemu --share FILE`). The
//! ledger in it tells everything; the VMM does not know that somebody looks.

mod machine;
mod memory;
mod sample;
mod view;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind};

use crate::failure::{Doing, Failure, Result, Status};
use crate::progress::{produce, say};
use crate::workspace::Workspace;
use machine::Machine;
pub use memory::Memory;
pub use sample::{Sample, rates};
use view::{View, Wish};

/// How often `run-qemu --top` looks.
const EVERY: Duration = Duration::from_secs(1);

/// Shows live what the guests of a running machine exit for
///
/// The machine was started with `cargo run-qemu --share FILE`.
#[derive(Args, Clone, Debug)]
pub struct Top {
    /// The machine's memory
    file: PathBuf,

    /// Look again after so many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..))]
    every: u64,

    /// Print one look as JSON and end
    #[arg(long)]
    once: bool,
}

/// Runs the command.
pub fn run(command: &Top) -> Result<Status> {
    let memory = Memory::open(&command.file)?;
    let ledger = memory.find_ledger().ok_or_else(|| {
        Failure::bad_input(format!(
            "there is no ledger in {}: the VMM has not started, or this is no machine's memory; \
             `cargo run-qemu --share FILE` makes one",
            command.file.display()
        ))
    })?;
    let mut look = || Sample::take(&memory, ledger).ok_or_else(gone).map(Some);
    if command.once {
        let text = serde_json::to_string_pretty(&look()?).doing(|| "write JSON".to_string())?;
        produce(&format!("{text}\n"));
        return Ok(Status::Good);
    }
    show(&mut look, Duration::from_millis(command.every)).map(|()| Status::Good)
}

/// `run-qemu --top`: a machine, and the view of it until one of them ends. `words`: the other
/// words of the command line.
pub fn with_machine(workspace: &Workspace, words: Vec<OsString>) -> Result<Status> {
    must_be_terminal()?;
    let output = workspace.artifacts().join("top.serial");
    let folder = workspace.artifacts();
    std::fs::create_dir_all(&folder).doing(|| format!("make the folder {}", folder.display()))?;
    say(&format!(
        "building and booting; what the run prints is in {}",
        output.display()
    ));
    let mut machine = Machine::start(words, &output)?;
    if let Some((memory, ledger)) = machine.ledger()? {
        let mut look = || {
            if machine.is_running()? {
                Sample::take(&memory, ledger).ok_or_else(gone).map(Some)
            } else {
                Ok(None)
            }
        };
        show(&mut look, EVERY)?;
    }
    let (printed, status) = machine.end()?;
    produce(&printed);
    Ok(status)
}

fn must_be_terminal() -> Result<()> {
    if std::io::stdout().is_terminal() {
        return Ok(());
    }
    Err(Failure::bad_input(
        "top needs a terminal; `cargo vmm top --once FILE` prints one look as JSON",
    ))
}

fn show(look: &mut dyn FnMut() -> Result<Option<Sample>>, every: Duration) -> Result<()> {
    must_be_terminal()?;
    let mut terminal = ratatui::init();
    let shown = watch(&mut terminal, look, every);
    ratatui::restore();
    shown
}

fn gone() -> Failure {
    Failure::host("the ledger is gone: the machine was started anew")
}

/// Shows what `look` sees until the person, or what is looked at, ends.
fn watch(
    terminal: &mut ratatui::DefaultTerminal,
    look: &mut dyn FnMut() -> Result<Option<Sample>>,
    every: Duration,
) -> Result<()> {
    let mut view = View::default();
    let mut next = Instant::now();
    let mut frozen = 0;
    loop {
        if Instant::now() >= next {
            let Some(sample) = look()? else {
                return Ok(());
            };
            view.show(sample);
            next = Instant::now() + every;
        }
        terminal
            .draw(|frame| view.draw(frame))
            .doing(|| "draw".to_string())?;
        let patience = next.saturating_duration_since(Instant::now());
        if !event::poll(patience).doing(|| "wait for a key".to_string())? {
            continue;
        }
        let Event::Key(key) = event::read().doing(|| "read a key".to_string())? else {
            continue;
        };
        let character = match key.code {
            _ if key.kind == KeyEventKind::Release => continue,
            KeyCode::Char('c') if key.modifiers.contains(event::KeyModifiers::CONTROL) => 'q',
            KeyCode::Char(character) => character,
            KeyCode::Enter => '\n',
            KeyCode::Esc => '\x1b',
            KeyCode::Backspace => '\x08',
            _ => continue,
        };
        view.message.clear();
        match view.key(character) {
            Wish::None => {}
            Wish::Quit => return Ok(()),
            Wish::Freeze => {
                frozen += 1;
                view.message = freeze(&view, frozen)?;
            }
        }
    }
}

/// Writes what is shown to a file beside the person; says where.
fn freeze(view: &View, number: u32) -> Result<String> {
    let file = format!("top-{number}.json");
    let text = serde_json::json!({ "sample": view.sample(), "rates": view.rates() });
    std::fs::write(&file, format!("{text:#}\n")).doing(|| format!("write {file}"))?;
    Ok(format!("frozen in {file}"))
}
