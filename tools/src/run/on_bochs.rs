//! `cargo run-bochs`: the VMM with its policy in Bochs, and the guests in it.

use clap::Args;

use super::bochs::Launch;
use super::options::Steering;
use super::policy::Brought;
use super::terminal::RawTerminal;
use super::vmm::Subject;
use crate::failure::{Doing, Failure, Result, Status};
use crate::image;
use crate::progress::say;
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// Bochs' name of the CPU for a policy that is written for no machine of Bochs'.
const USUAL_CPU: &str = "ryzen";

/// Boots the VMM in Bochs with the policy of vm.toml, from the disc that `cargo image` makes.
///
/// The processor is the one of `[target] machine`, or a Ryzen if that is none of Bochs'. Ends with
/// the same statuses as run-qemu.
#[derive(Args, Clone, Debug)]
pub struct RunBochs {
    #[command(flatten)]
    subject: Subject,

    #[command(flatten)]
    steering: Steering,
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &RunBochs) -> Result<Status> {
    let steering = &command.steering;
    if let Some(option) = steering.reads_screen() {
        return Err(Failure::bad_input(format!(
            "{option}: Bochs shows its screen as a picture alone: --screen FILE.ppm saves that, and \
             --expect watches the serial port"
        )));
    }
    let prepared = command.subject.prepare(workspace)?;
    setup::ensure(
        workspace,
        &[Need::LibrarySources, Need::ImageTools, Need::Bochs],
    )?;
    let folder = tempfile::tempdir().doing(|| "make a temporary folder".to_string())?;
    let disc = folder.path().join("tollgate.iso");
    let policy = &prepared.policy;
    let modules = policy.modules(workspace, &prepared.given, Brought::All)?;
    let (config, words) = (&prepared.config, &prepared.words);
    image::of_run(workspace, config, &modules, words, &disc)?;
    let interactive = RawTerminal::is_there();
    let launch = Launch {
        cpu: policy.machine.bochs_cpu().unwrap_or(USUAL_CPU),
        memory_mib: policy.machine_mib(&modules)?,
        disc,
        real_time: interactive,
        folder: folder.path().to_path_buf(),
    };
    let quit = if interactive {
        "Ctrl-] opens the console, Ctrl-] q quits, Ctrl-C goes to the guest"
    } else {
        "Ctrl-C quits"
    };
    say(&format!("booting {} in Bochs; {quit}", prepared.what));
    let plan = steering.plan(true, true, interactive);
    let (ending, com2) = super::boot(|| launch.start(), plan)?;
    let status = prepared.conclude(&ending, &com2, steering.until.as_deref())?;
    if status == Status::HostFailed {
        for line in launch.last_words() {
            say(&format!("Bochs: {line}"));
        }
    }
    Ok(status)
}
