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

use crate::failure::{Doing, Failure, Result};
use crate::progress;
use crate::setup::toolchain::Toolchain;
use crate::workspace::Workspace;
use cache::Cache;
use cargo::Recipe;
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
    let guest = guest(workspace)?;
    let recipe = Recipe::vmm(config, &guest);
    let mut files = vec![config.to_path_buf(), guest];
    files.extend_from_slice(images);
    build(workspace, &recipe, &VMM_SOURCES, &files)
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
    let root = workspace.root();
    let mut key = Key::new();
    key.text(&recipe.identity());
    key.stamp(&toolchain.rustc)
        .doing(|| format!("look at {}", toolchain.rustc.display()))?;
    for name in folders.iter().copied().chain(["Cargo.toml", "Cargo.lock"]) {
        let path = root.join(name);
        key.tree(&path)
            .doing(|| format!("read {}", path.display()))?;
    }
    for file in files {
        key.tree(file)
            .doing(|| format!("read {}", file.display()))?;
    }

    let cache = Cache::new(workspace.artifacts());
    let key = key.finish();
    if let Some(binary) = cache.get(&key, recipe.binary()) {
        return Ok(binary);
    }
    let _lock = workspace.lock("build")?;
    // Another process may have built it while this one waited.
    if let Some(binary) = cache.get(&key, recipe.binary()) {
        return Ok(binary);
    }
    let target = workspace.bare_metal_target();
    let what = format!("building {} (the first time takes a minute)", recipe.what());
    let built = progress::run_shown(&what, &mut recipe.command(root, &target, &toolchain))?;
    if !built.status.success() {
        progress::tell(&built.output);
        return Err(Failure::unavailable(format!(
            "{} did not build; cargo's words are above",
            recipe.what()
        )));
    }
    let output = recipe.output(&target);
    symbols::add(&output).doing(|| format!("put names into {}", output.display()))?;
    cache.put(&key, recipe.binary(), &output)
}
