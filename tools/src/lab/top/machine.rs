//! A machine of one's own to look at: `run-qemu --top`.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::Memory;
use crate::failure::{Doing, Failure, Result, Status};
use crate::run::emulator;

/// Memory that is a file, if the system has a place for it that is no disk.
const IN_MEMORY: &str = "/dev/shm";

/// The machine: a `run-qemu` whose output goes to a file.
pub struct Machine {
    child: Child,
    /// Holds the machine's memory, and goes with it.
    folder: TempDir,
    output: PathBuf,
}

impl Machine {
    /// Starts `run-qemu` with these words, and its output in `output`.
    pub fn start(words: Vec<OsString>, output: &Path) -> Result<Machine> {
        let folder = if Path::new(IN_MEMORY).is_dir() {
            tempfile::tempdir_in(IN_MEMORY)
        } else {
            tempfile::tempdir()
        };
        let folder = folder.doing(|| "make a temporary folder".to_string())?;
        let file = File::create(output).doing(|| format!("write {}", output.display()))?;
        let talk = file.try_clone().doing(|| "share a file".to_string())?;
        let program = std::env::current_exe().doing(|| "find this program".to_string())?;
        let mut command = Command::new(program);
        command
            .arg("run-qemu")
            .arg("--share")
            .arg(folder.path().join("memory"))
            .args(words)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(talk)
            // Ctrl-C is for the view, which ends the machine in its own way.
            .process_group(0);
        Ok(Machine {
            child: emulator::spawn(&mut command, Vec::new())?,
            folder,
            output: output.to_path_buf(),
        })
    }

    /// Waits until the VMM has a ledger; none if the machine has ended before.
    pub fn ledger(&mut self) -> Result<Option<(Memory, u64)>> {
        while self.is_running()? {
            if let Ok(memory) = Memory::open(&self.folder.path().join("memory"))
                && let Some(ledger) = memory.find_ledger()
            {
                return Ok(Some((memory, ledger)));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(None)
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> Result<bool> {
        let ended = self.child.try_wait();
        ended
            .map(|ended| ended.is_none())
            .doing(|| "look at the machine".to_string())
    }

    /// Ends it as Ctrl-C would, if it runs; what it printed, and its status.
    pub fn end(mut self) -> Result<(String, Status)> {
        if self.is_running()? {
            let id = i32::try_from(self.child.id()).map(Pid::from_raw);
            // It fails only if the machine has ended meanwhile.
            let _ = id.map(|id| kill(id, Signal::SIGINT));
        }
        let ended = self.child.wait();
        let ended = ended.doing(|| "wait for the machine".to_string())?;
        let text = std::fs::read(&self.output).doing(|| "read what it printed".to_string())?;
        let status = match ended.code() {
            Some(0) => Status::Good,
            Some(1) => Status::GuestFailed,
            Some(2) => Status::BadInput,
            Some(3) => Status::Unavailable,
            Some(5) => Status::UntilUnmatched,
            Some(124) => Status::TimedOut,
            Some(130) => Status::INTERRUPTED,
            _ => {
                return Err(Failure::host(format!("the machine ended with {ended}")));
            }
        };
        Ok((String::from_utf8_lossy(&text).into_owned(), status))
    }
}
