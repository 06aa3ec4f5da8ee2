//! `run-qemu --top` as a person sees it: a full screen on a terminal, and keys.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use tempfile::TempDir;

use crate::harness::{PATIENCE_SECONDS, POLICY, trials, vmm};

trials![keys_sort_filter_pause_and_freeze_the_live_view];

/// A person before a `run-qemu --top`.
struct Watcher {
    program: Child,
    terminal: File,
    /// Kept open, so that the program's end is no error of the terminal's.
    _slave: OwnedFd,
    folder: TempDir,
}

impl Watcher {
    fn sits_down() -> Watcher {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("vm.toml");
        std::fs::write(&config, POLICY).expect("a policy");
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).expect("a terminal");
        let end = || Stdio::from(pair.slave.try_clone().expect("its descriptor"));
        let program = vmm()
            .current_dir(folder.path())
            .args([
                "run-qemu",
                "--top",
                "--timeout",
                PATIENCE_SECONDS,
                "--config",
            ])
            .arg(&config)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the program starts");
        Watcher {
            program,
            terminal: pair.master.into(),
            _slave: pair.slave,
            folder,
        }
    }

    fn types(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).expect("keys");
    }

    /// Reads on until what was written since the last call has all of these.
    fn sees(&mut self, texts: &[&str]) -> String {
        let patience = Instant::now() + Duration::from_secs(120);
        let mut seen = String::new();
        let mut piece = [0; 4096];
        while !texts.iter().all(|text| seen.contains(text)) {
            assert!(Instant::now() < patience, "no {texts:?} in {seen:?}");
            let mut screen = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
            if poll(&mut screen, PollTimeout::from(100u8)).expect("a terminal") > 0 {
                let count = self.terminal.read(&mut piece).expect("a screen");
                seen.push_str(&String::from_utf8_lossy(&piece[..count]));
            } else if let Some(status) = self.program.try_wait().expect("a program") {
                panic!("{status} without {texts:?} in {seen:?}");
            }
        }
        seen
    }
}

fn keys_sort_filter_pause_and_freeze_the_live_view() {
    let mut person = Watcher::sits_down();
    // Blanks that were blank before are not written, so words come one by one.
    person.sees(&["second", "demo", "ioio", "hlt", "quit"]);
    person.types("/hl\rp");
    person.sees(&["paused"]);
    person.types("f");
    person.sees(&["frozen"]);
    let frozen = person.folder.path().join("top-1.json");
    let text = std::fs::read(frozen).expect("what was frozen");
    let frozen: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let names = frozen["rates"].as_array().expect("exits").iter();
    let names: Vec<_> = names.filter_map(|rate| rate["name"].as_str()).collect();
    assert_eq!(names, ["hlt"], "{frozen:#}");
    person.types("s");
    person.sees(&["share"]);
    person.types("q");
    // The run's own output comes behind the view, and its table.
    person.sees(&["demo| tollgate> ", "all exits"]);
    let status = person.program.wait().expect("an end");
    assert_eq!(status.code(), Some(130));
}
