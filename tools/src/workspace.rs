//! Where things are: the source tree, the build folders, the lock files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::failure::{Doing, Result};

/// The folders that the commands work in.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The workspace that this binary was built from. Its target directory is
    /// the one that the person told cargo, as far as the environment shows it.
    pub fn find() -> Workspace {
        let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = crate_dir.parent().unwrap_or(crate_dir).to_path_buf();
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .filter(|dir| !dir.is_empty())
            .and_then(|dir| std::path::absolute(dir).ok())
            .unwrap_or_else(|| root.join("target"));
        Workspace { root, target }
    }

    /// The folder of the root Cargo.toml.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The target directory of the bare-metal builds, apart from the host's:
    /// cargo holds one lock a target directory.
    pub fn bare_metal_target(&self) -> PathBuf {
        self.target.join("bare")
    }

    /// The same for what replays journals: it holds a policy too.
    pub fn replay_target(&self) -> PathBuf {
        self.target.join("replay")
    }

    /// Where the study is built.
    pub fn book(&self) -> PathBuf {
        self.target.join("book")
    }

    /// Where finished binaries are kept, one folder a content key.
    pub fn artifacts(&self) -> PathBuf {
        self.target.join("tollgate")
    }

    /// Where files out of Debian's packages are kept.
    pub fn debian(&self) -> PathBuf {
        self.target.join("debian")
    }

    /// Waits for, and takes, the lock of this name. It is held until the
    /// returned file is closed, by a killed process too.
    pub fn lock(&self, name: &str) -> Result<File> {
        let path = self.artifacts().join(format!("{name}.lock"));
        fs::create_dir_all(self.artifacts())
            .doing(|| format!("make the folder {}", self.artifacts().display()))?;
        let file =
            File::create(&path).doing(|| format!("make the lock file {}", path.display()))?;
        file.lock().doing(|| format!("lock {}", path.display()))?;
        Ok(file)
    }
}
