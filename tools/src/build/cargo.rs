//! How cargo is called for a binary that runs without an operating system.
//!
//! The Rust library is built from source for the target. That is unstable in
//! cargo, so `RUSTC_BOOTSTRAP` opens it on a stable toolchain; it has to be in
//! the process environment, which is why an alias alone cannot do this.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::progress::has_colour;
use crate::setup::toolchain::Toolchain;

/// What the workspace's root and cargo's home are called in the binaries, which are the same
/// wherever they are built.
const ROOT: &str = ".";
const CARGO_HOME: &str = "/cargo";

/// Where cargo keeps the sources of other people's crates.
fn cargo_home() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".cargo")))
}

/// What to build, and with what. Knows no place on the machine.
#[derive(Clone, Debug)]
pub struct Recipe {
    what: &'static str,
    package: &'static str,
    binary: &'static str,
    /// A target of rustc's, or the path of a specification below the root.
    target: &'static str,
    rustflags: &'static [&'static str],
    features: &'static str,
    environment: Vec<(&'static str, OsString)>,
}

/// What a VMM can do beside running its VMs, or lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Images are linked into it.
    Usual,
    /// It can write a journal of its run.
    Recorder,
    /// The boot loader brings all images.
    Unlinked,
}

impl Recipe {
    /// The guest kernel.
    pub fn guest() -> Recipe {
        Recipe {
            what: "the guest kernel",
            package: "guest",
            binary: "kernel",
            target: "guest/i686-tollgate-none.json",
            rustflags: &[],
            features: "--features=bare-metal",
            environment: Vec::new(),
        }
    }

    /// The VMM with this policy and this guest kernel.
    pub fn vmm(config: &Path, guest: &Path, kind: Kind) -> Recipe {
        Recipe {
            what: "the VMM",
            package: "boot",
            binary: "tollgate",
            target: "x86_64-unknown-none",
            // Position-independent, as a Multiboot 2 loader may put it anywhere; a panic finds
            // its callers by the room that each function takes on the stack.
            rustflags: &["-C", "relocation-model=pie", "-Z", "emit-stack-sizes"],
            features: match kind {
                Kind::Usual => "--features=bare-metal",
                Kind::Recorder => "--features=bare-metal,journal",
                Kind::Unlinked => "--features=bare-metal,unlinked",
            },
            environment: vec![
                ("VM_CONFIG", config.into()),
                ("TOLLGATE_GUEST", guest.into()),
            ],
        }
    }

    /// The thing in words.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The name of the file.
    pub fn binary(&self) -> &'static str {
        self.binary
    }

    /// The part of the content key that is the recipe itself. The files that the environment
    /// names go into the key by content, and here by name: the VMM calls its policy by it.
    pub fn identity(&self) -> String {
        let names: Vec<_> = self
            .environment
            .iter()
            .map(|(_, file)| Path::new(file).file_name())
            .collect();
        format!(
            "{:?} {:?} {ROOT} {CARGO_HOME} {names:?}",
            self.arguments(),
            self.rustflags
        )
    }

    /// Where cargo leaves the file.
    pub fn output(&self, target_dir: &Path) -> PathBuf {
        let folder = Path::new(self.target)
            .file_stem()
            .unwrap_or(OsStr::new(self.target));
        target_dir.join(folder).join("release").join(self.binary)
    }

    fn arguments(&self) -> [&'static str; 11] {
        [
            "build",
            "--release",
            "--package",
            self.package,
            "--bin",
            self.binary,
            self.features,
            "-Zbuild-std=core,compiler_builtins",
            "-Zbuild-std-features=compiler-builtins-mem",
            "-Zjson-target-spec",
            "--target",
        ]
    }

    /// The cargo command that builds it.
    pub fn command(&self, root: &Path, target_dir: &Path, toolchain: &Toolchain) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let color = if has_colour(&std::io::stderr()) {
            "always"
        } else {
            "never"
        };
        let mut flags: Vec<OsString> = self.rustflags.iter().map(OsString::from).collect();
        for (folder, name) in [(Some(root.to_path_buf()), ROOT), (cargo_home(), CARGO_HOME)] {
            let Some(folder) = folder else { continue };
            let mut flag = folder.into_os_string();
            flag.push(format!("={name}"));
            flags.extend(["--remap-path-prefix".into(), flag]);
        }
        if let Some(linker) = &toolchain.linker {
            let mut flag = OsString::from("linker=");
            flag.push(linker);
            flags.extend(["-C".into(), flag]);
        }
        let mut command = Command::new(cargo);
        command
            .args(self.arguments())
            .arg(self.target)
            .arg("--target-dir")
            .arg(target_dir)
            .args(["--color", color])
            .current_dir(root)
            .env("RUSTC", &toolchain.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            // Also keeps flags that the person set for the host away.
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_known_by_its_files_names_and_not_by_their_folders() {
        let of = |policy: &str| {
            Recipe::vmm(Path::new(policy), Path::new("/kernel"), Kind::Usual).identity()
        };
        assert_eq!(of("/here/vm.toml"), of("/there/vm.toml"));
        assert_ne!(of("/here/vm.toml"), of("/here/watch.toml"));
    }
}
