//! The compiler and library sources of the bare-metal builds.
//!
//! The library for a bare-metal target is built from source, so it needs a
//! compiler whose sources are there: the active toolchain with rustup's
//! component `rust-src`, else Debian's `rustc-web` with `rust-web-src`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine;

/// The library sources, below a sysroot.
const LIBRARY: &str = "lib/rustlib/src/rust/library/Cargo.toml";
/// Where Debian's compiler has its sysroot.
const DEBIAN_SYSROOT: &str = "/usr";
/// The oldest compiler that the workspace builds with, as Cargo.toml says.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// A compiler whose library sources are on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The compiler.
    pub rustc: PathBuf,
    /// The linker, where the compiler brings none of its own.
    pub linker: Option<PathBuf>,
}

impl Toolchain {
    /// The toolchain of the bare-metal builds, if the machine has one.
    pub fn find() -> Option<Toolchain> {
        let active = active_sysroot();
        Toolchain::choose(active.as_deref(), Path::new(DEBIAN_SYSROOT), is_recent)
    }

    fn choose(
        active: Option<&Path>,
        debian: &Path,
        recent: impl Fn(&Path) -> bool,
    ) -> Option<Toolchain> {
        let borrowed_linker = active.and_then(rust_lld);
        let sysroots = active.into_iter().chain([debian]);
        for sysroot in sysroots {
            let rustc = sysroot.join("bin/rustc");
            // The active compiler's age is cargo's to judge: it has just
            // built this very program.
            let recent = |rustc| Some(sysroot) == active || recent(rustc);
            if rustc.is_file() && sysroot.join(LIBRARY).is_file() && recent(&rustc) {
                let linker = match rust_lld(sysroot) {
                    Some(_) => None,
                    None => borrowed_linker.or_else(system_lld),
                };
                return Some(Toolchain { rustc, linker });
            }
        }
        None
    }
}

/// The sysroot of the toolchain that cargo runs this program with.
fn active_sysroot() -> Option<PathBuf> {
    // cargo tells its own place, which saves starting a compiler to ask.
    let beside_cargo = std::env::var_os("CARGO")
        .and_then(|cargo| Some(Path::new(&cargo).parent()?.parent()?.to_path_buf()))
        .filter(|sysroot| {
            sysroot.join("bin/rustc").is_file() && sysroot.join("lib/rustlib").is_dir()
        });
    beside_cargo.or_else(|| {
        let printed = Command::new("rustc")
            .args(["--print", "sysroot"])
            .output()
            .ok()?;
        let path = String::from_utf8(printed.stdout).ok()?;
        printed
            .status
            .success()
            .then(|| PathBuf::from(path.trim_end()))
    })
}

/// LLVM's linker as rustup ships it, below the host's triple.
fn rust_lld(sysroot: &Path) -> Option<PathBuf> {
    let triples = sysroot.join("lib/rustlib").read_dir().ok()?;
    triples
        .flatten()
        .map(|triple| triple.path().join("bin/rust-lld"))
        .find(|lld| lld.is_file())
}

/// LLVM's linker as a distribution ships it.
fn system_lld() -> Option<PathBuf> {
    machine::program("ld.lld")
}

fn is_recent(rustc: &Path) -> bool {
    let version = Command::new(rustc).arg("--version").output().ok();
    let text = version.and_then(|printed| String::from_utf8(printed.stdout).ok());
    text.and_then(|text| release(text.split_whitespace().nth(1)?)) >= release(OLDEST)
}

/// `1.96.0-beta.1` as (1, 96).
fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn sysroot(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, "").expect("a file");
        }
        folder
    }

    const RUSTC: &str = "bin/rustc";
    const LLD: &str = "lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld";

    #[test]
    fn the_active_toolchain_is_used_when_it_has_its_sources() {
        let active = sysroot(&[RUSTC, LLD, LIBRARY]);
        let debian = sysroot(&[RUSTC, LIBRARY]);
        let found = Toolchain::choose(Some(active.path()), debian.path(), |_| true);
        assert_eq!(
            found,
            Some(Toolchain {
                rustc: active.path().join(RUSTC),
                linker: None
            })
        );
    }

    #[test]
    fn debians_compiler_borrows_the_linker_of_the_active_toolchain() {
        let active = sysroot(&[RUSTC, LLD]);
        let debian = sysroot(&[RUSTC, LIBRARY]);
        let found = Toolchain::choose(Some(active.path()), debian.path(), |_| true);
        let linker = Some(active.path().join(LLD));
        assert_eq!(
            found,
            Some(Toolchain {
                rustc: debian.path().join(RUSTC),
                linker
            })
        );
    }

    #[test]
    fn a_debian_compiler_that_is_too_old_is_none() {
        let debian = sysroot(&[RUSTC, LIBRARY]);
        assert_eq!(Toolchain::choose(None, debian.path(), |_| false), None);
    }

    #[test]
    fn sources_without_their_compiler_are_none() {
        let debian = sysroot(&[LIBRARY]);
        assert_eq!(Toolchain::choose(None, debian.path(), |_| true), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(release("1.100.0") > release("1.90"));
        assert!(release("1.63.0") < release("1.90"));
        assert_eq!(release("unknown"), None);
    }
}
