//! Bochs as a child process: its configuration, its lines to us.
//!
//! COM1 is a terminal of our own making (a pty) and COM2 a file. Bochs knows both by path, and has
//! no line to control it by.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;

use super::emulator::{self, Control, Emulator, Lines};
use super::vnc::Viewer;
use crate::failure::{Doing, Result};
use crate::setup::machine::{BOCHS, BOCHS_BIOS, BOCHS_VGA_BIOS};

/// How many instructions make a second of the machine's time: about what Bochs does in one of
/// ours, so that a busy machine's clock goes right.
const INSTRUCTIONS_A_SECOND: u32 = 50_000_000;
/// When the machine's clock starts, in seconds since 1970: the start of the year 2000.
const CLOCK_STARTS: u32 = 946_684_800;

/// How often Bochs is told to go on.
///
/// QUIRK: Debian's Bochs 2.7 is the one with the debugger. It stops before the first instruction
/// and at each triple fault, a guest's too, and takes the end of its commands for the wish to quit.
const STOPS: usize = 10_000;

/// A machine to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Bochs' name of the CPU.
    pub cpu: &'static str,
    /// Its memory.
    pub memory_mib: u64,
    /// The disc in its CD drive.
    pub disc: PathBuf,
    /// Keep an idle machine's clock from running ahead, for a person who types.
    pub real_time: bool,
    /// An empty folder for its files, which must outlive it.
    pub folder: PathBuf,
}

impl Launch {
    /// The configuration file. `com1` and `com2` are paths.
    fn configuration(&self, com1: &str, com2: &str) -> String {
        let sync = if self.real_time { "slowdown" } else { "none" };
        let memory = self.memory_mib;
        // QUIRK: Bochs 2.7: a guest's triple fault is a panic of Bochs' own, and resets the whole
        // machine, instead of an exit, unless it is told otherwise. Its panics end it in all else.
        // QUIRK: Debian's Bochs 2.7 opens ALSA even for a machine without sound, and aborts where
        // there is no card.
        // QUIRK: Debian's Bochs 2.7 has no display that shows nothing. The one that serves VNC
        // viewers is the one that waits for nobody.
        format!(
            "cpu: model={cpu}, count=1, ips={INSTRUCTIONS_A_SECOND}, reset_on_triple_fault=0\n\
             memory: guest={memory}, host={memory}\n\
             romimage: file={BOCHS_BIOS}\n\
             vgaromimage: file={BOCHS_VGA_BIOS}\n\
             ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14\n\
             ata0-master: type=cdrom, path=\"{disc}\", status=inserted\n\
             boot: cdrom\n\
             com1: enabled=1, mode=term, dev={com1}\n\
             com2: enabled=1, mode=file, dev=\"{com2}\"\n\
             clock: sync={sync}, time0={CLOCK_STARTS}\n\
             display_library: rfb, options=\"timeout=0\"\n\
             mouse: enabled=0\n\
             speaker: enabled=0\n\
             sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy\n\
             log: \"{log}\"\n\
             panic: action=fatal, cpu0=report\n\
             error: action=report\n\
             info: action=ignore\n\
             debug: action=ignore\n",
            cpu = self.cpu,
            disc = self.disc.display(),
            log = self.log().display(),
        )
    }

    fn log(&self) -> PathBuf {
        self.folder.join("bochs.log")
    }

    /// Starts the machine.
    ///
    /// QUIRK: of two that start at once, Bochs 2.7 lets both bind the same port to its display, and
    /// the one that then cannot listen on it tries no other but gives up. It is started again.
    pub fn start(&self) -> Result<Emulator> {
        const ATTEMPTS: usize = 5;
        for _ in 1..ATTEMPTS {
            let mut emulator = self.attempt()?;
            if emulator.shows_its_screen() || !lost_its_port(&self.last_words()) {
                return Ok(emulator);
            }
        }
        self.attempt()
    }

    fn attempt(&self) -> Result<Emulator> {
        let making = || "make Bochs' serial lines".to_string();
        let pty = openpty(None, None).doing(making)?;
        let mut raw = tcgetattr(&pty.slave).doing(making)?;
        cfmakeraw(&mut raw);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &raw).doing(making)?;
        let com1 = ttyname(&pty.slave).doing(making)?;
        let com2_path = self.folder.join("com2");
        File::create(&com2_path).doing(making)?;
        let com2 = File::open(&com2_path).doing(making)?;

        let write = |name: &str, text: &str| {
            let path = self.folder.join(name);
            fs::write(&path, text)
                .doing(|| format!("write {}", path.display()))
                .map(|()| path)
        };
        let configuration = self.configuration(
            &com1.display().to_string(),
            &com2_path.display().to_string(),
        );
        let commands = write("commands", &"c\n".repeat(STOPS))?;
        let mut command = Command::new(BOCHS);
        command
            .arg("-q")
            .arg("-f")
            .arg(write("bochsrc", &configuration)?)
            .arg("-rc")
            .arg(commands)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let to_com1 = pty.master.try_clone().doing(making)?;
        // Bochs has its end of the line open from its start to its end, so that the line hangs up
        // when it ends and not before.
        let its_end: OwnedFd = pty.slave;
        let child = emulator::spawn(&mut command, vec![its_end])?;
        let control = Control::Records {
            viewer: Viewer::new(child.id()),
            done: false,
        };
        let lines = Lines {
            from_com1: pty.master.into(),
            to_com1: to_com1.into(),
            com2,
        };
        Emulator::new(child, lines, control)
    }

    /// What made Bochs give up, in its words, if it did.
    pub fn last_words(&self) -> Vec<String> {
        const PANIC: &str = "p[";
        let log = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&log)
            .lines()
            .map(|line| line.trim_start_matches(|digit: char| digit.is_ascii_digit()))
            .filter_map(|line| line.strip_prefix(PANIC))
            .map(|line| format!("[{line}"))
            .collect()
    }
}

/// Whether another Bochs was faster to the port for the display.
fn lost_its_port(last_words: &[String]) -> bool {
    last_words
        .iter()
        .any(|line| line.contains("could not bind any port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bochs_that_lost_its_port_is_told_from_one_that_failed() {
        let words = "[RFB   ] >>PANIC<< RFB could not bind any port between 5900 and 5949";
        assert!(lost_its_port(&[words.to_owned()]));
        assert!(!lost_its_port(&["[MEM0  ] >>PANIC<< no ROM".to_owned()]));
        assert!(!lost_its_port(&[]));
    }

    fn launch(real_time: bool) -> Launch {
        Launch {
            cpu: "ryzen",
            memory_mib: 128,
            disc: "/a folder/tollgate.iso".into(),
            real_time,
            folder: "/nowhere".into(),
        }
    }

    #[test]
    fn a_guests_triple_fault_is_left_to_the_vmm() {
        let text = launch(false).configuration("/dev/pts/0", "/com2");
        assert!(text.contains("reset_on_triple_fault=0\n") && text.contains("cpu0=report\n"));
    }

    #[test]
    fn a_path_with_a_space_stays_one_word() {
        let text = launch(false).configuration("/dev/pts/0", "/com2");
        assert!(text.contains("path=\"/a folder/tollgate.iso\","), "{text}");
    }

    #[test]
    fn only_a_person_makes_an_idle_machine_wait() {
        for (real_time, sync) in [(false, "sync=none,"), (true, "sync=slowdown,")] {
            let text = launch(real_time).configuration("/dev/pts/0", "/com2");
            assert!(text.contains(sync), "{text}");
        }
    }

    #[test]
    fn the_panics_alone_are_last_words() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let launch = Launch {
            folder: folder.path().into(),
            ..launch(false)
        };
        assert!(launch.last_words().is_empty());
        let log = "000i[CPU0  ] cpu\n00123p[ROM   ] >>PANIC<< no file\n00124e[HD    ] p[\n";
        fs::write(launch.log(), log).expect("a log");
        assert_eq!(launch.last_words(), ["[ROM   ] >>PANIC<< no file"]);
    }
}
