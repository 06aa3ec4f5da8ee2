//! An interactive run, on a terminal of the test's own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{self, LocalFlags};

use crate::harness::{PATIENCE_SECONDS, trials, vmm};

trials![
    the_quit_keys_end_the_run_and_the_terminal_is_as_before,
    keys_reach_the_guest_and_ctrl_c_is_one_of_them,
];

struct Person {
    program: Child,
    keyboard_and_screen: File,
    terminal: OwnedFd,
    seen: String,
}

impl Person {
    fn sits_down() -> Person {
        let pair = openpty(None, None).expect("a terminal");
        let end = || Stdio::from(pair.slave.try_clone().expect("its descriptor"));
        let program = vmm()
            .args(["run-guest", "--timeout", PATIENCE_SECONDS])
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

    /// Reads on until the screen has shown this.
    fn sees(&mut self, text: &str) {
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
        self.seen.drain(..after);
    }

    fn line_editing(&self) -> bool {
        let flags = termios::tcgetattr(&self.terminal)
            .expect("the terminal's settings")
            .local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }
}

fn the_quit_keys_end_the_run_and_the_terminal_is_as_before() {
    let mut person = Person::sits_down();
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
    let mut person = Person::sits_down();
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
