//! The files that a policy names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::build::key::Key;
use crate::failure::{Failure, Result};

/// The VMs of a policy.
pub fn vms(policy: &mut Table) -> impl Iterator<Item = &mut Table> {
    policy
        .get_mut("vm")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_table_mut)
}

/// Puts what `change` makes of each path in its place. A module has words behind its path.
pub fn change_paths(
    policy: &mut Table,
    mut change: impl FnMut(&str) -> Result<String>,
) -> Result<()> {
    for vm in vms(policy) {
        for key in ["image", "initrd", "modules"] {
            let texts = match vm.get_mut(key) {
                Some(Value::Array(texts)) => texts.as_mut_slice(),
                Some(text) => std::slice::from_mut(text),
                None => continue,
            };
            for text in texts {
                let Value::String(text) = text else { continue };
                let end = match key {
                    "modules" => text.find(' ').unwrap_or(text.len()),
                    _ => text.len(),
                };
                let (path, words) = text.split_at(end);
                if path.contains('/') {
                    *text = change(path)? + words;
                }
            }
        }
    }
    Ok(())
}

/// What is in files, by a hash, each read once.
#[derive(Default)]
pub struct Contents(BTreeMap<PathBuf, String>);

impl Contents {
    /// A hash of what is in this file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(&mut self, file: &Path) -> Result<&str> {
        if !self.0.contains_key(file) {
            let mut key = Key::new();
            key.tree(file).map_err(|error| {
                Failure::bad_input(format!("cannot read {}: {error}", file.display()))
            })?;
            self.0.insert(file.to_owned(), key.finish());
        }
        Ok(&self.0[file])
    }
}
