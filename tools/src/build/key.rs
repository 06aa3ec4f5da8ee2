//! A name for everything that goes into a binary.
//!
//! The name decides only whether a file is built again, and the hash is not
//! meant to withstand somebody who searches for a collision.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A hash in the making. The order of the calls counts.
pub struct Key(DefaultHasher);

impl Key {
    /// The key of nothing.
    #[expect(
        clippy::new_without_default,
        reason = "an empty key is a start, not a value"
    )]
    pub fn new() -> Key {
        Key(DefaultHasher::new())
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Adds a file's content, or a folder's: each file below it, by its name
    /// and content, in the order of names.
    pub fn tree(&mut self, path: &Path) -> io::Result<()> {
        if !path.is_dir() {
            self.bytes(&fs::read(path)?);
            return Ok(());
        }
        let mut entries = path.read_dir()?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(|entry| entry.file_name());
        for entry in entries {
            self.bytes(entry.file_name().as_bytes());
            self.tree(&entry.path())?;
        }
        Ok(())
    }

    /// Adds a big file by its path, size and time of change.
    pub fn stamp(&mut self, path: &Path) -> io::Result<()> {
        let data = path.metadata()?;
        self.bytes(path.as_os_str().as_bytes());
        for number in [
            data.size(),
            data.mtime().cast_unsigned(),
            data.mtime_nsec().cast_unsigned(),
        ] {
            self.0.write_u64(number);
        }
        Ok(())
    }

    /// The key as a name for a folder.
    pub fn finish(self) -> String {
        format!("{:016x}", self.0.finish())
    }

    /// The length goes first, so that no two sequences of parts look alike.
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(folder: &Path) -> String {
        let mut key = Key::new();
        key.tree(folder).expect("a readable folder");
        key.finish()
    }

    #[test]
    fn the_key_follows_content_and_names_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("a.rs");
        fs::write(&file, "one").expect("a file");
        let first = key_of(folder.path());
        fs::write(&file, "two").expect("a file");
        let other_content = key_of(folder.path());
        fs::write(&file, "one").expect("a file");
        assert_eq!(key_of(folder.path()), first);
        fs::rename(&file, folder.path().join("b.rs")).expect("a new name");
        let other_name = key_of(folder.path());
        assert!(first != other_content && first != other_name);
    }

    #[test]
    fn moving_a_letter_between_two_texts_changes_the_key() {
        let key = |parts: [&str; 2]| {
            let mut key = Key::new();
            key.text(parts[0]);
            key.text(parts[1]);
            key.finish()
        };
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
    }
}
