//! `cargo run-qemu`: the VMM with its policy in QEMU, and the guests in it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::journal::{self, Run};
use super::options::Options;
use super::policy::Brought;
use super::qemu::{Firmware, Launch, Medium, Module, without_spaces};
use super::vmm::{Prepared, Subject, create};
use crate::build;
use crate::failure::{Doing, Failure, Result, Status};
use crate::image;
use crate::progress::say;
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// Boots the VMM in QEMU with the policy of vm.toml.
///
/// Ends with 0 when every VM ended well, 1 when one crashed or the policy stopped it, 2 for a wrong
/// command line or vm.toml, 3 when something is missing, 4 when the VMM or QEMU died, 5 when all
/// VMs ended before --until matched, 124 after --timeout, 130 after Ctrl-C.
#[derive(Args, Clone, Debug)]
pub struct RunQemu {
    #[command(flatten)]
    subject: Subject,

    /// Boot from a disc as a PC does, by BIOS and GRUB, and not by QEMU's own loader
    #[arg(long)]
    iso: bool,

    /// Boot from that disc by UEFI
    #[arg(long)]
    uefi: bool,

    /// Have the disc's image on a USB stick
    #[arg(long)]
    stick: bool,

    /// Keep the machine's memory in FILE, where `cargo vmm top FILE` sees what happens in it; a
    /// memory file system such as /dev/shm is the place for it
    #[arg(long, value_name = "FILE")]
    share: Option<PathBuf>,

    /// Show in full screen what the guests exit for, as `cargo vmm top` does; what the run prints
    /// comes when it has ended
    #[arg(long, conflicts_with = "share")]
    pub top: bool,

    /// Write to FILE what comes to each VM at each exit, and what becomes of it; `cargo vmm replay
    /// FILE` does the same again without QEMU
    #[arg(long, value_name = "FILE", conflicts_with_all = ["iso", "uefi", "stick"])]
    record: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &RunQemu) -> Result<Status> {
    let options = &command.options;
    let prepared = command.subject.prepare(workspace)?;
    let cpu = cpu(&prepared)?;
    let record = command.record.as_deref();
    let record = record.map(|path| recorded(&prepared, path)).transpose()?;
    let words = words(&prepared, options, record.is_some());
    options.set_up(workspace)?;
    let from_disc = command.iso || command.uefi || command.stick;
    if from_disc {
        setup::ensure(workspace, &[Need::ImageTools])?;
    }
    if command.uefi {
        setup::ensure(workspace, &[Need::Uefi])?;
    }
    let program = options.emulator()?;
    let folder = tempfile::tempdir().doing(|| "make a temporary folder".to_string())?;
    let brought = if from_disc {
        Brought::All
    } else {
        Brought::Unlinked
    };
    let modules = prepared
        .policy
        .modules(workspace, &prepared.given, brought)?;
    let medium = if from_disc {
        let disc = folder.path().join("tollgate.iso");
        let Prepared { config, words, .. } = &prepared;
        image::of_run(workspace, config, &modules, words, &disc)?;
        if command.stick {
            Medium::Stick(disc)
        } else {
            Medium::Disc(disc)
        }
    } else {
        let module = |module: &Module| {
            let file = without_spaces(&module.file, folder.path())?;
            Ok(Module {
                file,
                words: module.words.clone(),
            })
        };
        Medium::Kernel {
            file: {
                let build = match record {
                    Some(_) => build::recorder,
                    None => build::vmm,
                };
                let images = prepared.policy.linked_images();
                build(workspace, &prepared.config, &images)?
            },
            cmdline: Some(words.clone()).filter(|words| !words.is_empty()),
            modules: modules.iter().map(module).collect::<Result<_>>()?,
        }
    };
    let launch = Launch {
        program,
        cpu,
        memory_mib: prepared.policy.machine_mib(&modules)?
            + if command.uefi { UEFI_MIB } else { 0 },
        shared: command.share.as_deref().map(shared_file).transpose()?,
        medium,
        firmware: if command.uefi {
            Firmware::Uefi
        } else {
            Firmware::Bios
        },
        display: options.display,
        icount: options.icount,
        debug_exit: true,
        extra: options.extra.clone(),
    };
    say(&options.announcement(&prepared.what));
    if let Some(keys) = options.console_keys() {
        say(keys);
    }
    let (ending, com2) = super::boot(|| launch.start(), options.plan(true))?;
    if let Some(mut file) = record {
        let config = prepared.config.clone();
        if let Some(journal) = journal::write(&Run { config, words }, &com2) {
            file.write_all(journal.as_bytes())
                .doing(|| "write the record".to_string())?;
        }
    }
    prepared.conclude(&ending, &com2, options.until())
}

/// The file of a record, opened before the run: a wrong path must not cost one.
fn recorded(prepared: &Prepared, path: &Path) -> Result<File> {
    if let Some(vm) = prepared.shadowed().next() {
        return Err(Failure::bad_input(format!(
            "--record: VM `{vm}` has `npt = false`, and what the VMM does with its page tables \
             cannot be replayed; record it with `npt = true`"
        )));
    }
    create("--record", path)
}

/// The VMM's command line. Where instructions are counted it looks for the text of `--until`
/// itself: this program would see it a little later, and never after as many of them.
fn words(prepared: &Prepared, options: &Options, is_recorded: bool) -> String {
    let until = options.until().filter(|_| options.icount);
    let until = until.map(|text| {
        text.bytes().fold(String::from("until="), |hex, byte| {
            format!("{hex}{byte:02x}")
        })
    });
    let journal = is_recorded.then(|| "journal".to_owned());
    let words = [Some(prepared.words.clone()), until, journal];
    let words = words.into_iter().flatten().filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// A file that did not exist, or is empty: what is in another would be lost.
fn shared_file(file: &Path) -> Result<PathBuf> {
    match file.metadata() {
        Ok(data) if !data.is_file() || data.len() != 0 => Err(Failure::bad_input(format!(
            "--share: {} exists; remove it, or name another file",
            file.display()
        ))),
        _ => std::path::absolute(file)
            .map_err(|error| Failure::bad_input(format!("--share: {}: {error}", file.display()))),
    }
}

/// What UEFI keeps for itself.
const UEFI_MIB: u64 = 128;

fn cpu(prepared: &Prepared) -> Result<&'static str> {
    let machine = prepared.policy.machine;
    machine.qemu_cpu().ok_or_else(|| {
        let instead = match machine.bochs_cpu() {
            Some(_) => "\nor boot it in Bochs: cargo run-bochs",
            None => "",
        };
        Failure::bad_input(format!(
            "{} is written for the machine `{}`, which QEMU does not show; to boot it here, write\n  \
             [target]\n  machine = \"qemu-tcg\"{instead}",
            prepared.config.display(),
            machine.name
        ))
    })
}
