//! The options that every command that boots a machine has.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::display::Display;
use super::screen;
use super::script::{Player, Script, Step};
use super::session::Plan;
use super::terminal::RawTerminal;
use super::text::{Watch, unescape};
use crate::failure::{Failure, Result};
use crate::setup::{self, Need, machine};
use crate::workspace::Workspace;

/// How a run is steered from outside, in any emulator.
#[derive(Args, Clone, Debug)]
pub struct Steering {
    #[command(flatten)]
    script: Script,

    /// End the run, with status 0, as soon as the serial output contains TEXT
    #[arg(long, value_name = "TEXT", value_parser = unescape, allow_hyphen_values = true)]
    pub until: Option<String>,

    /// End the run, with status 124, after so many seconds [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,
}

impl Steering {
    /// How the run is watched and steered.
    ///
    /// `vmm`: a VMM runs, which tells its counts when asked to end. `relay`: its serial output
    /// goes to standard output. `interactive`: a person's keys go to the serial port.
    pub fn plan(&self, vmm: bool, relay: bool, interactive: bool) -> Plan {
        Plan {
            player: Player::new(&self.script),
            until: self.until.as_deref().map(Watch::new),
            timeout: self
                .timeout
                .map(|seconds| Duration::from_secs(seconds.into())),
            relay,
            interactive,
            vmm,
        }
    }

    /// The option of it that reads the screen's text, if there is one.
    pub fn reads_screen(&self) -> Option<&'static str> {
        self.script.0.iter().find_map(|step| match step {
            Step::See(_) => Some("--see"),
            Step::Screen(file) if screen::is_text(file) => Some("--screen as text"),
            Step::Screen(_) | Step::Expect(_) | Step::Type(_) | Step::Keys(_) => None,
        })
    }
}

/// Options of a run in QEMU.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the screen appears: none, gtk, curses or vnc=:N
    #[arg(long, value_name = "WHERE", default_value = "none")]
    pub display: Display,

    #[command(flatten)]
    steering: Steering,

    /// Count instructions instead of time, so that two runs are alike
    #[arg(long)]
    pub icount: bool,

    /// Another QEMU than the qemu-system-x86_64 on the PATH
    #[arg(long, value_name = "FILE")]
    qemu: Option<PathBuf>,

    /// QEMU's own arguments; they win over the tool's
    #[arg(last = true, value_name = "QEMU-ARGUMENTS")]
    pub extra: Vec<OsString>,
}

impl Options {
    /// Sees to it that the machine has all that this run needs.
    pub fn set_up(&self, workspace: &Workspace) -> Result<()> {
        self.display.check()?;
        let mut needs = vec![Need::LibrarySources];
        // A QEMU of the person's own is not the set-up's business.
        if self.qemu.is_none() {
            needs.push(Need::Emulator);
            needs.extend(self.display.need());
        }
        setup::ensure(workspace, &needs)
    }

    /// The emulator. Set-up has seen to it that there is one.
    pub fn emulator(&self) -> Result<PathBuf> {
        match &self.qemu {
            None => machine::program(machine::EMULATOR).ok_or_else(|| {
                Failure::unavailable("qemu-system-x86_64 is missing; run `cargo vmm setup`")
            }),
            Some(given) if given.is_file() => Ok(given.clone()),
            Some(given) => given.to_str().and_then(machine::program).ok_or_else(|| {
                Failure::bad_input(format!("--qemu: there is no {}", given.display()))
            }),
        }
    }

    /// Whether a person's keys go to the serial port.
    pub fn interactive(&self) -> bool {
        self.display != Display::Curses && RawTerminal::is_there()
    }

    /// How the run is watched and steered.
    ///
    /// `vmm`: a VMM runs, which tells its counts when asked to end.
    pub fn plan(&self, vmm: bool) -> Plan {
        let relay = self.display != Display::Curses;
        self.steering.plan(vmm, relay, self.interactive())
    }

    /// The text of `--until`.
    pub fn until(&self) -> Option<&str> {
        self.steering.until.as_deref()
    }

    /// How a person comes to the VMM's console, if there is a way.
    pub fn console_keys(&self) -> Option<&'static str> {
        match (self.interactive(), self.display) {
            (true, Display::None) => {
                Some("Ctrl-] opens the console, where 1-9 switch to a VM and others stop it")
            }
            (true, _) => Some(
                "Ctrl-], or Ctrl+Alt+Esc on the machine's keyboard, opens the console, where 1-9 \
                 switch to a VM and others stop it",
            ),
            (false, Display::None) => None,
            (false, _) => {
                Some("Ctrl+Alt+Esc opens the console, where 1-9 switch to a VM and others stop it")
            }
        }
    }

    /// A line or two before the machine starts: what boots, how to look at it
    /// and how to end it.
    pub fn announcement(&self, what: &str) -> String {
        let quit = if self.interactive() {
            "; Ctrl-] q quits, Ctrl-C goes to the guest"
        } else if self.display == Display::Curses {
            ""
        } else {
            "; Ctrl-C quits"
        };
        let hint = self
            .display
            .hint()
            .map(|hint| format!("\ntollgate: {hint}"))
            .unwrap_or_default();
        format!("booting {what}{quit}{hint}")
    }
}

/// The policy's file: the one that the person named, or the workspace's own.
pub fn config_file(workspace: &Workspace, named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(file) => existing("--config", file),
        None => Ok(workspace.root().join("vm.toml")),
    }
}

/// A file that the person named, which must be there.
pub fn existing(option: &str, file: &Path) -> Result<PathBuf> {
    match std::fs::File::open(file).and_then(|open| open.metadata()) {
        Ok(data) if data.is_file() => std::path::absolute(file)
            .map_err(|error| Failure::bad_input(format!("{option}: {}: {error}", file.display()))),
        Ok(_) => Err(Failure::bad_input(format!(
            "{option}: {} is not a file",
            file.display()
        ))),
        Err(error) => Err(Failure::bad_input(format!(
            "{option}: cannot read {}: {error}",
            file.display()
        ))),
    }
}
