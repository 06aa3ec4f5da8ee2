//! The set-up plan: a pure function of what the machine has and what it lacks.

use super::Need;
use super::machine::Machine;

/// Who runs the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// May install without asking anybody.
    Root,
    /// Another user, who can be asked.
    OnTerminal,
    /// Another user, and nobody to ask: a script, a continuous integration.
    Unattended,
}

/// What is known of rustup's way to the library sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rustup {
    /// No rustup here.
    Absent,
    /// It is here and was not asked yet.
    Untried,
    /// It was asked and could not bring them.
    Refused,
}

/// By what right packages are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// The tool runs as root.
    Root,
    /// `sudo -n`: works or fails, but never asks.
    SudoQuietly,
    /// Ask the person, then `sudo`, which may ask for a password.
    AskThenSudo,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `rustup component add rust-src`. May fail; then the plan is made anew
    /// with [`Rustup::Refused`].
    AddRustSource,
    /// Install these Debian packages.
    Install {
        /// Their names.
        packages: Vec<&'static str>,
        /// By what right.
        privilege: Privilege,
    },
    /// The tool can do nothing; the person can, by this text.
    Tell {
        /// What is missing, and the command to type.
        text: String,
    },
}

/// What to do, in this order, so that `missing` is missing no more.
pub fn steps(machine: &Machine, missing: &[Need]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut for_apt = missing.to_vec();
    if missing.contains(&Need::LibrarySources) && machine.rustup == Rustup::Untried {
        steps.push(Step::AddRustSource);
        for_apt.retain(|need| *need != Need::LibrarySources);
    }
    if for_apt.is_empty() {
        return steps;
    }
    let privilege = match machine.user {
        User::Root => Some(Privilege::Root),
        User::OnTerminal => machine.sudo.then_some(Privilege::AskThenSudo),
        User::Unattended => machine.sudo.then_some(Privilege::SudoQuietly),
    };
    steps.push(match privilege {
        Some(privilege) if machine.apt => Step::Install {
            packages: packages(&for_apt),
            privilege,
        },
        _ => Step::Tell {
            text: advice(machine, &for_apt),
        },
    });
    steps
}

/// The Debian packages that bring these things.
pub fn packages(needs: &[Need]) -> Vec<&'static str> {
    needs
        .iter()
        .flat_map(|need| match need {
            Need::LibrarySources => &["rustc-web", "rust-web-src"][..],
            Need::Emulator => &["qemu-system-x86"],
            Need::Display(_) => &["qemu-system-gui"],
            Need::Uefi => &["ovmf"],
            Need::GrubTools => &["grub-common"],
            Need::ImageTools => &[
                "grub-common",
                "grub-pc-bin",
                "grub-efi-amd64-bin",
                "xorriso",
                "mtools",
            ],
            Need::Bochs => &["bochs", "bochsbios", "vgabios"],
            Need::Node => &["nodejs", "npm"],
            Need::Python => &["python3-venv"],
            Need::Debugger => &["gdb"],
            Need::Browser => &["chromium"],
        })
        .copied()
        .collect()
}

/// The command that installs these packages, as root types it.
pub fn apt_command(packages: &[&str]) -> String {
    format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// What is still missing after everything was installed.
pub fn still_missing(needs: &[Need]) -> String {
    let mut text = String::from("set-up ran, but this is still missing:");
    for need in needs {
        text.push_str(&format!("\n  {}", describe(*need)));
        if *need == Need::LibrarySources {
            text.push_str("\n    try: rustup component add rust-src");
        }
    }
    text
}

/// What a need is and what for, for a person.
pub fn describe(need: Need) -> String {
    match need {
        Need::LibrarySources => {
            "the sources of Rust's core library, to build it for a machine without an operating system".into()
        }
        Need::Emulator => "qemu-system-x86_64, the PC that Tollgate boots on".into(),
        Need::Display(name) => format!("QEMU's display `{name}`, which the command line asks for"),
        Need::Uefi => "OVMF, QEMU's firmware for UEFI".into(),
        Need::GrubTools => "grub-mkimage, which links GRUB".into(),
        Need::ImageTools => {
            "GRUB for BIOS and UEFI, xorriso and mtools, which make a disc image".into()
        }
        Need::Bochs => "Bochs, another PC that Tollgate boots on, with its BIOS".into(),
        Need::Node => "Node.js and npm, which run an editor's language server in the tests".into(),
        Need::Python => "Python with venv, in which Perfetto's own package reads traces in the tests".into(),
        Need::Debugger => "gdb, with its Python".into(),
        Need::Browser => "Chromium, in which the reference's page is tested".into(),
    }
}

fn advice(machine: &Machine, missing: &[Need]) -> String {
    let mut text = String::from("this is missing and cannot be installed from here:");
    for need in missing {
        text.push_str(&format!("\n  {}", describe(*need)));
    }
    if machine.apt {
        let install = apt_command(&packages(missing));
        text.push_str(&match machine.sudo {
            true => format!("\ninstall it with:\n  sudo {install}"),
            false => format!("\ninstall it with:\n  su -c '{install}'"),
        });
        return text;
    }
    text.push_str("\nthere is no apt-get here, so:");
    for need in missing {
        text.push_str(match need {
            Need::LibrarySources => "\n  rustup component add rust-src",
            Need::Emulator => "\n  install QEMU for x86_64 with this system's package manager",
            Need::Display(_) => {
                "\n  install QEMU's graphical displays with this system's package manager"
            }
            Need::Uefi => "\n  install OVMF as /usr/share/ovmf/OVMF.fd",
            Need::GrubTools => "\n  install GRUB's grub-mkimage with this system's package manager",
            Need::ImageTools => {
                "\n  install xorriso, mtools, and GRUB with its platforms i386-pc and x86_64-efi in /usr/lib/grub"
            }
            Need::Bochs => "\n  install Bochs with SVM, and its BIOS files in /usr/share/bochs",
            Need::Node => "\n  install Node.js with npm",
            Need::Python => "\n  install Python 3 with venv",
            Need::Debugger => "\n  install gdb with this system's package manager",
            Need::Browser => "\n  install Chromium with this system's package manager",
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: [Need; 3] = [Need::Emulator, Need::LibrarySources, Need::Display("gtk")];

    fn debian(user: User) -> Machine {
        Machine {
            user,
            apt: true,
            sudo: true,
            rustup: Rustup::Untried,
        }
    }

    fn install(packages: &[&'static str], privilege: Privilege) -> Step {
        Step::Install {
            packages: packages.to_vec(),
            privilege,
        }
    }

    #[test]
    fn a_machine_that_has_everything_needs_no_step() {
        for user in [User::Root, User::OnTerminal, User::Unattended] {
            assert_eq!(steps(&debian(user), &[]), []);
        }
    }

    #[test]
    fn rustup_is_asked_for_the_sources_before_debian_is() {
        assert_eq!(
            steps(&debian(User::OnTerminal), &[Need::LibrarySources]),
            [Step::AddRustSource]
        );
    }

    #[test]
    fn debian_brings_the_sources_where_rustup_cannot() {
        for rustup in [Rustup::Refused, Rustup::Absent] {
            let machine = Machine {
                rustup,
                ..debian(User::Root)
            };
            assert_eq!(
                steps(&machine, &[Need::LibrarySources]),
                [install(&["rustc-web", "rust-web-src"], Privilege::Root)]
            );
        }
    }

    #[test]
    fn root_installs_without_asking() {
        assert_eq!(
            steps(&debian(User::Root), &EVERYTHING),
            [
                Step::AddRustSource,
                install(&["qemu-system-x86", "qemu-system-gui"], Privilege::Root)
            ]
        );
    }

    #[test]
    fn a_person_on_a_terminal_is_asked_and_a_script_is_not() {
        let privilege = |user| match &steps(&debian(user), &[Need::Emulator])[..] {
            [Step::Install { privilege, .. }] => Some(*privilege),
            _ => None,
        };
        assert_eq!(privilege(User::OnTerminal), Some(Privilege::AskThenSudo));
        assert_eq!(privilege(User::Unattended), Some(Privilege::SudoQuietly));
    }

    #[test]
    fn one_step_installs_all_packages_so_that_a_person_is_asked_once() {
        let machine = Machine {
            rustup: Rustup::Refused,
            ..debian(User::OnTerminal)
        };
        assert_eq!(
            steps(&machine, &EVERYTHING),
            [install(
                &[
                    "qemu-system-x86",
                    "rustc-web",
                    "rust-web-src",
                    "qemu-system-gui"
                ],
                Privilege::AskThenSudo
            )]
        );
    }

    #[test]
    fn without_sudo_the_person_gets_the_one_command_to_type() {
        let machine = Machine {
            sudo: false,
            ..debian(User::OnTerminal)
        };
        let [Step::Tell { text }] = &steps(&machine, &[Need::Emulator])[..] else {
            panic!("not one piece of advice");
        };
        assert!(
            text.ends_with("su -c 'apt-get install --no-install-recommends qemu-system-x86'"),
            "{text}"
        );
    }

    #[test]
    fn without_apt_the_advice_names_no_debian_package() {
        let machine = Machine {
            apt: false,
            rustup: Rustup::Refused,
            ..debian(User::Root)
        };
        let [Step::Tell { text }] = &steps(&machine, &EVERYTHING)[..] else {
            panic!("not one piece of advice");
        };
        assert!(text.contains("rustup component add rust-src"), "{text}");
        assert!(
            !text.contains("rustc-web") && !text.contains("qemu-system-x86\n"),
            "{text}"
        );
    }
}
