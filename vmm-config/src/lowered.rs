//! What remains of a policy: plain data, all sets and defaults resolved.
//!
//! Everything that the build, the tools and the documentation say about a policy starts here.
//! The VMM adds at run time what only it can know: the addresses of the permission maps and of
//! the nested page table, and how it masks interrupts.

use std::collections::BTreeMap;
use std::sync::Arc;

use intercepts::vmcb::Field;
use intercepts::{Exit, Feature};

use crate::finding::Report;
use crate::machine::Machine;
use crate::read::{FOCUS, VMM};
use crate::source::Source;
use crate::words::{
    Counters, CpuModel, Device, Flush, Halted, IoAction, LogLevel, MsrAction, Protocol, Restart,
    Then, Ticks,
};
use crate::written::{Answer, Condition, CpuidChange, CpuidLeaf, File, Image, Module};

/// A policy, checked and resolved.
#[derive(Debug)]
pub struct Lowered {
    /// The file's text, and the name under which people know it.
    pub source: Source,
    /// The machine that it is written for.
    pub machine: &'static Machine,
    /// What the machine at hand is said to have beyond that.
    pub features: Vec<Feature>,
    /// How long a VM runs while others are runnable, in microseconds.
    pub quantum_us: u32,
    /// The least urgent messages that the log shows.
    pub log: LogLevel,
    /// The VMs, in the order of the file.
    pub vms: Vec<Vm>,
    /// Who gets each physical line, ascending; a line not listed is masked.
    pub routes: Vec<Route>,
    /// Where `machine`, `features`, `quantum` and `log` are said, as far as they are.
    pub origins: Origins,
    /// What is allowed but probably not meant.
    pub warnings: Report,
}

impl Lowered {
    /// The memory of all VMs with their shadow tables, in bytes.
    pub fn memory(&self) -> u64 {
        self.vms
            .iter()
            .flat_map(|vm| [vm.memory, vm.shadow_tables])
            .fold(0, u64::saturating_add)
    }
}

/// One VM.
#[derive(Debug)]
pub struct Vm {
    /// Its name.
    pub name: String,
    /// What it boots.
    pub image: Image,
    /// How its kernel is started.
    pub protocol: Protocol,
    /// The kernel command line.
    pub cmdline: String,
    /// Linux's initial file system.
    pub initrd: Option<File>,
    /// Multiboot modules.
    pub modules: Vec<Module>,
    /// Guest memory in bytes, a multiple of 4 KiB.
    pub memory: u64,
    /// Address space identifier.
    pub asid: u32,
    /// Nested paging.
    pub npt: bool,
    /// Bytes of shadow page tables; 0 with nested paging.
    pub shadow_tables: u64,
    /// What HLT with interrupts off means.
    pub halted: Halted,
    /// Whether it starts by itself.
    pub autostart: bool,
    /// When it starts again.
    pub restart: Restart,
    /// How often at most.
    pub restart_limit: u32,
    /// Its share of the CPU, against those of others.
    pub weight: u32,
    /// What is kept on its exits.
    pub counters: Counters,
    /// What becomes of timer ticks that came while others ran.
    pub ticks: Ticks,
    /// How many of the last exits are kept one by one; 0: none.
    pub trace: u32,
    /// Added to the TSC that the guest reads, in ticks.
    pub tsc_offset: i64,
    /// What is flushed from the TLB when a translation changes.
    pub tlb: Flush,
    /// The CPU that it sees.
    pub cpu: CpuModel,
    /// Where that differs from the VMM's own model, by leaf.
    pub cpuid: Vec<CpuidRule>,
    /// The devices it sees, in the order of [`Device`].
    pub devices: Vec<Device>,
    /// The fields of the VMCB that the policy decides and that are not zero, by offset.
    pub vmcb: Vec<FieldValue>,
    /// The exits that have a handler, by code.
    pub gates: Vec<Gate>,
    /// Port rules, ascending and disjoint.
    pub io: Vec<IoRule>,
    /// MSR rules, ascending and disjoint.
    pub msrs: Vec<MsrRule>,
    /// Where the keys of its `[[vm]]` are said, as far as they are.
    pub origins: Origins,
    /// What the CPU must offer.
    pub needs: Vec<Need>,
}

/// The place in the policy that something comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The line, from 1.
    pub line: usize,
    /// What stands on it, without indentation and comment.
    pub text: Arc<str>,
}

/// Where keys are said; a key that is not here has its default.
pub type Origins = BTreeMap<&'static str, Origin>;

/// A field of the VMCB and its value.
#[derive(Debug)]
pub struct FieldValue {
    /// The field.
    pub field: &'static Field,
    /// The value, zero-extended.
    pub value: u64,
    /// The intercepts that make up the value, by bit; none for other fields.
    pub intercepts: Vec<InterceptBit>,
}

/// An intercept in its field.
#[derive(Clone, Copy, Debug)]
pub struct InterceptBit {
    /// The bit in the field.
    pub bit: u8,
    /// The exit it causes.
    pub exit: &'static Exit,
}

/// An exit and what handles it.
#[derive(Debug)]
pub struct Gate {
    /// The exit.
    pub exit: &'static Exit,
    /// The rules of `when` before the last, the first that holds wins.
    pub rules: Vec<Rule>,
    /// The answer where no rule holds, as the policy or the VMM's default gives it.
    pub answer: Answer,
    /// What handles it.
    pub handler: Handler,
    /// Whether each such exit is said on the log first.
    pub log: bool,
    /// So many are answered; what comes then.
    pub limit: Option<(u64, Then)>,
    /// So many PAUSEs make one exit, and only within so many cycles; 0: however far apart.
    pub filter: Option<(u16, u16)>,
    /// Where the policy says so; `None` for a default of the VMM.
    pub origin: Option<Origin>,
    /// Where the answer itself is said, which may be further down.
    pub answer_origin: Option<Origin>,
}

/// A rule of `when`.
#[derive(Debug)]
pub struct Rule {
    /// What must hold, all of it.
    pub conditions: Vec<Condition>,
    /// The answer then.
    pub answer: Answer,
    /// What handles the exit then.
    pub handler: Handler,
    /// Whether it is said on the log first.
    pub log: bool,
    /// Where the policy says so.
    pub origin: Origin,
}

/// A leaf of CPUID that differs from the VMM's model. Registers go from EAX to EDX.
#[derive(Debug)]
pub struct CpuidRule {
    /// The leaf.
    pub leaf: CpuidLeaf,
    /// The bits that stay as the model has them.
    pub keep: [u32; 4],
    /// The bits that are the host's.
    pub host: [u32; 4],
    /// The bits that are set.
    pub set: [u32; 4],
    /// What the policy says of it, and where.
    pub changes: Vec<(CpuidChange, Origin)>,
}

/// The function that handles an exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// `vmm_core::exits::MODULE::FUNCTION`.
    Vmm {
        /// The module.
        module: &'static str,
        /// The function.
        function: &'static str,
    },
    /// The injection of an exception.
    Inject {
        /// Its vector.
        vector: u8,
        /// Its error code.
        error: Option<u32>,
    },
    /// A function of `boot/src/handlers.rs`.
    User(String),
}

/// A rule for ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoRule {
    /// First port.
    pub first: u16,
    /// Last port, included.
    pub last: u16,
    /// What an access does.
    pub action: IoAction,
    /// Where the ports are said.
    pub origin: Origin,
    /// Where the action is said.
    pub action_origin: Origin,
}

/// A rule for MSRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsrRule {
    /// First MSR.
    pub first: u32,
    /// Last MSR, included.
    pub last: u32,
    /// What RDMSR does.
    pub read: MsrAction,
    /// What WRMSR does.
    pub write: MsrAction,
    /// Where the MSRs are said.
    pub origin: Origin,
    /// Where `read` is said; `None`: by default.
    pub read_origin: Option<Origin>,
    /// Where `write` is said; `None`: by default.
    pub write_origin: Option<Origin>,
}

impl MsrRule {
    /// Whether an access that exits can end otherwise than by the VMM's own model.
    pub fn is_asked(&self) -> bool {
        let by_model = |action| matches!(action, MsrAction::Pass | MsrAction::Emulate);
        !(by_model(self.read) && by_model(self.write))
    }
}

/// A CPU feature that a VM relies on.
#[derive(Debug)]
pub struct Need {
    /// The feature.
    pub feature: Feature,
    /// What asks for it.
    pub origin: Origin,
}

/// Who gets a physical interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The VMM itself.
    Vmm,
    /// The VM with this index in [`Lowered::vms`].
    Vm(usize),
    /// The VM that has the keyboard when it comes.
    Focus,
}

impl Owner {
    /// The word for it in the policy.
    pub fn name(self, policy: &Lowered) -> &str {
        match self {
            Owner::Vmm => VMM,
            Owner::Focus => FOCUS,
            Owner::Vm(index) => policy.vms.get(index).map_or(VMM, |vm| &vm.name),
        }
    }
}

/// A physical interrupt line and its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The line, 0-15.
    pub line: u8,
    /// Who gets it.
    pub to: Owner,
    /// Where the policy says so; `None` for a default of the VMM.
    pub origin: Option<Origin>,
}
