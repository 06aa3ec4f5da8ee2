//! How a run ended, and the exit status that follows.

use serde::{Deserialize, Serialize};

use super::records::Record;
use crate::failure::Status;

/// What ended the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Ending {
    /// The emulator ended by itself.
    Emulator {
        /// Why its machine stopped, in QEMU's words, if it said so.
        shutdown: Option<String>,
        /// How the process ended.
        process: String,
    },
    /// The text of `--until` came.
    Until,
    /// The time of `--timeout` passed.
    Timeout,
    /// The person pressed `Ctrl-] q`.
    Quit,
    /// A signal told this program to end.
    Signal {
        /// Its number.
        number: u8,
    },
    /// Nobody reads the output any more.
    #[default]
    OutputClosed,
}

/// The exit status and, where it needs one, its explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the process exits with.
    pub status: Status,
    /// Says why, for all but a good end.
    pub message: Option<String>,
}

impl Verdict {
    fn good() -> Verdict {
        Verdict {
            status: Status::Good,
            message: None,
        }
    }

    fn new(status: Status, message: impl Into<String>) -> Verdict {
        Verdict {
            status,
            message: Some(message.into()),
        }
    }

    /// Of a run of the VMM, by what it wrote on COM2.
    pub fn on_vmm(ending: &Ending, records: &[Record], until: Option<&str>) -> Verdict {
        let shutdown = match common(ending) {
            Ok(verdict) => return verdict,
            Err(shutdown) => shutdown,
        };
        for record in records {
            match record {
                Record::Refused { reason } => {
                    return Verdict::new(
                        Status::Unavailable,
                        format!("the VMM cannot run here: {reason}"),
                    );
                }
                Record::Panic { message } => {
                    return Verdict::new(
                        Status::HostFailed,
                        format!("the VMM panicked: {message}"),
                    );
                }
                _ => {}
            }
        }
        let done = records.iter().find_map(|record| match record {
            Record::Done { status, .. } => Some(*status),
            _ => None,
        });
        match (done, until) {
            (Some(0 | 1), Some(text)) => unmatched(text),
            (Some(0), None) => Verdict::good(),
            (Some(1), None) => Verdict::new(Status::GuestFailed, bad_ends(records)),
            (Some(other), _) => Verdict::new(
                Status::HostFailed,
                format!("the VMM ended with the unknown status {other}"),
            ),
            (None, _) if shutdown == Some("guest-reset") => Verdict::new(
                Status::HostFailed,
                "the machine was reset under the VMM, which never said that it was done (a triple fault?)",
            ),
            (None, _) => emulator_died(ending),
        }
    }

    /// Of a kernel on the bare machine, by why the machine stopped.
    pub fn on_bare_machine(ending: &Ending, until: Option<&str>) -> Verdict {
        let shutdown = match common(ending) {
            Ok(verdict) => return verdict,
            Err(shutdown) => shutdown,
        };
        match (shutdown, until) {
            (Some("guest-shutdown" | "guest-reset"), Some(text)) => unmatched(text),
            (Some("guest-shutdown"), None) => Verdict::good(),
            (Some("guest-reset"), None) => Verdict::new(
                Status::GuestFailed,
                "the kernel reset the machine, by a triple fault or on purpose",
            ),
            _ => emulator_died(ending),
        }
    }
}

/// The verdict where what ran does not matter, else why the machine stopped.
fn common(ending: &Ending) -> Result<Verdict, Option<&str>> {
    Ok(match ending {
        Ending::Until => Verdict::good(),
        Ending::Timeout => Verdict::new(Status::TimedOut, "the time of --timeout passed"),
        Ending::Quit => Verdict {
            status: Status::INTERRUPTED,
            message: None,
        },
        Ending::Signal { number } => Verdict::new(
            Status::Signalled(*number),
            format!("ended by signal {number}"),
        ),
        Ending::OutputClosed => Verdict {
            status: Status::Signalled(13),
            message: None,
        },
        // The window was closed, or somebody typed `quit` on QEMU's monitor.
        Ending::Emulator {
            shutdown: Some(reason),
            ..
        } if reason == "host-ui" || reason == "host-qmp-quit" => Verdict {
            status: Status::INTERRUPTED,
            message: None,
        },
        Ending::Emulator { shutdown, .. } => return Err(shutdown.as_deref()),
    })
}

fn unmatched(until: &str) -> Verdict {
    let message = format!("everything ended before the output contained {until:?} (--until)");
    Verdict::new(Status::UntilUnmatched, message)
}

fn emulator_died(ending: &Ending) -> Verdict {
    let how = match ending {
        Ending::Emulator {
            shutdown: Some(reason),
            process,
        } => format!("{process}; {reason}"),
        Ending::Emulator {
            shutdown: None,
            process,
        } => process.clone(),
        _ => String::new(),
    };
    Verdict::new(
        Status::HostFailed,
        format!("the emulator ended by itself ({how}); what it had to say is above"),
    )
}

fn bad_ends(records: &[Record]) -> String {
    let ends: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Ended {
                vm,
                how,
                good: false,
                reason,
            } => Some(format!("VM {vm} {how}: {reason}")),
            _ => None,
        })
        .collect();
    if ends.is_empty() {
        "a VM ended badly".into()
    } else {
        ends.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulator(shutdown: Option<&str>) -> Ending {
        Ending::Emulator {
            shutdown: shutdown.map(str::to_string),
            process: "exit status: 0".into(),
        }
    }

    fn done(status: u8) -> Record {
        Record::Done {
            status,
            ticks: None,
        }
    }

    fn vmm(shutdown: Option<&str>, records: &[Record], until: Option<&str>) -> u8 {
        Verdict::on_vmm(&emulator(shutdown), records, until)
            .status
            .code()
    }

    fn bare(shutdown: Option<&str>, until: Option<&str>) -> u8 {
        Verdict::on_bare_machine(&emulator(shutdown), until)
            .status
            .code()
    }

    #[test]
    fn the_vmms_last_record_decides() {
        assert_eq!(vmm(None, &[done(0)], None), 0);
        assert_eq!(vmm(None, &[done(1)], None), 1);
    }

    #[test]
    fn a_refusal_is_3_and_a_panic_is_4_with_the_vmms_own_words() {
        let refused = [
            Record::Refused {
                reason: "no SVM".into(),
            },
            done(3),
        ];
        let verdict = Verdict::on_vmm(&emulator(None), &refused, Some("text"));
        assert_eq!(verdict.status.code(), 3);
        assert!(
            verdict
                .message
                .is_some_and(|message| message.contains("no SVM"))
        );
        let panic = [
            Record::Panic {
                message: "#PF".into(),
            },
            done(4),
        ];
        assert_eq!(vmm(None, &panic, None), 4);
    }

    #[test]
    fn vms_that_ended_before_the_awaited_text_are_5() {
        for status in [0, 1] {
            assert_eq!(vmm(None, &[done(status)], Some("login:")), 5);
        }
        assert_eq!(bare(Some("guest-shutdown"), Some("login:")), 5);
    }

    #[test]
    fn a_vmm_that_never_said_done_is_4_however_qemu_ended() {
        assert_eq!(vmm(None, &[], None), 4);
        assert_eq!(vmm(Some("guest-reset"), &[], None), 4);
        assert_eq!(vmm(Some("guest-shutdown"), &[], None), 4);
    }

    #[test]
    fn on_the_bare_machine_power_off_is_0_and_a_reset_is_1() {
        assert_eq!(bare(Some("guest-shutdown"), None), 0);
        assert_eq!(bare(Some("guest-reset"), None), 1);
        assert_eq!(bare(None, None), 4);
    }

    #[test]
    fn endings_from_outside_count_whatever_ran() {
        let done = [done(0)];
        for (ending, code) in [
            (Ending::Until, 0),
            (Ending::Timeout, 124),
            (Ending::Quit, 130),
            (Ending::Signal { number: 2 }, 130),
            (Ending::Signal { number: 15 }, 143),
            (emulator(Some("host-ui")), 130),
        ] {
            assert_eq!(
                Verdict::on_vmm(&ending, &done, Some("text")).status.code(),
                code,
                "{ending:?}"
            );
            assert_eq!(
                Verdict::on_bare_machine(&ending, None).status.code(),
                code,
                "{ending:?}"
            );
        }
    }
}
