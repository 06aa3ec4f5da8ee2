//! An initial file system with BusyBox: a shell on the console, and a few words for tests.

use super::cpio::Archive;
use crate::build::key::Key;

/// The first process. It waits in the background, so that BusyBox's `poweroff`, `reboot` and
/// `halt`, which signal the first process, are obeyed at once.
const INIT: &str = include_str!("initramfs/init");
/// Checks what a virtual machine can get wrong, and says so.
const SELF_TEST: &str = include_str!("initramfs/self-test");

/// Another for other contents, BusyBox aside.
pub fn key() -> String {
    let mut key = Key::new();
    key.text(INIT);
    key.text(SELF_TEST);
    key.finish()
}

/// The file system, as an archive that Linux unpacks.
pub fn make(busybox: &[u8]) -> Vec<u8> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "sys", "tmp"] {
        archive.folder(folder);
    }
    archive.device("dev/console", 5, 1);
    archive.program("bin/busybox", busybox);
    archive.program("bin/self-test", SELF_TEST.as_bytes());
    archive.program("init", INIT.as_bytes());
    archive.finish()
}
