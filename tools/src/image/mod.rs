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
use crate::run::policy::{Brought, Given, Policy, size};
use crate::run::qemu::Module;
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use disc::Disc;
use menu::{Entry, Menu, Start};

/// What a disc may take, other people's kernels apart.
const MOST_BYTES: u64 = 16 << 20;
/// How long the menu waits for a person.
const MENU_SECONDS: u32 = 3;

/// Makes a disc image that boots Tollgate by BIOS and by UEFI, from a disc or a USB stick.
///
/// Its menu has the policy of vm.toml first, then each in policies/ that boots the workspace's own
/// kernel, then that kernel without the VMM. Write it to a stick with dd, or burn it.
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
    let mut policies: Vec<(PathBuf, Policy)> = configs
        .into_iter()
        .map(|config| Policy::load(workspace, &config).map(|policy| (config, policy)))
        .collect::<Result<_>>()?;
    // Other people's kernels are large, and fetched only for whoever names them.
    let mut is_first = true;
    policies.retain(|(_, policy)| std::mem::take(&mut is_first) || !policy.needs_debian());
    setup::ensure(workspace, &[Need::LibrarySources, Need::ImageTools])?;

    let mut disc = Disc::new();
    let mut entries = Vec::new();
    let mut foreign = 0;
    for (config, policy) in &policies {
        let modules = policy.modules(workspace, &Given::default(), Brought::All)?;
        foreign += if policy.needs_debian() {
            size(&modules)?
        } else {
            0
        };
        entries.push(entry(workspace, &mut disc, config, &modules)?);
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
    let most = MOST_BYTES.saturating_add(foreign);
    if bytes > most {
        return Err(Failure::unavailable(format!(
            "the image has {bytes} bytes, and {most} is the most; {} is left for you to look at",
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

/// The disc of a run: its policy alone with these files, all that its VMs boot, started without a menu.
pub fn of_run(
    workspace: &Workspace,
    config: &Path,
    modules: &[Module],
    words: &str,
    output: &Path,
) -> Result<()> {
    let mut disc = Disc::new();
    let mut entry = entry(workspace, &mut disc, config, modules)?;
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
    modules: &[Module],
) -> Result<Entry> {
    let vmm = build::unlinked(workspace, config)?;
    let title = config
        .file_stem()
        .unwrap_or(OsStr::new("policy"))
        .to_string_lossy()
        .into_owned();
    let kernel = disc.add_kernel("tollgate", &vmm)?;
    let modules = modules
        .iter()
        .map(|module| {
            let name = module.words.split('=').next().unwrap_or("file");
            Ok((disc.add(name, &module.file)?, module.words.clone()))
        })
        .collect::<Result<_>>()?;
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
