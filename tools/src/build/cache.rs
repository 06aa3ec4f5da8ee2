//! Finished binaries, one folder a content key.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::failure::{Doing, Result};

/// How long a binary that nobody boots is kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The folder of finished binaries.
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in this folder, which need not be there yet.
    pub fn new(folder: PathBuf) -> Cache {
        Cache { folder }
    }

    /// The binary of this key and name, if it is there. Marks it as used.
    pub fn get(&self, key: &str, name: &str) -> Option<PathBuf> {
        let binary = self.folder.join(key).join(name);
        let file = File::open(&binary).ok()?;
        // The time only decides when the file is cleared away.
        let _ = file.set_modified(SystemTime::now());
        Some(binary)
    }

    /// Keeps a copy of `built` under this key and name, and clears away what
    /// was not used for a week.
    pub fn put(&self, key: &str, name: &str, built: &Path) -> Result<PathBuf> {
        self.clear_unused();
        let folder = self.folder.join(key);
        let binary = folder.join(name);
        fs::create_dir_all(&folder).doing(|| format!("make the folder {}", folder.display()))?;
        // A reader sees the whole file or none.
        let copying = folder.join(format!("{name}.copying"));
        fs::copy(built, &copying)
            .and_then(|_| {
                File::options()
                    .write(true)
                    .open(&copying)?
                    .set_modified(SystemTime::now())
            })
            .and_then(|()| fs::rename(&copying, &binary))
            .doing(|| format!("copy {} to {}", built.display(), binary.display()))?;
        Ok(binary)
    }

    /// Best effort: a leftover only takes room.
    fn clear_unused(&self) {
        let Ok(folders) = self.folder.read_dir() else {
            return;
        };
        for folder in folders
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
        {
            let Ok(files) = folder.read_dir() else {
                continue;
            };
            let in_use = files.flatten().any(|file| {
                let used = file.metadata().and_then(|data| data.modified());
                used.is_ok_and(|time| {
                    time.elapsed().is_ok_and(|age| age < KEPT) || time > SystemTime::now()
                })
            });
            if !in_use {
                let _ = fs::remove_dir_all(folder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_binary_is_found_by_its_key_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let built = folder.path().join("built");
        fs::write(&built, "binary").expect("a file");
        let cache = Cache::new(folder.path().join("cache"));
        assert_eq!(cache.get("1234", "kernel"), None);
        let kept = cache.put("1234", "kernel", &built).expect("a copy");
        fs::remove_file(&built).expect("no file");
        assert_eq!(cache.get("1234", "kernel"), Some(kept.clone()));
        assert_eq!(cache.get("1235", "kernel"), None);
        assert_eq!(fs::read_to_string(kept).expect("a file"), "binary");
    }

    #[test]
    fn only_what_nobody_used_for_a_week_is_cleared_away() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let built = folder.path().join("built");
        fs::write(&built, "binary").expect("a file");
        let cache = Cache::new(folder.path().join("cache"));
        for key in ["old", "used", "new"] {
            let kept = cache.put(key, "kernel", &built).expect("a copy");
            if key != "new" {
                let file = File::options().write(true).open(kept).expect("the copy");
                file.set_modified(SystemTime::now() - KEPT * 2)
                    .expect("an old copy");
            }
            cache.get("used", "kernel");
        }
        assert_eq!(cache.get("old", "kernel"), None);
        assert!(cache.get("used", "kernel").is_some() && cache.get("new", "kernel").is_some());
    }
}
