//! An interactive run, on a terminal of the test's own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{self, LocalFlags};

use crate::harness::{PATIENCE_SECONDS, POLICY, trials, vmm};

trials![
    the_quit_keys_end_the_run_and_the_terminal_is_as_before,
    keys_reach_the_guest_and_ctrl_c_is_one_of_them,
    a_person_is_told_the_keys_first_and_finds_the_console_in_a_terminal_of_any_size,
    who_wants_no_colour_gets_none,
];

struct Person {
    program: Child,
    keyboard_and_screen: File,
    terminal: OwnedFd,
    seen: String,
}

/// A run of one of the guest kernels, without a VMM.
const BARE: [&str; 1] = ["run-guest"];

impl Person {
    fn sits_down(command: &[&str], size: Option<&Winsize>) -> Person {
        let pair = openpty(size, None).expect("a terminal");
        let end = || Stdio::from(pair.slave.try_clone().expect("its descriptor"));
        let program = vmm()
            .args(command)
            .args(["--timeout", PATIENCE_SECONDS])
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the program starts");
        Person {
            program,
            keyboard_and_screen: pair.master.into(),
            terminal: pair.slave,
            seen: String::new(),
        }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard_and_screen
            .write_all(keys.as_bytes())
            .expect("keys");
    }

    /// Reads on until the screen has shown this. Returns what it has shown up to that.
    fn sees(&mut self, text: &str) -> String {
        let mut piece = [0; 256];
        while !self.seen.contains(text) {
            let mut screen = [PollFd::new(
                self.keyboard_and_screen.as_fd(),
                PollFlags::POLLIN,
            )];
            let shown = poll(&mut screen, PollTimeout::from(100u8)).expect("a terminal");
            if shown > 0 {
                let count = self.keyboard_and_screen.read(&mut piece).expect("a screen");
                self.seen
                    .push_str(&String::from_utf8_lossy(&piece[..count]));
            } else if let Some(status) = self.program.try_wait().expect("a program") {
                panic!("{status} without {text:?} in {:?}", self.seen);
            }
        }
        let after = self.seen.find(text).map_or(0, |place| place + text.len());
        self.seen.drain(..after).collect()
    }

    fn line_editing(&self) -> bool {
        let flags = termios::tcgetattr(&self.terminal)
            .expect("the terminal's settings")
            .local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }
}

fn the_quit_keys_end_the_run_and_the_terminal_is_as_before() {
    let mut person = Person::sits_down(&BARE, None);
    person.sees("Ctrl-] q quits");
    person.sees("tollgate> ");
    assert!(!person.line_editing());
    person.types("\x1dq");
    assert_eq!(
        person.program.wait().expect("the program ends").code(),
        Some(130)
    );
    assert!(person.line_editing());
}

fn keys_reach_the_guest_and_ctrl_c_is_one_of_them() {
    let mut person = Person::sits_down(&BARE, None);
    person.sees("tollgate> ");
    // Ctrl-C would end a program that leaves the terminal as it is.
    person.types("\x03\r");
    person.sees("tollgate> ");
    person.types("poweroff\r");
    person.sees("poweroff");
    assert_eq!(
        person.program.wait().expect("the program ends").code(),
        Some(0)
    );
}

/// The two lines before the machine's own name the keys. The console moves no cursor, so its lines
/// are as they are in a log file, and wrap where the terminal ends.
fn a_person_is_told_the_keys_first_and_finds_the_console_in_a_terminal_of_any_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("vm.toml");
    std::fs::write(&config, POLICY).expect("a policy");
    let command = ["run-qemu", "--config", config.to_str().expect("a path")];
    let rows_and_columns = |ws_row, ws_col| Winsize {
        ws_row,
        ws_col,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    for size in [
        rows_and_columns(25, 80),
        rows_and_columns(5, 20),
        rows_and_columns(200, 500),
    ] {
        let mut person = Person::sits_down(&command, Some(&size));
        person.sees("tollgate: booting demo under ");
        let told = person.sees("[vmm] ");
        let lines: Vec<&str> = told.lines().collect();
        assert!(
            lines[0].ends_with("Ctrl-] q quits, Ctrl-C goes to the guest"),
            "{told}"
        );
        assert!(
            lines[1].contains("Ctrl-] opens the console, where 1-9 switch to a VM"),
            "{told}"
        );
        person.sees("tollgate> ");
        person.types("\x1d");
        let list = person.sees("Enter to the guest");
        assert!(list.contains(">  1 demo               waiting"), "{list}");
        assert!(
            list.lines().all(|line| line.trim_end().len() <= 80),
            "{list}"
        );
        assert!(!list.contains('\x1b'), "{list}");
        person.types("l");
        let log = person.sees("demo: 65536 KiB of memory");
        assert!(!log.contains('\x1b'), "{log}");
        person.types("\x1dq");
        let status = person.program.wait().expect("the program ends");
        assert_eq!(status.code(), Some(130));
    }
}

fn who_wants_no_colour_gets_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("vm.toml");
    std::fs::write(&config, POLICY.replace("wait", "weight")).expect("a policy");
    let config = config.to_str().expect("a path");
    let shown = |words: &[&str], terminal: &str, no_colour: &str| {
        let pair = openpty(None, None).expect("a terminal");
        let mut command = vmm();
        command
            .args(["check", config])
            .args(words)
            .env("TERM", terminal)
            .env("NO_COLOR", no_colour)
            .stderr(Stdio::from(pair.slave));
        let status = command.status().expect("the program starts");
        assert_eq!(status.code(), Some(2));
        drop(command);
        let mut text = Vec::new();
        // A terminal that nobody holds any more ends with an error.
        let _ = File::from(pair.master).read_to_end(&mut text);
        String::from_utf8(text).expect("text")
    };
    let coloured = shown(&[], "xterm", "");
    assert!(coloured.contains("weight"), "{coloured}");
    assert!(coloured.contains('\x1b'), "{coloured}");
    for plain in [
        shown(&[], "xterm", "1"),
        shown(&["--no-color"], "xterm", ""),
        shown(&[], "dumb", ""),
    ] {
        assert!(plain.contains("weight"), "{plain}");
        assert!(!plain.contains('\x1b'), "{plain}");
    }
}
