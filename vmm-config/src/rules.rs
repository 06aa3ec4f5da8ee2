//! Every rule that a policy must keep: the name, and what it demands in one line.
//!
//! This list is the documentation of what is refused. A rule about the meaning of the whole
//! policy has its function in the module `check`; the others are kept where the text is read.

use crate::finding::Severity;

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// The name in documentation and in machine-readable reports.
    pub name: &'static str,
    /// Whether breaking it refuses the policy.
    pub severity: Severity,
    /// What it demands.
    pub demands: &'static str,
    /// The section of the APM that it follows, if it is not the VMM's own.
    pub section: Option<&'static str>,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        self.name == other.name
    }
}

macro_rules! section {
    () => {
        None
    };
    ($section:literal) => {
        Some($section)
    };
}

macro_rules! rules {
    ($($konst:ident $severity:ident $name:literal $($section:literal)? : $demands:literal;)*) => {
        $(
            #[doc = concat!($demands, ".")]
            pub static $konst: Rule = Rule {
                name: $name,
                severity: Severity::$severity,
                demands: $demands,
                section: section!($($section)?),
            };
        )*

        /// Every rule, in the order in which a policy meets them.
        pub static RULES: &[&Rule] = &[$(&$konst),*];
    };
}

rules! {
    // The text.
    READABLE Error "readable": "a policy is a file of UTF-8 text";
    SYNTAX Error "syntax": "a policy is a TOML file, and TOML gives each key once";
    UNKNOWN_KEY Error "unknown-key": "a key is one that the policy language has";
    MISSING_KEY Error "missing-key": "what has no default must be said";
    WRONG_TYPE Error "wrong-type": "a value has the type that its key asks for";
    OUT_OF_RANGE Error "out-of-range": "a number is within the range of what it stands for";
    UNIT Error "unit": "a size is in KiB, MiB or GiB, a time in us, ms or s";
    RANGE Error "range": "a range is FIRST-LAST, both included, or one number";
    UNKNOWN_WORD Error "unknown-word": "where there is a choice of words, the value is one of them";
    UNKNOWN_MACHINE Error "unknown-machine": "a target is a machine whose features are known";
    UNKNOWN_EXIT Error "unknown-exit" "appendix C": "a set names exits by the manual's names, in lower case";
    UNKNOWN_ACTION Error "unknown-action": "an exit is answered by an action of the closed list, or by a handler";
    UNKNOWN_DEVICE Error "unknown-device": "a device is one that the VMM models";
    UNKNOWN_CPUID Error "unknown-cpuid": "a CPUID feature is given by a known name, a leaf by number";
    UNKNOWN_MSR Error "unknown-msr": "an MSR is given by a known name or by number";
    ONE_ANSWER Error "one-answer": "an exit has one answer: an action or a handler";
    ANSWER_TWICE Error "answer-twice": "a set answers an exit once, however its name is spelt";
    PARAMETER Error "parameter": "`vector` and `error` belong to `inject`, `log` and `limit` to what is intercepted, `then` to `limit`, `filter` and its `threshold` to `pause`";
    WHEN_LAST Error "when-last": "the rules of `when` have conditions, except the last one, which has none";
    IMAGE Error "image": "a file is a path with a `/`, or `debian:` and a name; an image may also be `guest`, the workspace's own kernel";
    NAME Error "name": "a VM's name is 1 to 32 letters, digits, `-` or `_`, and not `vmm`";
    UNKNOWN_DEBIAN Error "unknown-debian": "what stands behind `debian:` is a file that the tools know how to fetch";
    CMDLINE Error "cmdline": "a kernel command line, or a module's string, is one line of at most 1024 printable ASCII characters";

    // The sets.
    UNKNOWN_SET Error "unknown-set": "a set that is used is defined, as `[set.NAME]`";
    EXTENDS_CYCLE Error "extends-cycle": "a set does not extend itself, directly or through others";
    EXTENDS_DEPTH Error "extends-depth": "sets extend each other at most 32 deep";

    // The exits.
    ACTION_FITS Error "action-fits" "15.7": "an action fits the exit it answers";
    COUNT_METHOD Error "count-method": "`count` and `log` need a way to go on as the CPU would have done";
    PASS_FLOOR Error "pass-floor": "the isolation floor stays intercepted: without it a guest reaches past its VM";
    PASS_OWNED Error "pass-owned": "what the VMM itself works with stays intercepted";
    HANDLER_FITS Error "handler-fits": "a handler answers what the guest does, not what the VMM itself works with";
    UNKNOWN_HANDLER Error "unknown-handler": "a handler is a `pub fn` in boot/src/handlers.rs";
    INJECTABLE Error "injectable" "15.20": "`inject` delivers an exception of vector 0 to 31, NMI excepted";
    ERROR_CODE Error "error-code" "8.2": "an exception has an error code exactly if the CPU pushes one for its vector";
    WHEN_FITS Error "when-fits": "a condition looks at what its exit has";
    WHEN_REACHED Warning "when-reached": "a rule of `when` holds for something that no rule before it takes";
    WHEN_PASS Error "when-pass": "a rule of `when` answers an exit that has happened: too late to pass it";
    LIMIT_FITS Error "limit-fits": "after its limit an exit is stopped or passed, if its kind can be";
    FEATURE Error "feature": "the target machine has the features that the policy relies on";
    NEVER_EXITS Warning "never-exits": "an emulator that does not take an exit cannot show it";

    // The VMs.
    NO_VM Error "no-vm": "a policy has at least one VM";
    VM_COUNT Error "vm-count": "a policy has at most 64 VMs";
    NAME_TWICE Error "name-twice": "two VMs do not share a name";
    ASID_ZERO Error "asid-zero" "15.5.1": "ASID 0 is the host's: VMRUN refuses it for a guest";
    ASID_RANGE Error "asid-range" "15.5.1": "an ASID is below the number of ASIDs that the target has";
    ASID_SHARED Error "asid-shared" "15.16": "two VMs do not share an ASID: the TLB could not tell them apart";
    ASIDS_EXHAUSTED Error "asids-exhausted" "15.16": "each VM has an ASID of its own";
    TLB_BY_ASID Error "tlb-by-asid" "15.16.1": "flushing by ASID needs a target that can";
    CPUID_TWICE Error "cpuid-twice": "what CPUID says of a feature, or a leaf, is said once";
    CPUID_SUBLEAF Error "cpuid-subleaf": "a subleaf is of a leaf that has some";
    CPUID_LEAVES Error "cpuid-leaves": "at most 16 leaves are beyond those of the VMM's own model";
    CPUID_UNKEPT Warning "cpuid-unkept": "a feature that is shown is one that the VMM keeps for the guest";
    CPUID_SEEN Warning "cpuid-seen": "`[vm.cpuid]` works where the exit `cpuid` is intercepted";
    SHADOW_PAGING Warning "shadow-paging" "15.14.1": "under shadow paging the VMM must see every change of CR3, by a hardware task switch too";
    PASS_SHADOWED Error "pass-shadowed" "15.5.1": "shadow paging is built on the exits of page faults, CR0, CR3, CR4, INVLPG and INVPCID";
    SHADOW_TABLES Error "shadow-tables": "`shadow_tables` is a whole number of 4 KiB tables, from 256 KiB to 255 MiB";
    SHADOW_TABLES_UNUSED Error "shadow-tables-unused": "`shadow_tables` belongs to a VM with `npt = false`";
    IOAPIC_ALONE Error "ioapic-alone" "16.1": "an I/O APIC sends its interrupts to a local APIC";
    AUTOSTART Error "autostart": "at least one VM starts by itself";
    RESTART_LIMIT Error "restart-limit": "`restart_limit` belongs to a VM that is restarted";
    LIMIT_COUNTED Error "limit-counted": "a VM with an exit that has a `limit` keeps counters";
    MEMORY_PAGES Error "memory-pages": "guest memory is a whole number of 4 KiB pages";
    MEMORY_SIZE Error "memory-size": "a VM has from 2 MiB to 3 GiB of memory: kernels load at 1 MiB, and above 3 GiB a PC has devices";
    MEMORY_TOTAL Error "memory-total": "the VMs' memory together fits the target machine";
    IMAGE_MISSING Error "image-missing": "a file that is named by its path exists";

    // Ports, MSRs and lines.
    PORTS_OVERLAP Error "ports-overlap": "a port has one rule";
    PORTS_OF_DEVICE Error "ports-of-device": "the ports of a VM's devices are answered by the devices";
    PORTS_OF_VMM Error "ports-of-vmm" "15.10": "a guest does not reach a port that the VMM drives or that can reach past the VM";
    PORTS_UNVETTED Warning "ports-unvetted" "15.10": "a device whose ports are passed has no DMA of its own: a bus master reaches past the VM";
    MSRS_OVERLAP Error "msrs-overlap": "an MSR has one rule";
    MSR_UNSWITCHED Error "msr-unswitched" "15.5.2": "`pass` needs an MSR that is switched between guests and host";
    MSR_UNMAPPED Error "msr-unmapped" "15.11": "`pass` needs an MSR that the permission map covers: 0-1FFFh, C000_0000h-C000_1FFFh, C001_0000h-C001_1FFFh";
    LINE_TWICE Error "line-twice": "a physical interrupt line has one owner";
    LINE_OF_VMM Error "line-of-vmm": "lines 0, 1, 2, 3 and 4 (timer, keyboard, cascade, COM2, COM1) are the VMM's; input follows the focus";
    LINE_OF_FOCUS Error "line-of-focus": "a line that follows the focus brings no ports: a VM has its ports, or has them not";
    UNKNOWN_VM Error "unknown-vm": "a line goes to `vmm`, to `focus` or to a VM of this policy";
}
