//! The bare-metal binaries: built when something changed, kept by content.
//!
//! cargo alone would do for one policy. Tests and comparisons boot many at
//! once, and cargo writes each over the last, so a finished binary moves to a
//! folder named by a hash of all that went into it ([`key`], [`cache`]).
//! [`cargo`] knows the flags.

pub mod cache;
pub mod cargo;
pub mod key;
mod symbols;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Doing, Failure, Result};
use crate::progress;
use crate::setup::toolchain::Toolchain;
use crate::workspace::Workspace;
use cache::Cache;
use cargo::{Kind, Recipe};
use key::Key;

/// The folders whose files end up in the VMM.
const VMM_SOURCES: [&str; 7] = [
    "boot",
    "intercepts",
    "ledger",
    "vmm-config",
    "vmm-config-emit",
    "vmm-config-macros",
    "vmm-core",
];

/// The workspace's own guest kernel: a 32-bit Multiboot ELF file.
pub fn guest(workspace: &Workspace) -> Result<PathBuf> {
    build(workspace, &Recipe::guest(), &["guest"], &[])
}

/// The VMM with the policy `config` compiled in: a 64-bit Multiboot ELF file.
///
/// `images` are the guest images that the policy names by path; the guest
/// kernel goes in beside them.
pub fn vmm(workspace: &Workspace, config: &Path, images: &[PathBuf]) -> Result<PathBuf> {
    with_policy(workspace, config, images, Kind::Usual)
}

/// The same, which can write a journal of its run.
pub fn recorder(workspace: &Workspace, config: &Path, images: &[PathBuf]) -> Result<PathBuf> {
    with_policy(workspace, config, images, Kind::Recorder)
}

/// The same without any image: the boot loader brings them.
pub fn unlinked(workspace: &Workspace, config: &Path) -> Result<PathBuf> {
    with_policy(workspace, config, &[], Kind::Unlinked)
}

fn with_policy(
    workspace: &Workspace,
    config: &Path,
    images: &[PathBuf],
    kind: Kind,
) -> Result<PathBuf> {
    let guest = guest(workspace)?;
    let recipe = Recipe::vmm(config, &guest, kind);
    let mut files = vec![config.to_path_buf(), guest];
    files.extend_from_slice(images);
    build(workspace, &recipe, &VMM_SOURCES, &files)
}

/// A name for all that the VMM and the guest kernel are built from, the same on every machine.
pub fn sources(workspace: &Workspace) -> Result<String> {
    let mut key = Key::new();
    add_sources(&mut key, workspace, &VMM_SOURCES)?;
    add_sources(&mut key, workspace, &["guest"])?;
    Ok(key.finish())
}

/// The program that replays journals under the policy `config`, for this machine.
pub fn replayer(workspace: &Workspace, config: &Path) -> Result<PathBuf> {
    const BINARY: &str = "replay";
    let mut key = Key::new();
    key.text(&format!("{:?}", config.file_name()));
    add_sources(&mut key, workspace, &VMM_SOURCES)?;
    add_sources(&mut key, workspace, &[BINARY])?;
    add_file(&mut key, config)?;
    kept(workspace, &key.finish(), BINARY, || {
        let target = workspace.replay_target();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["build", "--package", BINARY, "--target-dir"])
            .arg(&target)
            .current_dir(workspace.root())
            .env("VM_CONFIG", config);
        run(
            "the VMM for this machine (the first time takes a minute)",
            &mut command,
        )?;
        Ok(target.join("debug").join(BINARY))
    })
}

fn build(
    workspace: &Workspace,
    recipe: &Recipe,
    folders: &[&str],
    files: &[PathBuf],
) -> Result<PathBuf> {
    let toolchain = Toolchain::find().ok_or_else(|| {
        Failure::unavailable("there is no compiler with library sources; run `cargo vmm setup`")
    })?;
    let mut key = Key::new();
    key.text(&recipe.identity());
    key.stamp(&toolchain.rustc)
        .doing(|| format!("look at {}", toolchain.rustc.display()))?;
    add_sources(&mut key, workspace, folders)?;
    for file in files {
        add_file(&mut key, file)?;
    }
    kept(workspace, &key.finish(), recipe.binary(), || {
        let target = workspace.bare_metal_target();
        let what = format!("{} (the first time takes a minute)", recipe.what());
        let mut command = recipe.command(workspace.root(), &target, &toolchain);
        run(&what, &mut command)?;
        let output = recipe.output(&target);
        symbols::add(&output).doing(|| format!("put names into {}", output.display()))?;
        Ok(output)
    })
}

/// Adds the workspace's folders, and what says how they are built.
fn add_sources(key: &mut Key, workspace: &Workspace, folders: &[&str]) -> Result<()> {
    for name in folders.iter().copied().chain(["Cargo.toml", "Cargo.lock"]) {
        add_file(key, &workspace.root().join(name))?;
    }
    Ok(())
}

fn add_file(key: &mut Key, file: &Path) -> Result<()> {
    key.tree(file).doing(|| format!("read {}", file.display()))
}

/// The binary of this key, from the cache or else from `build`.
fn kept(
    workspace: &Workspace,
    key: &str,
    binary: &str,
    build: impl FnOnce() -> Result<PathBuf>,
) -> Result<PathBuf> {
    let cache = Cache::new(workspace.artifacts());
    if let Some(binary) = cache.get(key, binary) {
        return Ok(binary);
    }
    let _lock = workspace.lock("build")?;
    // Another process may have built it while this one waited.
    if let Some(binary) = cache.get(key, binary) {
        return Ok(binary);
    }
    cache.put(key, binary, &build()?)
}

fn run(what: &str, command: &mut Command) -> Result<()> {
    let built = progress::run_shown(&format!("building {what}"), command)?;
    if built.status.success() {
        return Ok(());
    }
    progress::tell(&built.output);
    let what = what.split(" (").next().unwrap_or(what);
    Err(Failure::unavailable(format!(
        "{what} did not build; cargo's words are above"
    )))
}
