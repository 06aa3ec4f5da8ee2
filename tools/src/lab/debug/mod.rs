//! `cargo vmm debug`: the machine stopped before its first instruction, and gdb at it.
//!
//! gdb gets the symbols of the VMM and of the workspace's guest, and commands of its own
//! (`commands.py`), which know the vocabulary by tables that are generated here. The machine is a
//! `run-qemu` of this very program.

mod functions;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use intercepts::{EXITS, vmcb};
use serde_json::json;

use crate::build;
use crate::failure::{Doing, Failure, Result, Status};
use crate::policy;
use crate::progress::say;
use crate::run::emulator;
use crate::run::options::config_file;
use crate::run::policy::Policy;
use crate::setup::{self, Need};
use crate::workspace::Workspace;

const COMMANDS: &str = include_str!("commands.py");
/// How long QEMU may take to open its socket.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the VMM in QEMU, stopped before its first instruction, with gdb at it
///
/// gdb knows the functions of the VMM and of the workspace's guest, and has these commands more:
/// `break-vmexit [NAME]` stops where the VMM answers that exit, `break-at FUNCTION` at a function
/// of the VMM or of the guest, by the end of its name, `vmexit` says what the guest stopped for, and
/// `vmcb` says in words what its VMCB holds. The serial line goes to a file. The machine ends with gdb.
#[derive(Args, Clone, Debug)]
pub struct Debug {
    /// The policy [default: the workspace's vm.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Boot FILE in this VM, as `run-qemu --guest` does; may be repeated
    #[arg(long = "guest", value_name = "[VM=]FILE")]
    guests: Vec<OsString>,

    /// Write what comes over the serial line to FILE [default: in the target folder]
    #[arg(long, value_name = "FILE")]
    serial: Option<PathBuf>,

    /// Have gdb do COMMAND and end after the last; may be repeated
    #[arg(short, long = "command", value_name = "COMMAND")]
    commands: Vec<String>,
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &Debug) -> Result<Status> {
    let config = config_file(workspace, command.config.as_deref())?;
    let policy = Policy::load(workspace, &config)?;
    setup::ensure(
        workspace,
        &[Need::LibrarySources, Need::Emulator, Need::Debugger],
    )?;
    let vmm = build::vmm(workspace, &config, &policy.linked_images())?;
    let guest = build::guest(workspace)?;
    let folder = tempfile::tempdir().doing(|| "make a temporary folder".to_string())?;
    let script = folder.path().join("commands.py");
    let text = script_of(workspace, &config, &vmm, &guest)?;
    std::fs::write(&script, text).doing(|| format!("write {}", script.display()))?;

    let serial = match &command.serial {
        Some(file) => file.clone(),
        None => workspace.artifacts().join("debug.serial"),
    };
    let socket = folder.path().join("gdb");
    let mut machine = Machine::start(command, &config, &socket, &serial)?;
    machine.wait_for(&socket, &serial)?;
    say(&format!(
        "the serial line is in {}; break-vmexit, break-at, vmexit and vmcb are gdb's here, and `help` \
         knows them",
        serial.display()
    ));
    let mut gdb = Command::new("gdb");
    gdb.arg("-q").arg(&vmm);
    let sources = format!("directory {}", workspace.root().display());
    for setting in ["set confirm off", "set pagination off", &sources] {
        gdb.args(["-iex", setting]);
    }
    gdb.arg("-ex")
        .arg(format!("add-symbol-file {}", guest.display()));
    gdb.arg("-ex")
        .arg(format!("target remote {}", socket.display()));
    gdb.arg("-ex").arg(format!("source {}", script.display()));
    if !command.commands.is_empty() {
        gdb.arg("-batch").arg("-nx");
    }
    for words in &command.commands {
        gdb.args(["-ex", words]);
    }
    let ended = gdb.status().doing(|| "start gdb".to_string())?;
    if ended.success() {
        Ok(Status::Good)
    } else {
        Err(Failure::host(format!("gdb ended with {ended}")))
    }
}

/// The running machine, which ends when this is dropped.
struct Machine(Child);

impl Machine {
    fn start(command: &Debug, config: &Path, socket: &Path, serial: &Path) -> Result<Machine> {
        let output = File::create(serial).map_err(|error| {
            Failure::bad_input(format!(
                "--serial: cannot write {}: {error}",
                serial.display()
            ))
        })?;
        let talk = output
            .try_clone()
            .doing(|| "share the serial file".to_string())?;
        let program = std::env::current_exe().doing(|| "find this program".to_string())?;
        let mut run = Command::new(program);
        run.arg("run-qemu").arg("--config").arg(config);
        for guest in &command.guests {
            run.arg("--guest").arg(guest);
        }
        let stub = format!("unix:{},server=on,wait=off", socket.display());
        run.args(["--", "-S", "-gdb", &stub])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(talk);
        // Ctrl-C is for gdb, which stops the machine by it.
        std::os::unix::process::CommandExt::process_group(&mut run, 0);
        emulator::spawn(&mut run, Vec::new()).map(Machine)
    }

    /// Waits until QEMU listens.
    fn wait_for(&mut self, socket: &Path, serial: &Path) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        while !socket.exists() {
            let ended = self.0.try_wait().doing(|| "look at QEMU".to_string())?;
            if ended.is_some() || Instant::now() > patience {
                let said = std::fs::read_to_string(serial).unwrap_or_default();
                return Err(Failure::host(format!("the machine did not start:\n{said}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only if it has ended already; QEMU dies with it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// gdb's commands, with the tables that they use before them.
fn script_of(workspace: &Workspace, config: &Path, vmm: &Path, guest: &Path) -> Result<String> {
    let lowered =
        policy::read(workspace, config).map_err(|report| Failure::bad_input(report.to_string()))?;
    let program = std::env::current_exe().doing(|| "find this program".to_string())?;
    let [vmm, guest] = [functions::of(vmm)?, functions::of(guest)?];
    let named = |is: fn(&str) -> bool| -> Vec<u64> {
        let functions = vmm.iter().filter(|(name, _)| is(name));
        functions.map(|(_, address)| *address).collect()
    };
    let dispatch = named(|name| name.starts_with("vmm_core::exits::dispatch"));
    let switches = named(|name| name.starts_with("svm_run"));
    if dispatch.is_empty() || switches.is_empty() {
        return Err(Failure::host("the VMM's binary has no symbols"));
    }
    let exits = EXITS
        .iter()
        .map(|exit| format!("{:#x}: {:?}", exit.code as u64, exit.name));
    let exits: Vec<_> = exits.collect();
    let vms = lowered
        .vms
        .iter()
        .map(|vm| format!("{}: {:?}", vm.asid, vm.name));
    let vms: Vec<_> = vms.collect();
    let offsets: serde_json::Map<_, _> = vmcb::fields()
        .filter(|field| !field.is_reserved())
        .map(|field| (field.name.to_owned(), json!(field.offset)))
        .collect();
    // JSON of texts and numbers is Python as well.
    Ok(format!(
        "TOOL = {}\nNAMES = {{{}}}\nVMS = {{{}}}\nOFFSETS = {}\nDISPATCH = {}\nSWITCHES = {}\n\
         VMM = {}\nGUEST = {}\n\n{COMMANDS}",
        json!(program),
        exits.join(", "),
        vms.join(", "),
        json!(offsets),
        json!(dispatch),
        json!(switches),
        json!(vmm),
        json!(guest),
    ))
}
