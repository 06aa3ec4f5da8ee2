//! Why the guest's `exercise` never causes an exit, on any emulator.

/// What Bochs exits for and QEMU never does: `policies/beyond-qemu.toml` shows each.
pub const SHOWN_ON_BOCHS: [&str; 8] = [
    "exception.bp",
    "exception.of",
    "icebp",
    "invd",
    "mwait.armed",
    "rdtscp",
    "task-switch",
    "xsetbv",
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
        (Some(8), ..) => Some("only 64-bit code reaches CR8"),
        (_, Some(4 | 5), _) => Some("aliases, which the kernel leaves alone"),
        (.., "cr0.sel-write") => Some("an intercept of every write comes first"),
        (.., "exception.df") => Some("made by the VMM itself while #GP and #NP are counted"),
        (.., "exception.nmi") => Some("an NMI is not an exception"),
        (.., "exception.ac" | "exception.xf") => Some("the kernel raises none"),
        (.., "exception.mc") => Some("emulators have no machine checks"),
        (.., "exception.9" | "exception.15" | "exception.20" | "exception.cp")
        | (.., "exception.22" | "exception.23" | "exception.24" | "exception.25")
        | (.., "exception.26" | "exception.27" | "exception.31")
        | (.., "exception.hv" | "exception.vc" | "exception.sx") => {
            Some("reserved, or of a feature that the CPU lacks")
        }
        (.., "nmi" | "smi" | "init") => Some("no device of an emulator sends it"),
        (.., "ferr-freeze") => Some("emulators raise IRQ 13 and do not freeze"),
        (.., "shutdown" | "npf" | "invalid") => Some("it ends the VM"),
        _ => None,
    }
}
