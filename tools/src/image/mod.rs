//! `cargo image`: one file that boots Tollgate on any PC, from a disc or a USB stick.
//!
//! [`menu`] says what can be booted, [`kernel`] cuts a binary to what a boot loader loads, and
//! [`disc`] puts them on an ISO with GRUB, which BIOS and UEFI both start. The same input gives
//! the same bytes.

pub mod disc;
pub mod kernel;
pub mod menu;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::build;
use crate::failure::{Doing, Failure, Result, Status};
use crate::progress::{produce, say};
use crate::run::options::config_file;
use crate::run::policy::Policy;
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use disc::Disc;
use menu::{Entry, Menu, Start};

/// What a disc may take.
const MOST_BYTES: u64 = 16 << 20;
/// How long the menu waits for a person.
const MENU_SECONDS: u32 = 3;

/// Makes a disc image that boots Tollgate by BIOS and by UEFI, from a disc or a USB stick.
///
/// Its menu has the policy of vm.toml first, then each in policies/, then the guest kernel without
/// the VMM. Write it to a stick with dd, or burn it.
#[derive(Args, Clone, Debug)]
pub struct MakeImage {
    /// The policy that the menu has first [default: the workspace's vm.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where the image goes
    #[arg(short, long, value_name = "FILE", default_value = "tollgate.iso")]
    output: PathBuf,
}

/// Runs the command.
pub fn run(workspace: &Workspace, command: &MakeImage) -> Result<Status> {
    let first = config_file(workspace, command.config.as_deref())?;
    let mut configs = vec![first];
    for config in policies(workspace)? {
        if !configs.contains(&config) {
            configs.push(config);
        }
    }
    let policies: Vec<(PathBuf, Policy)> = configs
        .into_iter()
        .map(|config| Policy::load(workspace, &config).map(|policy| (config, policy)))
        .collect::<Result<_>>()?;
    setup::ensure(workspace, &[Need::LibrarySources, Need::ImageTools])?;

    let mut disc = Disc::new();
    let mut entries = Vec::new();
    for (config, policy) in &policies {
        entries.push(entry(workspace, &mut disc, config, policy, &[])?);
    }
    entries.push(Entry {
        title: "The guest kernel without the VMM".into(),
        start: Start::BareGuest {
            kernel: disc.add("guest", &build::guest(workspace)?)?,
        },
    });
    let menu = Menu {
        entries,
        wait_seconds: Some(MENU_SECONDS),
    };
    disc.write(&menu, &command.output)?;
    let bytes = fs::metadata(&command.output)
        .doing(|| format!("look at {}", command.output.display()))?
        .len();
    if bytes > MOST_BYTES {
        return Err(Failure::unavailable(format!(
            "the image has {bytes} bytes, and {MOST_BYTES} is the most; {} is left for you to look at",
            command.output.display()
        )));
    }
    say(&format!(
        "{} KiB, {} policies",
        bytes / 1024,
        policies.len()
    ));
    produce(&format!("{}\n", command.output.display()));
    Ok(Status::Good)
}

/// The disc of a run: this policy alone, started without a menu. `guests` are images in the place
/// of those that the policy names, by the VM's name.
pub fn of_run(
    workspace: &Workspace,
    config: &Path,
    policy: &Policy,
    guests: &[(String, PathBuf)],
    words: &str,
    output: &Path,
) -> Result<()> {
    let mut disc = Disc::new();
    let mut entry = entry(workspace, &mut disc, config, policy, guests)?;
    if let Start::Vmm { words: told, .. } = &mut entry.start {
        words.clone_into(told);
    }
    let menu = Menu {
        entries: vec![entry],
        wait_seconds: None,
    };
    disc.write(&menu, output)
}

/// A menu entry, its files put on the disc.
fn entry(
    workspace: &Workspace,
    disc: &mut Disc,
    config: &Path,
    policy: &Policy,
    guests: &[(String, PathBuf)],
) -> Result<Entry> {
    let vmm = build::vmm(workspace, config, &policy.image_files())?;
    let title = config
        .file_stem()
        .unwrap_or(OsStr::new("policy"))
        .to_string_lossy()
        .into_owned();
    let kernel = disc.add_kernel("tollgate", &vmm)?;
    let mut modules = Vec::new();
    for (vm, named) in policy.vms.iter().zip(&policy.images) {
        let given = guests.iter().find(|(of, _)| of == vm);
        let path = match given.map(|(_, file)| file).or(named.as_ref()) {
            Some(file) => disc.add("image", file)?,
            None => disc.add("guest", &build::guest(workspace)?)?,
        };
        modules.push((path, format!("image={vm}")));
    }
    Ok(Entry {
        title,
        start: Start::Vmm {
            kernel,
            words: String::new(),
            modules,
        },
    })
}

/// The policies in policies/, in the order of their names.
fn policies(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let folder = workspace.root().join("policies");
    let doing = || format!("read the folder {}", folder.display());
    let mut files = Vec::new();
    for file in folder.read_dir().doing(doing)? {
        let path = file.doing(doing)?.path();
        if path.extension() == Some(OsStr::new("toml")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
