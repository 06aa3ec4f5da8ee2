//! The compiled-in policy: what the build made of `vm.toml`, as static tables.
//!
//! The proc-macro emits one [`Policy`]; nothing here is computed at run time.

use intercepts::vmcb::Control;
use intercepts::{ExitCode, Feature, SLOTS, slot};

use crate::devices::DeviceSet;
use crate::exits::{Handler, unexpected};

/// Everything that `vm.toml` says.
pub struct Policy {
    /// How long a VM runs while others are runnable, in microseconds.
    pub quantum_us: u32,
    /// The least urgent messages that the log shows.
    pub log: LogLevel,
    /// What the machine of `[target]` offers. The VMM itself uses no feature of SVM beyond these.
    pub offers: &'static [Feature],
    /// The VMs, in the order of the file.
    pub vms: &'static [VmPolicy],
    /// Who gets each physical interrupt line; a line not listed is masked.
    pub routes: &'static [Route],
}

/// How much the log shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what ends something.
    Error,
    /// Also what is denied or odd.
    Warn,
    /// Also what starts and ends.
    Info,
    /// Everything.
    Debug,
}

/// One `[[vm]]`.
pub struct VmPolicy {
    /// Its name: on the log, in records, in messages.
    pub name: &'static str,
    /// How its kernel wants to be started; none: as the file shows.
    pub protocol: Option<Protocol>,
    /// The kernel command line.
    pub cmdline: &'static str,
    /// Whether an initial file system comes with the kernel, as a boot module.
    pub initrd: bool,
    /// The strings of the modules that come with the kernel, as boot modules.
    pub modules: &'static [&'static str],
    /// Guest memory in bytes, a multiple of 4 KiB.
    pub memory: u64,
    /// Address space identifier: not 0, not shared.
    pub asid: u32,
    /// Nested paging; otherwise shadow page tables.
    pub npt: bool,
    /// Bytes of shadow page tables, whole tables of 4 KiB; 0 with nested paging.
    pub shadow_tables: u64,
    /// Whether HLT with interrupts off counts as a crash rather than as a good end.
    pub halted_is_crash: bool,
    /// Whether it starts by itself.
    pub autostart: bool,
    /// When it starts again after an end.
    pub restart: Restart,
    /// How often at most.
    pub restart_limit: u32,
    /// Its share of the CPU while others are busy too, against their weights; not 0.
    pub weight: u32,
    /// What is kept on its exits.
    pub counters: Counters,
    /// What becomes of timer ticks that came while others ran.
    pub ticks: Ticks,
    /// How many of the last exits are kept one by one; 0: none.
    pub trace: u32,
    /// What is flushed from the TLB when a translation of the guest has changed.
    pub tlb: TlbFlush,
    /// The CPU that it sees.
    pub cpu: CpuModel,
    /// Where that differs from the VMM's own model, by leaf and ascending.
    pub cpuid: &'static [CpuidRule],
    /// The devices it sees.
    pub devices: DeviceSet,
    /// Writes the policy's part of the VMCB control area, which is all zero before.
    pub init_vmcb: fn(&mut Control),
    /// The handler of each exit.
    pub dispatch: &'static Dispatch,
    /// Ports beyond the devices', ascending and not overlapping; all others are denied.
    pub io: &'static [IoRule],
    /// MSRs beyond the VMM's own model, ascending and not overlapping.
    pub msrs: &'static [MsrRule],
    /// What the CPU must offer, and which line of `vm.toml` wants it.
    pub needs: &'static [Need],
}

impl VmPolicy {
    /// The rule for a port, if there is one.
    pub fn io_rule(&self, port: u16) -> Option<&IoRule> {
        self.io
            .iter()
            .find(|rule| (rule.first..=rule.last).contains(&port))
    }

    /// The rule for an MSR, if there is one.
    pub fn msr_rule(&self, msr: u32) -> Option<&MsrRule> {
        self.msrs
            .iter()
            .find(|rule| (rule.first..=rule.last).contains(&msr))
    }
}

/// The CPU that a VM sees, before rules change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuModel {
    /// Of no vendor, with what every 64-bit kernel needs.
    Minimal,
    /// The same from AMD.
    Amd,
    /// The host's, as far as the VMM keeps what its features need.
    Host,
}

/// How a kernel is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Multiboot 1.
    Multiboot,
    /// Linux's, from protected mode.
    Linux32,
    /// Linux's, from long mode.
    Linux64,
    /// As a payload of coreboot.
    Coreboot,
}

/// When a VM that has ended starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    Never,
    /// After a crash, or when the policy stopped it.
    OnCrash,
    /// After every end but one that a person wants.
    Always,
}

/// What is kept on a VM's exits; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counters {
    /// Nothing.
    Off,
    /// How often each came, and how long all of them took.
    Totals,
    /// The shortest and the longest time, and a histogram.
    Times,
    /// The ports, MSRs, CPUID leaves and calls they were about.
    Details,
}

impl Counters {
    /// All of them, the fewest first.
    pub const ALL: [Counters; 4] = [
        Counters::Off,
        Counters::Totals,
        Counters::Times,
        Counters::Details,
    ];

    /// As `vm.toml` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Counters::Off => "off",
            Counters::Totals => "totals",
            Counters::Times => "times",
            Counters::Details => "details",
        }
    }
}

/// What becomes of ticks of a VM's timer that came while it had no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticks {
    /// It gets each of them, as soon as it has taken the one before.
    CatchUp,
    /// It gets one for all that it missed.
    Drop,
}

/// What is flushed from the TLB when a translation of the guest has changed (APM 15.16.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlbFlush {
    /// This VM's entries where the CPU can flush by ASID, else all.
    Auto,
    /// This VM's entries; the CPU can, or the VMM refuses to start.
    Asid,
    /// Everything.
    All,
}

/// A leaf of CPUID that differs from the VMM's model. Registers go from EAX to EDX.
#[derive(Clone, Copy, Debug)]
pub struct CpuidRule {
    /// EAX.
    pub leaf: u32,
    /// ECX, for the leaves that look at it.
    pub subleaf: u32,
    /// The bits that stay as the model has them.
    pub keep: [u32; 4],
    /// The bits that are the host's.
    pub host: [u32; 4],
    /// The bits that are set.
    pub set: [u32; 4],
}

/// A CPU feature that the policy relies on.
pub struct Need {
    /// The feature.
    pub feature: Feature,
    /// Where the policy asks for it: `vm.toml:12: npt = true`.
    pub origin: &'static str,
}

/// A rule for a range of I/O ports.
#[derive(Clone, Copy, Debug)]
pub struct IoRule {
    /// First port.
    pub first: u16,
    /// Last port, included.
    pub last: u16,
    /// What happens on an access.
    pub action: IoAction,
}

/// What happens when a guest touches a port of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoAction {
    /// The guest reaches the physical port.
    Pass,
    /// Reads give all ones, writes are dropped, silently.
    Ignore,
    /// As `Ignore`, and said on the log.
    Deny,
    /// A write ends the VM: well with value 0, otherwise as crashed.
    Exit,
    /// Any access stops the VM.
    Stop,
}

/// A rule for a range of MSRs.
#[derive(Clone, Copy, Debug)]
pub struct MsrRule {
    /// First MSR.
    pub first: u32,
    /// Last MSR, included.
    pub last: u32,
    /// What RDMSR does.
    pub read: MsrAction,
    /// What WRMSR does.
    pub write: MsrAction,
}

/// What happens when a guest reads or writes an MSR of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsrAction {
    /// The guest reaches the physical MSR.
    Pass,
    /// The VMM's own model answers; #GP(0) where it has none.
    Emulate,
    /// Reads give 0, writes are dropped.
    Ignore,
    /// #GP(0), said on the log.
    Deny,
    /// Any access stops the VM.
    Stop,
}

impl MsrAction {
    /// As `vm.toml` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            MsrAction::Pass => "pass",
            MsrAction::Emulate => "emulate",
            MsrAction::Ignore => "ignore",
            MsrAction::Deny => "deny",
            MsrAction::Stop => "stop",
        }
    }
}

/// Who gets a physical interrupt line.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The line, 0-15.
    pub line: u8,
    /// Its owner.
    pub to: RouteTo,
}

/// The owner of a physical interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteTo {
    /// The VMM itself.
    Vmm,
    /// The VM with this index in [`Policy::vms`].
    Vm(usize),
    /// The VM that has the keyboard when it comes.
    Focus,
}

/// A VM's handlers, one for each slot of an exit code.
pub struct Dispatch([Handler; SLOTS]);

impl Dispatch {
    /// A table in which no exit is expected.
    pub const fn empty() -> Self {
        Dispatch::all(unexpected::stop)
    }

    /// A table with one handler for every exit.
    pub const fn all(handler: Handler) -> Self {
        Dispatch([handler; SLOTS])
    }

    /// The same table with `handler` for `code`.
    pub const fn with(mut self, code: ExitCode, handler: Handler) -> Self {
        self.0[slot(code as u64) as usize] = handler;
        self
    }

    /// The handler of an exit code: one indexed load.
    #[inline(always)]
    pub fn handler(&self, code: u64) -> Handler {
        self.at(slot(code))
    }

    /// The handler in a slot.
    #[inline(always)]
    pub fn at(&self, slot: u8) -> Handler {
        self.0[usize::from(slot)]
    }
}
