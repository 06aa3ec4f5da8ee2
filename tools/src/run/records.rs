//! What the VMM writes on COM2: a record a line, in JSON.
//!
//! Only the VMM owns that line, so a guest cannot forge any of it.

use serde::{Deserialize, Serialize};

/// How often an exit happened and what it cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Exit {
    /// The exit's name in the vocabulary.
    pub name: String,
    /// EXITCODE.
    pub code: u64,
    /// How often.
    pub count: u64,
    /// TSC ticks that the VMM spent on it.
    pub cycles: u64,
    /// The fewest ticks, where times are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<u64>,
    /// The most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
    /// How many took 2^n ticks up to, not including, 2^(n+1), by n; the first also 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histogram: Vec<u64>,
}

/// What exits were about, where their code does not say it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Detail {
    /// `in`, `out`, `rdmsr`, `wrmsr`, `cpuid` or `vmmcall`.
    pub subject: String,
    /// Which port, MSR, leaf or call.
    pub number: u32,
    /// How often.
    pub count: u64,
    /// TSC ticks that the VMM spent on it.
    pub cycles: u64,
}

/// Something that a VM was refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Refusal {
    /// The access or the exit, in words.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// What changes of vCPU took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Switches {
    /// How many there were.
    pub rounds: u64,
    /// TSC ticks: to decide who runs next, to arm the timer, to change the CPU's state.
    pub ticks: u64,
    /// TSC ticks of the whole way from the end of one VM's turn to the beginning of another's.
    pub way_ticks: u64,
    /// TSC ticks to save and load the x87 and SSE registers as often, by itself.
    pub fpu_ticks: u64,
}

/// One line of COM2.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// Before the first VMRUN.
    Hello {
        /// The VMs' names.
        vms: Vec<String>,
        /// TSC ticks a second.
        tsc_hz: u64,
        /// The VMM's memory, besides the guests'.
        vmm_bytes: u64,
        /// Where the ledger is: a physical address.
        #[serde(default)]
        ledger: u64,
    },
    /// What the bare VMRUN loop took, if it was asked for.
    Floor {
        /// How often it went round.
        rounds: u64,
        /// TSC ticks.
        ticks: u64,
    },
    /// What changes of vCPU took, if they were asked for.
    Switches(Switches),
    /// At the end, one for each VM.
    Exits {
        /// The VM's name.
        vm: String,
        /// Its exits.
        exits: Vec<Exit>,
        /// What they were about, where details are kept.
        #[serde(default)]
        details: Vec<Detail>,
        /// Exits whose subject found no place among the details.
        #[serde(default)]
        other_details: u64,
        /// Exits that served the VMM alone.
        #[serde(default)]
        own_exits: u64,
        /// How often it was started.
        #[serde(default)]
        lives: u64,
        /// TSC ticks in the guest.
        guest_cycles: u64,
        /// TSC ticks in the VMM on this VM's behalf.
        vmm_cycles: u64,
        /// TSC ticks from a key to the VM's next turn, at most.
        #[serde(default)]
        slowest_input_cycles: u64,
    },
    /// At the end of a VM's life, if it was refused anything.
    Refusals {
        /// The VM's name.
        vm: String,
        /// Each thing that is told apart.
        refusals: Vec<Refusal>,
        /// How many there were of others.
        others: u64,
    },
    /// The run as a whole ended.
    Ran {
        /// TSC ticks since the first VM could run.
        cycles: u64,
        /// Memory that was nobody's then.
        #[serde(default)]
        free_bytes: u64,
    },
    /// A VM ended.
    Ended {
        /// Its name.
        vm: String,
        /// `power-off`, `halted`, `crashed`, `stopped` or `reset`.
        how: String,
        /// Whether that counts as a good end.
        good: bool,
        /// The cause, for a person.
        reason: String,
    },
    /// The machine lacks what the policy needs.
    Refused {
        /// What it lacks.
        reason: String,
    },
    /// The VMM gave up.
    Panic {
        /// Why.
        message: String,
    },
    /// The last record.
    Done {
        /// The exit status that the VMM asks for.
        status: u8,
        /// TSC ticks since the boot loader handed over, if the VMM has got so far as to count.
        #[serde(default)]
        ticks: Option<u64>,
    },
    /// A kind that this program does not know.
    #[serde(other)]
    Unknown,
}

/// The records in what COM2 received. Lines that are none are passed over: a
/// machine that was cut off leaves half a line.
pub fn read(com2: &str) -> Vec<Record> {
    com2.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_kinds_and_fields_and_cut_lines_do_no_harm() {
        let text = concat!(
            r#"{"kind":"hello","version":1,"vms":["demo"],"tsc_hz":1000,"vmm_bytes":4096}"#,
            "\n",
            r#"{"kind":"weather","sun":true}"#,
            "\n\n",
            r#"{"kind":"done","status":0}"#,
            "\n",
            r#"{"kind":"done","sta"#,
        );
        assert_eq!(
            read(text),
            [
                Record::Hello {
                    vms: vec!["demo".into()],
                    tsc_hz: 1000,
                    vmm_bytes: 4096,
                    ledger: 0
                },
                Record::Unknown,
                Record::Done {
                    status: 0,
                    ticks: None
                }
            ]
        );
    }
}
