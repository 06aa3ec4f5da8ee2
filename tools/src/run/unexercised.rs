//! Why the guest's `exercise` never causes an exit, on any emulator.

/// What Bochs exits for and QEMU never does: `policies/beyond-qemu.toml` shows each.
pub const SHOWN_ON_BOCHS: [&str; 11] = [
    "exception.df",
    "exception.bp",
    "exception.of",
    "icebp",
    "invd",
    "mwait.armed",
    "rdtscp",
    "task-switch",
    "xsetbv",
    "exception.ac",
    "exception.xf",
];

/// Why an exit that a machine could take does not come; `None` for one that does, or that
/// [`SHOWN_ON_BOCHS`] names.
pub fn why(exit: &str) -> Option<&'static str> {
    let number =
        |prefix: &str| -> Option<u8> { exit.strip_prefix(prefix)?.split('.').next()?.parse().ok() };
    match (number("cr"), number("dr"), exit) {
        (Some(1 | 5..=7 | 9..=15), ..) | (_, Some(8..=15), _) => {
            Some("the register does not exist: #UD comes first")
        }
        (.., "cr0.sel-write") => Some("an intercept of every write comes first"),
        (.., "exception.nmi") => Some("an NMI is not an exception"),
        (.., "exception.ac") => Some("the kernel raises none: QEMU checks no alignment"),
        (.., "exception.xf") => Some("the kernel raises none: on QEMU, SSE raises no exception"),
        (.., "exception.mc") => Some("emulators have no machine checks"),
        (.., "exception.9" | "exception.15" | "exception.20" | "exception.cp")
        | (.., "exception.22" | "exception.23" | "exception.24" | "exception.25")
        | (.., "exception.26" | "exception.27" | "exception.31")
        | (.., "exception.hv" | "exception.vc" | "exception.sx") => {
            Some("reserved, or of a feature that the CPU lacks")
        }
        (.., "nmi" | "smi" | "init") => Some("no device that a guest has sends it"),
        (.., "ferr-freeze") => Some("emulators raise IRQ 13 and do not freeze"),
        (.., "shutdown" | "invalid") => Some("it ends the VM"),
        (.., "npf") => Some("beyond the memory it ends the VM, and the kernel drives no APIC"),
        _ => None,
    }
}
