//! The words of `vm.toml` that are no exits: devices, actions of port and MSR rules, levels.
//! Actions on exits are [`intercepts::Action`].

/// A closed choice of words.
pub trait Word: Copy + Sized + 'static {
    /// What the words name: `device`.
    const WHAT: &'static str;
    /// Every word, in the order that documentation lists them.
    const ALL: &'static [Self];
    /// As `vm.toml` spells it.
    fn name(self) -> &'static str;
    /// One line on what it means.
    fn meaning(self) -> &'static str;

    /// The word of that name.
    fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|word| word.name() == name)
    }
}

macro_rules! words {
    ($(
        $(#[$doc:meta])*
        $type:ident = $what:literal { $($variant:ident $name:literal $meaning:literal;)* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $type {
            $(#[doc = concat!("`", $name, "`: ", $meaning, ".")] $variant,)*
        }

        impl Word for $type {
            const WHAT: &'static str = $what;
            const ALL: &'static [Self] = &[$($type::$variant),*];

            fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)* }
            }

            fn meaning(self) -> &'static str {
                match self { $($type::$variant => $meaning,)* }
            }
        }
    )*};
}

words! {
    /// A device that a VM sees.
    Device = "device" {
        Pic "pic" "the pair of 8259A interrupt controllers";
        Pit "pit" "the 8254 timer, and port 61h";
        Uart "uart" "a 16550A at 3F8h, on the serial console";
        Keyboard "keyboard" "the i8042 with a PS/2 keyboard";
        Vga "vga" "VGA text mode";
        Rtc "rtc" "the MC146818 clock and CMOS memory";
    }

    /// What happens when a guest touches a port of a `[[vm.io]]` rule.
    IoAction = "port action" {
        Pass "pass" "the guest reaches the physical port";
        Ignore "ignore" "reads give all ones, writes are dropped";
        Deny "deny" "as `ignore`, and said on the log";
        Exit "exit" "a write ends the VM: well with value 0, otherwise as crashed";
        Stop "stop" "any access stops the VM";
    }

    /// What happens when a guest reads or writes an MSR of a `[[vm.msr]]` rule.
    MsrAction = "MSR action" {
        Pass "pass" "the guest reaches the physical MSR";
        Emulate "emulate" "the VMM's own model answers, #GP where it has none";
        Ignore "ignore" "reads give 0, writes are dropped";
        Deny "deny" "#GP(0), said on the log";
        Stop "stop" "any access stops the VM";
    }

    /// How much the log shows.
    LogLevel = "log level" {
        Error "error" "only what ends something";
        Warn "warn" "also what is denied or odd";
        Info "info" "also what starts and ends";
        Debug "debug" "everything";
    }

    /// What HLT with interrupts off means.
    Halted = "kind of halt" {
        End "end" "HLT with interrupts off ends the VM well";
        Crash "crash" "HLT with interrupts off is a crash";
    }
}
