//! Long steps, shown: a spinner on a terminal, plain lines elsewhere.
//!
//! All of it goes to standard error; standard output is for what a command
//! produces.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Doing, Result};

/// Says something about what the tool does, on a line of its own.
pub fn say(text: &str) {
    tell(&format!("tollgate: {text}\n"));
}

/// The word of the command line that asks for no colour.
pub const NO_COLOUR: &str = "--no-color";

/// Whether a stream may have colours: it is a terminal that knows them, and the person has not
/// asked for none, by `--no-color` or as <https://no-color.org> has it.
pub fn has_colour(stream: &impl IsTerminal) -> bool {
    let asked = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|kind| kind == "dumb");
    let asked = asked || std::env::args_os().any(|word| word == NO_COLOUR);
    stream.is_terminal() && !is_dumb && !asked
}

/// Writes to standard error. That nobody reads it any more is no reason to
/// fail: the exit status still tells.
pub fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes what the command produced to standard output, in the same way.
pub fn produce(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// What a command that ran under [`run_shown`] left.
pub struct Finished {
    /// How it exited.
    pub status: ExitStatus,
    /// All that it printed, both streams in the order of arrival.
    pub output: String,
}

/// Runs `command` without a standard input, showing that it works on `what`
/// and the line it printed last. Nothing it prints stays on the screen: the
/// caller shows `output` when that matters.
pub fn run_shown(what: &str, command: &mut Command) -> Result<Finished> {
    let program = command.get_program().to_string_lossy().into_owned();
    let spinner = spinner(what);
    let (reader, writer) = std::io::pipe().doing(|| "make a pipe".to_string())?;
    let second = writer.try_clone().doing(|| "copy a pipe".to_string())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(second)
        .spawn()
        .doing(|| format!("start {program}"))?;
    // The command keeps its ends of the pipe open; give them up, or the
    // reader below would never see the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut output = String::new();
    let mut lines = BufReader::new(reader);
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .doing(|| format!("read what {program} prints"))?
        > 0
    {
        let text = String::from_utf8_lossy(&line);
        spinner.set_message(text.trim().to_string());
        output.push_str(&text);
        line.clear();
    }
    let status = child.wait().doing(|| format!("wait for {program}"))?;
    spinner.finish_and_clear();
    Ok(Finished { status, output })
}

fn spinner(what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        say(what);
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    let message = if has_colour(&io::stderr()) {
        "{wide_msg:.dim}"
    } else {
        "{wide_msg}"
    };
    let template = format!("{{spinner}} {{prefix}} ({{elapsed}}) {message}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        spinner.set_style(style);
    }
    spinner.set_prefix(format!("tollgate: {what}"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
