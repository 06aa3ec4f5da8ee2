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
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

use super::display::Display;
use super::qmp::Qmp;
use crate::failure::{Doing, Failure, Result};

/// A file that QEMU loads beside the kernel, and what it is told of it.
#[derive(Clone, Debug)]
pub struct Module {
    /// The file.
    pub file: PathBuf,
    /// The words after the file's name in the module's string.
    pub words: String,
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
    /// A Multiboot kernel.
    pub kernel: PathBuf,
    /// The kernel's command line.
    pub cmdline: Option<String>,
    /// Multiboot modules.
    pub modules: Vec<Module>,
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
        option("-machine", &"pc");
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
        if let Some(cmdline) = &self.cmdline {
            option("-append", cmdline);
        }
        option("-kernel", &self.kernel);
        if !self.modules.is_empty() {
            option("-initrd", &module_list(&self.modules));
        }
        arguments.extend_from_slice(&self.extra);
        arguments
    }
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

/// A running QEMU, killed when this is dropped.
pub struct Qemu {
    child: Child,
    /// It draws on this program's terminal.
    has_terminal: bool,
    /// What the first serial line sends.
    pub from_com1: File,
    /// What it receives.
    pub to_com1: File,
    /// The control line.
    pub qmp: Qmp,
    /// What the second serial line has received, from its start.
    pub com2: File,
}

impl Qemu {
    /// Starts the machine.
    pub fn start(launch: &Launch) -> Result<Qemu> {
        let making = || "make QEMU's serial lines".to_string();
        let (qmp, its_qmp) = UnixStream::pair().doing(making)?;
        let (com2, its_com2) = unnamed_file().doing(making)?;
        let mut numbers = Inherited {
            com1: None,
            com2: its_com2.as_raw_fd(),
            qmp: its_qmp.as_raw_fd(),
        };
        let mut handed_over: Vec<OwnedFd> = vec![its_qmp.into(), its_com2.into()];

        let mut command = Command::new(&launch.program);
        let (from_com1, to_com1): (OwnedFd, OwnedFd) = if launch.display == Display::Curses {
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
        for line in [&from_com1, &to_com1] {
            fcntl(line, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing(making)?;
        }
        command.args(launch.arguments(&numbers));
        die_with_us(&mut command, handed_over);
        let child = command.spawn().map_err(|error| {
            Failure::bad_input(format!(
                "cannot start the emulator {}: {error}",
                launch.program.display()
            ))
        })?;
        let qmp = Qmp::new(qmp).doing(|| "talk to QEMU".to_string())?;
        Ok(Qemu {
            child,
            has_terminal: launch.display == Display::Curses,
            from_com1: from_com1.into(),
            to_com1: to_com1.into(),
            qmp,
            com2,
        })
    }

    /// Waits a moment for a QEMU that has closed its lines; none if it hangs.
    pub fn wait_for_end(&mut self) -> Option<ExitStatus> {
        let patience = Instant::now() + Duration::from_secs(10);
        while Instant::now() < patience {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Ok(ended) => return ended,
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        if self.has_terminal && self.qmp.quit().is_ok() {
            // Killed, it would leave the terminal in its own state.
            self.wait_for_end();
        }
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that only its descriptors know: one to read, one to write.
fn unnamed_file() -> io::Result<(File, File)> {
    let named = tempfile::NamedTempFile::new()?;
    let writer = OpenOptions::new().write(true).open(named.path())?;
    Ok((named.into_file(), writer))
}

/// Lets the child keep these descriptors, and die when this program does.
fn die_with_us(command: &mut Command, descriptors: Vec<OwnedFd>) {
    let parent = getpid();
    let in_child = move || {
        // If this program is killed, nothing else would end QEMU.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        for descriptor in &descriptors {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes only the system calls
    // prctl, getppid and fcntl; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(in_child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch {
            program: "qemu".into(),
            cpu: "max",
            memory_mib: 128,
            kernel: "tollgate".into(),
            cmdline: None,
            modules: Vec::new(),
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
                modules,
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
