//! A policy as it is written: typed, every value with its place, defaults filled in.
//!
//! Sets are not resolved yet, and nothing here is checked beyond its own type.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use intercepts::{Action, CpuidFeature, Exit, Feature};

use crate::limits;
use crate::machine::Machine;
use crate::read::files::DEBIAN;
use crate::source::{At, Span};
use crate::words::{
    Counters, CpuModel, Debian, Device, Flush, Halted, IoAction, LogLevel, MsrAction, Protocol,
    Restart, Test, Then, Ticks, Word,
};

/// The keys that a table gives, and where; what is not here has its default.
pub type Said = BTreeMap<&'static str, Span>;

/// The whole file.
#[derive(Debug)]
pub struct Document {
    /// `[target] machine`.
    pub machine: At<&'static Machine>,
    /// `[target] features`: what the machine at hand has beyond that.
    pub features: Vec<Feature>,
    /// `[vmm] quantum`, in microseconds.
    pub quantum_us: u32,
    /// `[vmm] log`.
    pub log: LogLevel,
    /// Every `[set.NAME]`, and the set that each VM's `intercepts` makes.
    pub sets: Vec<Set>,
    /// Every `[[vm]]`.
    pub vms: Vec<Vm>,
    /// `[irq]`.
    pub lines: Vec<Line>,
    /// Where `machine`, `features`, `quantum`, `log` and `irq` are said.
    pub said: Said,
}

impl Document {
    /// Whether the policy may rely on `feature`.
    pub(crate) fn target_has(&self, feature: Feature) -> bool {
        let is_said = |said: &Feature| said.announcement() == feature.announcement();
        self.machine.value.has(feature) || self.features.iter().any(is_said)
    }
}

/// A set of intercepts.
#[derive(Debug)]
pub struct Set {
    /// Its name; the set of a VM's own `intercepts` has none.
    pub name: Option<At<String>>,
    /// The sets it starts from; later ones win.
    pub extends: Vec<At<String>>,
    /// What it says itself.
    pub entries: Vec<Entry>,
}

/// What a set says about one exit.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The exit, at its key.
    pub exit: At<&'static Exit>,
    /// The rules of `when` before the last, the first that holds wins.
    pub when: Vec<Rule>,
    /// The answer where no rule holds.
    pub answer: At<Answer>,
    /// `log`, where it is said.
    pub log: Option<At<bool>>,
    /// `limit` and `then`.
    pub limit: Option<Limit>,
    /// `filter` and `threshold`.
    pub filter: Option<Filter>,
}

/// A rule of `when`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What must hold, all of it; at least one.
    pub conditions: Vec<At<Condition>>,
    /// The answer then.
    pub answer: At<Answer>,
    /// `log`, where it is said.
    pub log: Option<At<bool>>,
}

/// That a value of the exit is in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which value.
    pub test: Test,
    /// The least that it may be.
    pub first: u64,
    /// The largest that it may be.
    pub last: u64,
}

/// How often an exit is answered.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// So often.
    pub exits: At<u64>,
    /// What comes then.
    pub then: At<Then>,
}

/// How many PAUSEs make one exit (APM 15.14.4).
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// So many pass before the exit; not 0.
    pub pauses: At<u16>,
    /// Those that follow each other within so many cycles count together; not 0.
    pub cycles: Option<At<u16>>,
}

impl Filter {
    /// What the CPU must have for it, and which value asks.
    pub(crate) fn needs(&self) -> Vec<(Feature, Span)> {
        let threshold = self
            .cycles
            .map(|cycles| (Feature::PAUSE_THRESHOLD, cycles.span));
        let filter = (Feature::PAUSE_FILTER, self.pauses.span);
        [filter].into_iter().chain(threshold).collect()
    }
}

/// How an exit is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By an action without parameters.
    Action(Action),
    /// By an exception in its place.
    Inject {
        /// Its vector.
        vector: At<u8>,
        /// The error code, if one is given.
        error: Option<At<u32>>,
    },
    /// By a function in `boot/src/handlers.rs`.
    Handler(String),
}

impl Answer {
    /// The action, if it is one.
    pub fn action(&self) -> Option<Action> {
        match self {
            Answer::Action(action) => Some(*action),
            Answer::Inject { .. } => Some(Action::Inject),
            Answer::Handler(_) => None,
        }
    }
}

/// What a VM boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// The workspace's own kernel.
    Guest,
    /// A file.
    File(File),
}

impl Image {
    /// The file that is linked into the VMM for it: a small one that is named by its path, which
    /// starts at `folder`.
    pub fn linked(&self, folder: &Path) -> Option<PathBuf> {
        let Image::File(File::Path(path)) = self else {
            return None;
        };
        let path = folder.join(path);
        let bytes = path.metadata().ok()?.len();
        (bytes <= limits::LINKED_BYTES).then_some(path)
    }
}

/// A file that a VM boots from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// Relative to the policy's folder.
    Path(String),
    /// Out of a Debian package, which the tools fetch.
    Debian(Debian),
}

impl Display for File {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            File::Path(path) => f.write_str(path),
            File::Debian(file) => write!(f, "{DEBIAN}{}", file.name()),
        }
    }
}

/// A file for the kernel, with its string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The file.
    pub file: File,
    /// As the policy gives it: the path and words.
    pub string: String,
}

/// One `[[vm]]`.
#[derive(Debug)]
pub struct Vm {
    /// The header, `[[vm]]`.
    pub header: Span,
    /// `name`.
    pub name: At<String>,
    /// `image`.
    pub image: At<Image>,
    /// `protocol`.
    pub protocol: Protocol,
    /// `cmdline`.
    pub cmdline: String,
    /// `initrd`.
    pub initrd: Option<At<File>>,
    /// `modules`.
    pub modules: Vec<At<Module>>,
    /// `memory`, in bytes.
    pub memory: At<u64>,
    /// `asid`.
    pub asid: Option<At<u32>>,
    /// `npt`.
    pub npt: At<bool>,
    /// Index in [`Document::sets`] of what `intercepts` says.
    pub set: usize,
    /// `devices`.
    pub devices: Vec<Device>,
    /// `halted`.
    pub halted: Halted,
    /// `autostart`.
    pub autostart: At<bool>,
    /// `restart`.
    pub restart: Restart,
    /// `shadow_tables`, in bytes.
    pub shadow_tables: Option<At<u64>>,
    /// `restart_limit`.
    pub restart_limit: Option<At<u32>>,
    /// `weight`.
    pub weight: u32,
    /// `counters`.
    pub counters: At<Counters>,
    /// `ticks`.
    pub ticks: Ticks,
    /// `trace`.
    pub trace: u32,
    /// `tsc_offset`, in ticks.
    pub tsc_offset: i64,
    /// `tlb`.
    pub tlb: At<Flush>,
    /// `cpu`.
    pub cpu: CpuModel,
    /// `[vm.cpuid]`.
    pub cpuid: Vec<At<CpuidChange>>,
    /// Where its keys are said.
    pub said: Said,
    /// Every `[[vm.io]]`.
    pub io: Vec<IoRule>,
    /// Every `[[vm.msr]]`.
    pub msrs: Vec<MsrRule>,
}

/// A change of the CPU model that the guest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuidChange {
    /// A feature is not there.
    HideFeature(&'static CpuidFeature),
    /// A feature is there if the host has it.
    ShowFeature(&'static CpuidFeature),
    /// A leaf is all zero.
    HideLeaf(CpuidLeaf),
    /// A leaf is the host's.
    ShowLeaf(CpuidLeaf),
    /// Registers of a leaf have these values, EAX to EDX; the others stay.
    Set(CpuidLeaf, [Option<u32>; 4]),
}

/// A leaf of CPUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuidLeaf {
    /// EAX.
    pub leaf: u32,
    /// ECX, for the leaves that look at it; else 0.
    pub subleaf: u32,
}

/// A rule for ports.
#[derive(Clone, Copy, Debug)]
pub struct IoRule {
    /// First and last port.
    pub ports: At<(u16, u16)>,
    /// What an access does.
    pub action: At<IoAction>,
}

/// A rule for MSRs.
#[derive(Clone, Copy, Debug)]
pub struct MsrRule {
    /// The header, `[[vm.msr]]`.
    pub header: Span,
    /// First and last MSR.
    pub msrs: At<(u32, u32)>,
    /// What RDMSR does.
    pub read: At<MsrAction>,
    /// What WRMSR does.
    pub write: At<MsrAction>,
}

impl MsrRule {
    /// Where one of its actions is said; `None`: by default.
    pub(crate) fn said_at(&self, action: At<MsrAction>) -> Option<Span> {
        Some(action.span).filter(|at| *at != self.header)
    }
}

/// A physical interrupt line in `[irq]`.
#[derive(Debug)]
pub struct Line {
    /// The line, 0-15, at its key.
    pub line: At<u8>,
    /// Who gets it: `vmm`, `focus` or the name of a VM.
    pub to: At<String>,
    /// The ports of the device behind it, which that VM then reaches.
    pub ports: Option<At<(u16, u16)>>,
}
