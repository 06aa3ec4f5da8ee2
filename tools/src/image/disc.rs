//! A bootable ISO: GRUB for BIOS and for UEFI, and the files that its menu names.
//!
//! The disc is a hybrid. As a CD it has two boot records (El Torito), as a stick an MBR for BIOS
//! and a GPT with an EFI system partition. GRUB's own `grub-mkrescue` makes the same, but with
//! dates and numbers of the moment in it; here each tool is told a fixed one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::kernel;
use super::menu::Menu;
use crate::failure::{Doing, Failure, Result};
use crate::progress;
use crate::setup::machine::GRUB_FOLDER;

/// The date of everything on the disc, in seconds since 1970: the start of the year 2000.
const DATE: u64 = 946_684_800;
/// The number of the EFI system partition's file system.
const VOLUME_NUMBER: &str = "70110a7e";
/// The label by which GRUB finds its disc again.
const LABEL: &str = "TOLLGATE";
/// A file system as large as a floppy disk's; GRUB for UEFI fills half of it.
const EFI_KIB: &str = "1440";

/// GRUB's modules, beyond those that each platform adds.
const MODULES: [&str; 17] = [
    "boot",
    "configfile",
    "echo",
    "fat",
    "halt",
    "iso9660",
    "minicmd",
    "multiboot",
    "multiboot2",
    "normal",
    "part_gpt",
    "part_msdos",
    "reboot",
    "search",
    "serial",
    "terminal",
    "test",
];
const BIOS_MODULES: [&str; 2] = ["biosdisk", "vga_text"];
const EFI_MODULES: [&str; 2] = ["all_video", "efi_gop"];

/// What goes on a disc.
#[derive(Clone, Debug, Default)]
pub struct Disc {
    /// The files in its folder `boot`, by name.
    files: BTreeMap<String, Vec<u8>>,
}

impl Disc {
    /// Nothing yet.
    pub fn new() -> Disc {
        Disc::default()
    }

    /// Puts the VMM on the disc; its path there.
    pub fn add_kernel(&mut self, name: &str, file: &Path) -> Result<String> {
        let elf = fs::read(file).doing(|| format!("read {}", file.display()))?;
        let part = kernel::loaded_part(&elf).ok_or_else(|| {
            Failure::unavailable(format!("{} is no 64-bit ELF file", file.display()))
        })?;
        Ok(self.place(name, part))
    }

    /// Puts a file on the disc; its path there.
    pub fn add(&mut self, name: &str, file: &Path) -> Result<String> {
        let bytes = fs::read(file).doing(|| format!("read {}", file.display()))?;
        Ok(self.place(name, bytes))
    }

    /// Where these bytes are on the disc: equal ones are there once, and where others have the
    /// name already, a number is added.
    fn place(&mut self, name: &str, bytes: Vec<u8>) -> String {
        if let Some((name, _)) = self.files.iter().find(|(_, other)| **other == bytes) {
            return format!("/boot/{name}");
        }
        let taken = |name: &String| self.files.contains_key(name);
        let name = std::iter::once(name.to_string())
            .chain((2u32..).map(|number| format!("{name}{number}")))
            .find(|name| !taken(name))
            .unwrap_or_default();
        let path = format!("/boot/{name}");
        self.files.insert(name, bytes);
        path
    }

    /// Writes the image.
    pub fn write(&self, menu: &Menu, output: &Path) -> Result<()> {
        let folder = tempfile::tempdir().doing(|| "make a temporary folder".to_string())?;
        let making = Making {
            folder: folder.path(),
        };
        making.file("root/boot/grub/grub.cfg", menu.grub_cfg().as_bytes())?;
        for (name, bytes) in &self.files {
            making.file(&format!("root/boot/{name}"), bytes)?;
        }
        // GRUB for UEFI starts from a partition beside the files.
        let early = format!(
            "search --no-floppy --set=root --label {LABEL}\nset prefix=($root)/boot/grub\n"
        );
        making.file("early.cfg", early.as_bytes())?;
        making.bios_loader()?;
        making.efi_partition()?;
        making.iso()?;
        // Made whole, then put in its place: a reader sees all of it or none.
        let made = making.path("made.iso");
        let beside = output.with_extension("iso.copying");
        fs::copy(&made, &beside)
            .and_then(|_| fs::rename(&beside, output))
            .map_err(|error| {
                let _ = fs::remove_file(&beside);
                Failure::bad_input(format!("cannot write {}: {error}", output.display()))
            })
    }
}

/// A disc in the making, in a folder of its own.
struct Making<'a> {
    folder: &'a Path,
}

impl Making<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        let making = || format!("make {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).doing(making)?;
        }
        fs::write(&path, bytes).doing(making)
    }

    /// Gives a file the disc's date, which mcopy carries over.
    fn dated(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(DATE)))
            .doing(|| format!("set the date of {}", path.display()))
    }

    /// GRUB as one program.
    fn grub(&self, platform: &str, modules: &[&str], output: &str) -> Result<()> {
        let mut command = Command::new("grub-mkimage");
        command
            .args([
                "--format",
                platform,
                "--prefix",
                "/boot/grub",
                "--config",
                "early.cfg",
            ])
            .arg("--directory")
            .arg(Path::new(GRUB_FOLDER).join(platform))
            .args(["--output", output])
            .args(MODULES)
            .args(modules);
        self.run(&mut command)
    }

    fn bios_loader(&self) -> Result<()> {
        self.grub("i386-pc", &BIOS_MODULES, "core.img")?;
        let first = Path::new(GRUB_FOLDER).join("i386-pc/cdboot.img");
        let mut loader = fs::read(&first).doing(|| format!("read {}", first.display()))?;
        loader.extend(fs::read(self.path("core.img")).doing(|| "read GRUB".to_string())?);
        self.file("root/boot/grub/bios.img", &loader)
    }

    fn efi_partition(&self) -> Result<()> {
        self.grub("x86_64-efi", &EFI_MODULES, "BOOTX64.EFI")?;
        self.dated("BOOTX64.EFI")?;
        const IMAGE: &str = "root/boot/grub/efi.img";
        let tool = |name: &str, words: &[&str]| {
            self.run(Command::new(name).args(["-i", IMAGE]).args(words))
        };
        tool("mformat", &["-C", "-f", EFI_KIB, "-N", VOLUME_NUMBER, "::"])?;
        tool("mmd", &["::EFI", "::EFI/BOOT"])?;
        tool("mcopy", &["-m", "BOOTX64.EFI", "::EFI/BOOT/BOOTX64.EFI"])
    }

    fn iso(&self) -> Result<()> {
        let mut command = Command::new("xorriso");
        command
            .args([
                "-as", "mkisofs", "-quiet", "-r", "-V", LABEL, "-o", "made.iso",
            ])
            .args(["-b", "boot/grub/bios.img", "-no-emul-boot"])
            .args([
                "-boot-load-size",
                "4",
                "-boot-info-table",
                "--grub2-boot-info",
            ])
            .arg("--grub2-mbr")
            .arg(Path::new(GRUB_FOLDER).join("i386-pc/boot_hybrid.img"))
            .args([
                "--protective-msdos-label",
                "--efi-boot",
                "boot/grub/efi.img",
            ])
            .args(["-efi-boot-part", "--efi-boot-image"])
            .args(["--set_all_file_dates", &format!("={DATE}")])
            .arg("root");
        self.run(&mut command)
    }

    /// Runs a tool in the folder; what it prints matters only if it fails.
    fn run(&self, command: &mut Command) -> Result<()> {
        let program = command.get_program().to_string_lossy().into_owned();
        let finished = command
            .current_dir(self.folder)
            .env("SOURCE_DATE_EPOCH", DATE.to_string())
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .output()
            .doing(|| format!("start {program}"))?;
        if finished.status.success() {
            return Ok(());
        }
        progress::tell(&String::from_utf8_lossy(&finished.stdout));
        progress::tell(&String::from_utf8_lossy(&finished.stderr));
        Err(Failure::unavailable(format!(
            "{program} did not make its part of the image; its words are above"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_files_are_on_the_disc_once_and_others_of_the_name_beside_them() {
        let mut disc = Disc::new();
        let paths = [b"one", b"two", b"one"].map(|bytes| disc.place("guest", bytes.to_vec()));
        assert_eq!(paths, ["/boot/guest", "/boot/guest2", "/boot/guest"]);
    }
}
