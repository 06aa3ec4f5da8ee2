//! QEMU as a child process: its command line, its lines to us, its end.
//!
//! COM1 is QEMU's standard input and output, QMP a socket pair and COM2 a file
//! without a name, all handed over open: no path, so nothing to collide with
//! and nothing to clean up.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::display::Display;
use super::emulator::{self, Control, Emulator, Lines};
use super::qmp::Qmp;
use crate::failure::{Doing, Result};
use crate::setup::machine::UEFI_FIRMWARE;

/// A file that QEMU loads beside the kernel, and what it is told of it.
#[derive(Clone, Debug)]
pub struct Module {
    /// The file.
    pub file: PathBuf,
    /// The words after the file's name in the module's string.
    pub words: String,
}

/// What the machine boots.
#[derive(Clone, Debug)]
pub enum Medium {
    /// A Multiboot kernel, by QEMU's own loader.
    Kernel {
        /// The kernel.
        file: PathBuf,
        /// Its command line.
        cmdline: Option<String>,
        /// Multiboot modules.
        modules: Vec<Module>,
    },
    /// A disc in the CD drive.
    Disc(PathBuf),
    /// The same on a USB stick.
    Stick(PathBuf),
}

/// What the machine starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// QEMU's usual BIOS.
    Bios,
    /// OVMF.
    Uefi,
}

/// A machine to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The emulator.
    pub program: PathBuf,
    /// QEMU's name of the CPU.
    pub cpu: &'static str,
    /// Its memory.
    pub memory_mib: u64,
    /// The file that holds its memory, for others to read; none: nobody else sees it.
    pub shared: Option<PathBuf>,
    /// What it boots.
    pub medium: Medium,
    /// What boots it.
    pub firmware: Firmware,
    /// Where the screen appears.
    pub display: Display,
    /// Count instructions instead of time: two runs are alike.
    pub icount: bool,
    /// Have the device that lets the VMM end QEMU.
    pub debug_exit: bool,
    /// The person's own arguments; they go last, so that they win.
    pub extra: Vec<OsString>,
}

/// The descriptors that QEMU inherits, by number.
struct Inherited {
    /// None: its standard input and output.
    com1: Option<i32>,
    com2: i32,
    qmp: i32,
}

impl Launch {
    fn arguments(&self, inherited: &Inherited) -> Vec<OsString> {
        let Inherited { com1, com2, qmp } = inherited;
        // No drive, network card or monitor that the command line does not name.
        let mut arguments: Vec<OsString> = vec!["-nodefaults".into(), "-no-reboot".into()];
        let mut option = |name: &str, value: &dyn AsRef<OsStr>| {
            arguments.extend([name.into(), value.as_ref().to_os_string()]);
        };
        match &self.shared {
            None => option("-machine", &"pc"),
            Some(file) => {
                let file = file.to_string_lossy().replace(',', ",,");
                let size = self.memory_mib;
                option(
                    "-object",
                    &format!("memory-backend-file,id=ram,size={size}M,mem-path={file},share=on"),
                );
                option("-machine", &"pc,memory-backend=ram");
            }
        }
        option("-accel", &"tcg");
        option("-cpu", &self.cpu);
        option("-m", &format!("{}M", self.memory_mib));
        option("-vga", &"std");
        option("-display", &self.display.to_string());
        if self.display.is_graphical() {
            option("-monitor", &"vc");
        }
        let com1 = com1.map_or("stdio,id=com1,signal=off".into(), |fd| {
            format!("socket,id=com1,fd={fd}")
        });
        option("-chardev", &com1);
        option("-serial", &"chardev:com1");
        option("-add-fd", &format!("fd={com2},set=1"));
        option("-chardev", &"file,id=com2,path=/dev/fdset/1");
        option("-serial", &"chardev:com2");
        option("-chardev", &format!("socket,id=qmp,fd={qmp}"));
        option("-mon", &"chardev=qmp,mode=control");
        if self.debug_exit {
            option("-device", &"isa-debug-exit,iobase=0x501,iosize=0x04");
        }
        if self.icount {
            option("-icount", &"shift=0,sleep=off");
            // A clock of the host's would make two runs differ.
            option("-rtc", &"base=2000-01-01T00:00:00,clock=vm");
        }
        if self.firmware == Firmware::Uefi {
            option("-bios", &UEFI_FIRMWARE);
        }
        match &self.medium {
            Medium::Kernel {
                file,
                cmdline,
                modules,
            } => {
                if let Some(cmdline) = cmdline {
                    option("-append", cmdline);
                }
                option("-kernel", file);
                if !modules.is_empty() {
                    option("-initrd", &module_list(modules));
                }
            }
            Medium::Disc(file) => option("-drive", &drive("media=cdrom", file)),
            Medium::Stick(file) => {
                option("-device", &"qemu-xhci");
                option("-drive", &drive("if=none,id=stick", file));
                option("-device", &"usb-storage,drive=stick");
            }
        }
        arguments.extend_from_slice(&self.extra);
        arguments
    }
}

/// QEMU's form of a drive that nobody writes to.
fn drive(place: &str, file: &Path) -> String {
    let file = file.to_string_lossy().replace(',', ",,");
    format!("{place},format=raw,readonly=on,file={file}")
}

/// QEMU's form of a list of modules: commas between them, and those within
/// a name doubled.
fn module_list(modules: &[Module]) -> OsString {
    let one = |module: &Module| {
        let words = format!("{} {}", module.file.display(), module.words);
        words.replace(',', ",,")
    };
    modules.iter().map(one).collect::<Vec<_>>().join(",").into()
}

/// QEMU splits a module's file from its words at the first space, so a file
/// with a space in its path is given another name in `folder`.
pub fn without_spaces(file: &Path, folder: &Path) -> Result<PathBuf> {
    if !file.as_os_str().as_encoded_bytes().contains(&b' ') {
        return Ok(file.to_path_buf());
    }
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .replace(' ', "_");
    let link = folder.join(name);
    std::os::unix::fs::symlink(file, &link)
        .doing(|| format!("make a link to {}", file.display()))?;
    Ok(link)
}

impl Launch {
    /// Starts the machine.
    pub fn start(&self) -> Result<Emulator> {
        let making = || "make QEMU's serial lines".to_string();
        let (qmp, its_qmp) = UnixStream::pair().doing(making)?;
        let (com2, its_com2) = unnamed_file().doing(making)?;
        let mut numbers = Inherited {
            com1: None,
            com2: its_com2.as_raw_fd(),
            qmp: its_qmp.as_raw_fd(),
        };
        let mut handed_over: Vec<OwnedFd> = vec![its_qmp.into(), its_com2.into()];

        let mut command = Command::new(&self.program);
        let (from_com1, to_com1): (OwnedFd, OwnedFd) = if self.display == Display::Curses {
            // Its standard input and output are the terminal it draws on.
            let (ours, its) = UnixStream::pair().doing(making)?;
            numbers.com1 = Some(its.as_raw_fd());
            handed_over.push(its.into());
            (ours.try_clone().doing(making)?.into(), ours.into())
        } else {
            // QUIRK: QEMU 7.2 with -icount: a main loop that wakes at random
            // makes two runs differ, and a socket wakes its writer whenever
            // its reader has read. A pair of pipes does not.
            let (from_com1, its_output) = io::pipe().doing(making)?;
            let (its_input, to_com1) = io::pipe().doing(making)?;
            // Ctrl-C on the terminal is for this program alone, which then
            // ends QEMU in its own way.
            command.process_group(0).stdin(its_input).stdout(its_output);
            (from_com1.into(), to_com1.into())
        };
        command.args(self.arguments(&numbers));
        let child = emulator::spawn(&mut command, handed_over)?;
        let qmp = Qmp::new(qmp).doing(|| "talk to QEMU".to_string())?;
        let lines = Lines {
            from_com1: from_com1.into(),
            to_com1: to_com1.into(),
            com2,
        };
        let control = Control::Qmp {
            qmp,
            has_terminal: self.display == Display::Curses,
        };
        Emulator::new(child, lines, control)
    }
}

/// A file that only its descriptors know: one to read, one to write.
fn unnamed_file() -> io::Result<(File, File)> {
    let named = tempfile::NamedTempFile::new()?;
    let writer = OpenOptions::new().write(true).open(named.path())?;
    Ok((named.into_file(), writer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(modules: Vec<Module>) -> Medium {
        Medium::Kernel {
            file: "tollgate".into(),
            cmdline: None,
            modules,
        }
    }

    fn launch() -> Launch {
        Launch {
            program: "qemu".into(),
            cpu: "max",
            memory_mib: 128,
            shared: None,
            medium: kernel(Vec::new()),
            firmware: Firmware::Bios,
            display: Display::None,
            icount: false,
            debug_exit: true,
            extra: Vec::new(),
        }
    }

    fn line(launch: &Launch) -> String {
        let words = launch.arguments(&Inherited {
            com1: None,
            com2: 6,
            qmp: 7,
        });
        words
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_persons_arguments_come_last_and_so_win() {
        let launch = Launch {
            extra: vec!["-cpu".into(), "qemu64,-svm".into()],
            ..launch()
        };
        let line = line(&launch);
        assert!(
            line.contains("-cpu max ") && line.ends_with(" -cpu qemu64,-svm"),
            "{line}"
        );
    }

    #[test]
    fn counting_instructions_fixes_the_clock_too() {
        let line = line(&Launch {
            icount: true,
            ..launch()
        });
        assert!(
            line.contains("-icount shift=0,sleep=off -rtc base="),
            "{line}"
        );
        assert!(line.contains("clock=vm"), "{line}");
    }

    #[test]
    fn a_comma_in_a_module_is_doubled_and_one_between_modules_is_not() {
        let module = |file: &str, vm: &str| Module {
            file: file.into(),
            words: format!("image={vm}"),
        };
        let modules = vec![module("a,b.elf", "one"), module("c.elf", "two")];
        assert!(
            line(&Launch {
                medium: kernel(modules),
                ..launch()
            })
            .ends_with("-initrd a,,b.elf image=one,c.elf image=two")
        );
    }

    #[test]
    fn a_module_with_a_space_in_its_path_gets_a_name_without() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("my kernel");
        std::fs::write(&file, "kernel").expect("a file");
        let links = tempfile::tempdir().expect("a temporary folder");
        let link = without_spaces(&file, links.path()).expect("a link");
        assert_eq!(link, links.path().join("my_kernel"));
        assert_eq!(std::fs::read_to_string(link).expect("the file"), "kernel");
    }
}
