//! What every test here uses: a boot described in a line, and its outcome.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use tools::setup::{self, Need};
use tools::workspace::Workspace;

/// A machine that does not end by itself fails its test after so long. No
/// test takes a tenth of it.
pub const PATIENCE_SECONDS: &str = "300";

/// A policy with one VM that has everything the guest kernel knows.
pub const POLICY: &str = r#"
[target]
machine = "qemu-tcg"

[set.base]
cpuid    = "emulate"
hlt      = "wait"
shutdown = "stop"

[[vm]]
name       = "demo"
image      = "guest"
memory     = "64 MiB"
intercepts = "base"
devices    = ["pic", "pit", "uart", "keyboard", "vga", "rtc"]

[irq]
1 = "vmm"
4 = "vmm"
"#;

/// A trial for each function, named after it.
macro_rules! trials {
    ($($name:ident),+ $(,)?) => {
        pub fn trials() -> Vec<libtest_mimic::Trial> {
            vec![$(libtest_mimic::Trial::test(
                concat!(module_path!(), "::", stringify!($name)).trim_start_matches("boots::"),
                || { $name(); Ok(()) },
            )),+]
        }
    };
}
pub(crate) use trials;

/// The same for functions that take long: their names begin with `slow::`, and they run only
/// when asked for.
macro_rules! slow {
    ($($name:ident),+ $(,)?) => {
        vec![$(libtest_mimic::Trial::test(
            concat!("slow::", stringify!($name)),
            || { $name(); Ok(()) },
        ).with_ignored_flag(true)),+]
    };
}
pub(crate) use slow;

/// The guest kernel's file. What a build needs is installed, and the kernel
/// built, by the first test that asks, and seen by whoever watches.
pub fn guest_kernel() -> &'static Path {
    static KERNEL: OnceLock<PathBuf> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let workspace = Workspace::find();
        setup::ensure(&workspace, &[Need::LibrarySources, Need::Emulator]).expect("set-up");
        tools::build::guest(&workspace).expect("the guest kernel")
    })
}

/// The program under test, on a machine that has all that it needs.
pub fn vmm() -> Command {
    guest_kernel();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmm"));
    command
        .stdin(Stdio::null())
        .current_dir(Workspace::find().root());
    command
}

/// A machine to boot: a command line in the making.
pub struct Boot {
    arguments: Vec<OsString>,
    patience: &'static str,
    report: bool,
    folder: TempDir,
}

impl Boot {
    /// The guest kernel on the bare machine.
    pub fn bare_machine() -> Boot {
        Boot::command("run-guest", false)
    }

    /// The VMM under the policy in this text.
    pub fn policy(vm_toml: &str) -> Boot {
        Boot::command("run-qemu", true).with_policy(vm_toml)
    }

    fn with_policy(self, vm_toml: &str) -> Boot {
        let config = self.folder.path().join("vm.toml");
        std::fs::write(&config, vm_toml).expect("a policy file");
        self.arg("--config").arg(config)
    }

    /// The VMM in Bochs under the policy in this text.
    pub fn bochs(vm_toml: &str) -> Boot {
        Boot::command("run-bochs", true).with_policy(vm_toml)
    }

    /// A command that boots what it finds.
    pub fn command(name: &str, report: bool) -> Boot {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Boot {
            arguments: vec![name.into()],
            patience: PATIENCE_SECONDS,
            report,
            folder,
        }
    }

    /// Gives it other than the usual time.
    pub fn within_seconds(self, patience: &'static str) -> Boot {
        Boot { patience, ..self }
    }

    /// Adds a word to the command line.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Boot {
        self.arguments.push(argument.into());
        self
    }

    /// Adds words to the command line.
    pub fn args<const N: usize>(self, arguments: [&str; N]) -> Boot {
        arguments.into_iter().fold(self, Boot::arg)
    }

    /// Puts a kernel of these bytes in the place of the one that would boot.
    pub fn kernel(self, bytes: &[u8]) -> Boot {
        let kernel = self.folder.path().join("kernel");
        let mut file = std::fs::File::create(&kernel).expect("a kernel file");
        file.write_all(bytes).expect("a kernel");
        self.arg("--guest").arg(kernel)
    }

    /// The address of a function of the VMM that this boots, by its name without module.
    pub fn symbol(&self, name: &str) -> u32 {
        let config = self.folder.path().join("vm.toml");
        let (vmm, _) = crate::binary::build(&["--config".as_ref(), config.as_os_str()]);
        crate::binary::symbol(&vmm, name)
    }

    /// Boots, and leaves it to the test to follow the output. The folder must outlive the run.
    pub fn start(self) -> (Child, TempDir) {
        let child = vmm()
            .arg(&self.arguments[0])
            .args(["--timeout", self.patience])
            .args(&self.arguments[1..])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        (child, self.folder)
    }

    /// Boots, and waits for the end.
    pub fn run(self) -> Outcome {
        let mut command = vmm();
        command
            .arg(&self.arguments[0])
            .args(["--timeout", self.patience]);
        let report = self.folder.path().join("report.json");
        if self.report {
            command.arg("--report").arg(&report);
        }
        let finished = command
            .args(&self.arguments[1..])
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&finished.stdout);
        Outcome {
            status: finished.status.code(),
            lines: text.lines().map(str::to_string).collect(),
            talk: String::from_utf8_lossy(&finished.stderr).into_owned(),
            report: read_report(&report),
        }
    }
}

fn read_report(path: &Path) -> Value {
    std::fs::read(path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// How a boot ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status; none if a signal ended the program.
    pub status: Option<i32>,
    /// Standard output by lines: the serial line, then the table.
    pub lines: Vec<String>,
    /// Standard error.
    pub talk: String,
    /// What `--report` wrote; null on the bare machine.
    pub report: Value,
}

impl Outcome {
    /// Fails unless the exit status is this; shows everything if so.
    #[track_caller]
    pub fn ends_with(self, status: i32) -> Outcome {
        assert!(
            self.status == Some(status),
            "status {:?}, not {status}\n{}",
            self.status,
            self.shown()
        );
        self
    }

    /// Fails unless a line contains this text.
    #[track_caller]
    pub fn shows(self, text: &str) -> Outcome {
        assert!(
            self.lines.iter().any(|line| line.contains(text)),
            "no {text:?} in\n{}",
            self.shown()
        );
        self
    }

    /// Fails unless the tool itself said this.
    #[track_caller]
    pub fn says(self, text: &str) -> Outcome {
        assert!(self.talk.contains(text), "no {text:?} in\n{}", self.shown());
        self
    }

    /// What this VM said on its serial line.
    pub fn lines_of(&self, vm: &str) -> Vec<&str> {
        let name = format!("{vm}| ");
        self.lines
            .iter()
            .filter_map(|line| line.strip_prefix(&name))
            .collect()
    }

    /// What the program said of itself first: whoever shortens a long log keeps its beginning.
    fn shown(&self) -> String {
        format!(
            "--- talk\n{}\n--- output\n{}",
            self.talk,
            self.lines.join("\n")
        )
    }
}

/// A program in `folder` that is QEMU with other arguments. `script` goes on in a loop over them, in
/// which `word` is the next one, and ends the loop.
pub fn qemu_with(folder: &Path, script: &str) -> PathBuf {
    let script =
        format!("#!/bin/sh\nfor word; do\n shift\n {script}exec qemu-system-x86_64 \"$@\"\n");
    let program = folder.join("qemu");
    std::fs::write(&program, script).expect("a script");
    make_executable(&program);
    program
}

fn make_executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o755)).expect("an executable script");
}

/// A folder with programs of the test's own making, to be the whole PATH.
pub struct Programs {
    folder: TempDir,
}

impl Programs {
    /// Only `env`, which starts others.
    pub fn new() -> Programs {
        let programs = Programs {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        programs.add("env", "exec /usr/bin/env \"$@\"");
        programs
    }

    /// Adds a shell script.
    pub fn add(&self, name: &str, script: &str) {
        let path = self.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
        make_executable(&path);
    }

    /// The folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }
}
