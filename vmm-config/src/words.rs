//! The words of `vm.toml` that are no exits: devices, actions of port and MSR rules, levels.
//! Actions on exits are [`intercepts::Action`].

use intercepts::{Exit, ExitCode, FEATURES, Feature};

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

impl Word for Feature {
    const WHAT: &'static str = "CPU feature";
    const ALL: &'static [Feature] = FEATURES;

    fn name(self) -> &'static str {
        self.name
    }

    fn meaning(self) -> &'static str {
        self.meaning
    }
}

macro_rules! words {
    ($(
        $(#[$doc:meta])*
        $type:ident = $what:literal { $($variant:ident $name:literal $meaning:literal;)* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(rename_all = "kebab-case")]
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

impl Device {
    /// What a VM has that says nothing of `devices`.
    pub const DEFAULT: &'static [Device] = &[
        Device::Pic,
        Device::Pit,
        Device::Uart,
        Device::Keyboard,
        Device::Vga,
        Device::Rtc,
    ];
}

words! {
    /// A device that a VM sees.
    Device = "device" {
        Pic "pic" "the pair of 8259A interrupt controllers";
        Pit "pit" "the 8254 timer, and port 61h";
        Uart "uart" "a 16550A at 3F8h, on the serial console";
        Keyboard "keyboard" "a PS/2 keyboard, and the i8042";
        Vga "vga" "VGA text mode";
        Rtc "rtc" "the MC146818 clock and CMOS memory";
        Lapic "lapic" "the local APIC of the CPU, with its timer; not by default";
        Ioapic "ioapic" "an I/O APIC beside the local one; not by default";
        Mouse "mouse" "a PS/2 mouse on the i8042's second port, which nobody moves; not by default";
        Pvclock "pvclock" "KVM's paravirtual clock, which tells a kernel the rate of its TSC; not by default";
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

    /// What becomes of an exit after the `limit` of its kind.
    Then = "end of a limit" {
        Stop "stop" "the VM is stopped";
        Pass "pass" "the intercept is taken off: from then on the guest does it by itself";
    }

    /// What a rule of `when` looks at.
    Test = "condition" {
        Port "port" "the port of IN, OUT, INS or OUTS";
        Write "write" "whether it is OUT, OUTS or WRMSR";
        Msr "msr" "the MSR, from ECX";
        Leaf "leaf" "the CPUID leaf, from EAX";
        Subleaf "subleaf" "the CPUID subleaf, from ECX";
        Int "int" "the vector of INTn";
        Number "number" "the number of the hypercall, from EAX";
        ErrorCode "error_code" "the exception's error code";
        Address "address" "the linear address that faulted";
        Cpl "cpl" "the privilege level of the guest, 0 to 3";
        Rip "rip" "the guest's RIP";
    }

    /// What is flushed from the TLB when a translation of the guest has changed.
    Flush = "TLB policy" {
        Auto "auto" "this VM's entries where the CPU can tell them apart, else all";
        Asid "asid" "this VM's entries, which the CPU must tell apart";
        All "all" "everything, other VMs' entries and the VMM's own too";
    }

    /// How much the log shows.
    LogLevel = "log level" {
        Error "error" "only what ends something";
        Warn "warn" "also what is denied or odd";
        Info "info" "also what starts and ends";
        Debug "debug" "everything";
    }

    /// What is kept on a VM's exits.
    Counters = "kind of counters" {
        Off "off" "nothing";
        Totals "totals" "how often each exit came, and how long all of them took";
        Times "times" "also the shortest and longest time, and a histogram";
        Details "details" "also the ports, MSRs, CPUID leaves and calls they were about";
    }

    /// The CPU that a VM sees, before `cpuid` changes it.
    CpuModel = "CPU model" {
        Minimal "minimal" "a CPU of no vendor, with what every 64-bit kernel needs";
        Amd "amd" "the same, with AMD's vendor name and the host's page attributes";
        Host "host" "the host's vendor, name and features, as far as the VMM keeps what they need";
    }

    /// How a kernel is started.
    Protocol = "boot protocol" {
        Auto "auto" "as the file shows: linux-32, multiboot, or coreboot for another ELF file";
        Multiboot "multiboot" "Multiboot 1";
        Linux32 "linux-32" "a Linux bzImage, in protected mode";
        Linux64 "linux-64" "a Linux bzImage, in long mode";
        Coreboot "coreboot" "an ELF file, as a payload of coreboot";
    }

    /// A file out of a Debian package.
    Debian = "file from Debian" {
        LinuxCloudAmd64 "linux-cloud-amd64" "Linux, 64-bit, for virtual machines";
        Linux686 "linux-686" "Linux, 32-bit, with two levels of page tables";
        Linux686Pae "linux-686-pae" "Linux, 32-bit, with PAE";
        BusyboxAmd64 "busybox-amd64" "an initial file system with BusyBox, for linux-cloud-amd64";
        BusyboxI386 "busybox-i386" "the same for linux-686 and linux-686-pae";
        Grub "grub" "GRUB's shell, as a payload of coreboot";
        MemtestIa32 "memtest86+ia32" "memtest86+, with PAE";
        MemtestX64 "memtest86+x64" "memtest86+, in long mode";
        GnuMach "gnumach" "GNU Mach, without anything to run on it";
    }

    /// When a VM that has ended starts again.
    Restart = "time to restart" {
        Never "never" "an end is an end";
        OnCrash "on-crash" "after a crash, or when the policy stopped it";
        Always "always" "after every end but one that a person wants";
    }

    /// What becomes of timer ticks that came while others ran.
    Ticks = "way with late ticks" {
        CatchUp "catch-up" "the guest gets each of them, as soon as it has taken the one before";
        Drop "drop" "the guest gets one for all that it missed";
    }

    /// What HLT with interrupts off means.
    Halted = "kind of halt" {
        End "end" "HLT with interrupts off ends the VM well";
        Crash "crash" "HLT with interrupts off is a crash";
    }
}

impl Test {
    /// Whether an exit has what this looks at.
    pub fn fits(self, exit: &Exit) -> bool {
        match self {
            Test::Port => exit.code == ExitCode::Ioio,
            Test::Msr => exit.code == ExitCode::Msr,
            Test::Write => matches!(exit.code, ExitCode::Ioio | ExitCode::Msr),
            Test::Leaf | Test::Subleaf => exit.code == ExitCode::Cpuid,
            Test::Int => exit.code == ExitCode::Swint,
            Test::Number => exit.code == ExitCode::Vmmcall,
            Test::ErrorCode => exception_vector(exit).is_some_and(pushes_error),
            Test::Address => exit.code == ExitCode::ExceptionPf,
            Test::Cpl | Test::Rip => true,
        }
    }

    /// The largest value that it can have.
    pub fn largest(self) -> u64 {
        match self {
            Test::Port | Test::ErrorCode => 0xffff,
            Test::Int => 0xff,
            Test::Write => 1,
            Test::Msr | Test::Leaf | Test::Subleaf | Test::Number => u32::MAX.into(),
            Test::Address | Test::Rip => u64::MAX,
            Test::Cpl => 3,
        }
    }
}

/// The vector of an exit that stands for an exception.
fn exception_vector(exit: &Exit) -> Option<u8> {
    let first = ExitCode::ExceptionDe as u64;
    let vector = (exit.code as u64).checked_sub(first)?;
    u8::try_from(vector).ok().filter(|vector| *vector < 32)
}

/// Whether the CPU pushes an error code for a vector (APM 8.2).
pub fn pushes_error(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}
