//! However the program ends, no QEMU is left behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{PATIENCE_SECONDS, trials, vmm};

trials![
    ctrl_c_is_130_and_ends_qemu,
    a_terminated_run_ends_qemu,
    a_hang_up_ends_qemu,
    even_a_killed_program_leaves_no_qemu,
    a_reader_that_goes_away_ends_qemu,
];

/// A machine whose kernel has come up, and the QEMU that runs it.
struct Running {
    program: Child,
    output: Option<BufReader<std::process::ChildStdout>>,
    qemu: Pid,
}

impl Running {
    fn start() -> Running {
        let mut program = vmm()
            .args(["run-guest", "--timeout", PATIENCE_SECONDS])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut output = BufReader::new(program.stdout.take().expect("its output"));
        let mut first = String::new();
        output.read_line(&mut first).expect("a line");
        assert!(!first.is_empty(), "the machine ended at once");
        let children = format!("/proc/{0}/task/{0}/children", program.id());
        let children = fs::read_to_string(children).expect("the kernel's list of children");
        let qemu = children
            .split_whitespace()
            .next()
            .and_then(|pid| pid.parse().ok())
            .expect("a QEMU");
        Running {
            program,
            output: Some(output),
            qemu: Pid::from_raw(qemu),
        }
    }

    fn signal(&mut self, signal: Signal) -> Option<i32> {
        let program = i32::try_from(self.program.id()).expect("a process id");
        kill(Pid::from_raw(program), signal).expect("a signal is sent");
        self.program.wait().expect("the program ends").code()
    }

    /// Waits until QEMU is gone. It never would be if it had been left.
    #[track_caller]
    fn qemu_is_gone(&self) {
        let patience = Instant::now() + Duration::from_secs(60);
        while is_running(self.qemu) {
            assert!(
                Instant::now() < patience,
                "QEMU {} is still there",
                self.qemu
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A zombie that nobody has waited for yet does not run.
fn is_running(process: Pid) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .starts_with('Z')
    })
}

fn ctrl_c_is_130_and_ends_qemu() {
    let mut running = Running::start();
    assert_eq!(running.signal(Signal::SIGINT), Some(130));
    running.qemu_is_gone();
}

fn a_terminated_run_ends_qemu() {
    let mut running = Running::start();
    assert_eq!(running.signal(Signal::SIGTERM), Some(143));
    running.qemu_is_gone();
}

fn a_hang_up_ends_qemu() {
    let mut running = Running::start();
    assert_eq!(running.signal(Signal::SIGHUP), Some(129));
    running.qemu_is_gone();
}

fn even_a_killed_program_leaves_no_qemu() {
    let mut running = Running::start();
    assert_eq!(running.signal(Signal::SIGKILL), None);
    running.qemu_is_gone();
}

fn a_reader_that_goes_away_ends_qemu() {
    let mut running = Running::start();
    drop(running.output.take());
    assert_eq!(
        running.program.wait().expect("the program ends").code(),
        Some(141)
    );
    running.qemu_is_gone();
}
