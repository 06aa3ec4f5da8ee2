//! Files out of Debian's packages: kernels that nobody here wrote, and what they boot with.
//!
//! A policy names them (`image = "debian:linux-cloud-amd64"`). What a run needs is fetched once
//! and kept in the target folder ([`fetch`]); nothing of it is installed, and the machine's own
//! package lists and architectures stay as they are (`apt`).

mod apt;
mod cpio;
mod grub;
mod initramfs;

use std::fs;
use std::path::{Path, PathBuf};

use vmm_config::words::{Debian, Word};

use crate::failure::{Doing, Failure, Result};
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use apt::Apt;

/// Where a file comes from.
enum Origin {
    /// It is in a package, at the path that starts and ends so.
    Package(&'static str, &'static str, &'static str),
    /// Linux: in the package that the named one depends on, whatever version that is.
    Linux(&'static str),
    /// GNU Mach, so as well, and compressed.
    Mach(&'static str),
    /// Made from a package's BusyBox.
    Initramfs,
    /// Made from GRUB's parts in a package.
    Grub,
}

/// Debian's name of the architecture, and the origin.
fn origin(file: Debian) -> (&'static str, Origin) {
    use Origin::{Grub, Initramfs, Linux, Mach, Package};
    match file {
        Debian::LinuxCloudAmd64 => ("amd64", Linux("linux-image-cloud-amd64")),
        Debian::Linux686 => ("i386", Linux("linux-image-686")),
        Debian::Linux686Pae => ("i386", Linux("linux-image-686-pae")),
        Debian::BusyboxAmd64 => ("amd64", Initramfs),
        Debian::BusyboxI386 => ("i386", Initramfs),
        Debian::Grub => ("amd64", Grub),
        Debian::MemtestIa32 => ("amd64", Package("memtest86+", "boot/", "ia32.bin")),
        Debian::MemtestX64 => ("amd64", Package("memtest86+", "boot/", "x64.bin")),
        Debian::GnuMach => ("i386", Mach("gnumach-image-1-486")),
    }
}

/// The file, fetched or made if it is not there yet.
///
/// Fails (exit status 3) where the machine has no Debian tools, or no network.
pub fn fetch(workspace: &Workspace, file: Debian) -> Result<PathBuf> {
    let folder = workspace.debian();
    let (architecture, origin) = origin(file);
    // What is made here is made again when it is made otherwise.
    let place = match origin {
        Origin::Initramfs => folder.join(format!("{}-{}", file.name(), initramfs::key())),
        _ => folder.join(file.name()),
    };
    if place.is_file() {
        return Ok(place);
    }
    if matches!(origin, Origin::Grub) {
        setup::ensure(workspace, &[Need::GrubTools])?;
    }
    let _lock = workspace.lock("debian")?;
    // Another process may have fetched it while this one waited.
    if place.is_file() {
        return Ok(place);
    }
    let apt = Apt::new(&folder, architecture)?;
    let bytes = match origin {
        Origin::Package(package, start, end) => apt.file(package, start, end)?,
        Origin::Mach(package) => {
            let package = apt.dependency(package, "gnumach-image-")?;
            apt::decompress(&apt.file(&package, "boot/", ".gz")?)?
        }
        Origin::Linux(package) => {
            let package = apt.dependency(package, "linux-image-")?;
            apt.file(&package, "boot/vmlinuz-", "")?
        }
        Origin::Initramfs => initramfs::make(&apt.file("busybox-static", "bin/busybox", "")?),
        Origin::Grub => grub::make(&apt.unpacked("grub-coreboot-bin")?)?,
    };
    keep(&place, &bytes)?;
    Ok(place)
}

/// Puts a file in its place: a reader sees all of it or none.
fn keep(place: &Path, bytes: &[u8]) -> Result<()> {
    let copying = place.with_extension("copying");
    fs::write(&copying, bytes)
        .and_then(|()| fs::rename(&copying, place))
        .doing(|| format!("write {}", place.display()))
}

/// What a person does where Debian's tools are not there.
fn unavailable(why: &str) -> Failure {
    Failure::unavailable(format!(
        "{why}\nto boot a kernel of your own, name its file: image = \"./vmlinuz\""
    ))
}
